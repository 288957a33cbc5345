"""`check` and `test`: what a developer runs before a commit, and what CI runs.

Invariant: what they start never outlives them, however they are ended (but by SIGKILL).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from app import machine
from app.backend.errors import Unavailable
from app.commands.common import Json, emit, say

ROOT = Path(__file__).resolve().parents[2]
FAST = "not engine and not browser and not served and not process and not slow and not gpu"
OTHERS = "(engine or browser or served or process) and not slow and not gpu"
WORKERS = (os.cpu_count() or 1) + 1
"""Of the fast tests: they wait as long as they compute."""
TEARDOWN_S = 15
"""How long tests that are interrupted may take to end what they started."""


def check(as_json: Json = False) -> None:
    """Format, lint, types, architecture and the fast tests: under a minute."""
    _end(_run({"fast tests": FAST}), as_json)


def run_tests(
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Install nothing, no browser either.")] = False,
    as_json: Json = False,
) -> None:
    """Everything that CI runs: the checks and all tests but the slow ones and those that need a GPU."""
    _browser(may_install=not no_setup)
    _end(_run({"fast tests": FAST, "other tests": OTHERS}), as_json)


def _run(tests: Mapping[str, str]) -> bool:
    """All of them, whatever fails first: one run says everything. `tests` are markers by title."""
    python = sys.executable
    pytest = (python, "-m", "pytest", "--durations=10")
    stages = {
        "format": (python, "-m", "ruff", "format", "--check", "."),
        "lint": (python, "-m", "ruff", "check", "--no-cache", "."),
        "types": (python, "-m", "mypy"),
        "architecture": (str(Path(python).parent / "lint-imports"), "--no-logo", "--no-cache"),
    }
    for title, markers in tests.items():
        stages[title] = (*pytest, "-m", markers, *(("-n", str(WORKERS)) if markers == FAST else ()))
    failed = [title for title, command in stages.items() if not _passes(title, command)]
    if failed:
        say(f"== failed: {', '.join(failed)}")
    return not failed


def _passes(title: str, command: Sequence[str]) -> bool:
    started = time.monotonic()
    say(f"== {title}")
    passed = run_in_group(command) == 0
    say(f"== {title}: {'passed' if passed else 'FAILED'} in {time.monotonic() - started:.1f} s")
    return passed


def run_in_group(command: Sequence[str]) -> int:
    """The command's exit code; when this process is interrupted, terminated or hung up, its whole group ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end_group(process)
        raise


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Interrupted first, so that tests tear down what they made; then killed, at once if we are interrupted again."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(TEARDOWN_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        say("== what was started takes too long to end and is killed")
    finally:
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _browser(*, may_install: bool) -> None:
    """The browser tests need chromium and a font with Chinese characters; Debian's packages bring both."""
    if machine.chromium() and _chinese_font():
        return
    apt = shutil.which("apt-get")
    if not may_install or apt is None or os.geteuid() != 0:
        raise Unavailable(
            "The browser tests need chromium and a Chinese font: install them (Debian: apt-get install chromium "
            "fonts-noto-cjk), or name a browser in the variable CHROMIUM."
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update", "-q"), ("install", "-q", "-y", "--no-install-recommends", "chromium", "fonts-noto-cjk")):
        say(f"== apt-get {' '.join(command)}")
        done = subprocess.run(
            (apt, *command), env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"Installing chromium failed ({last}); install chromium and fonts-noto-cjk by hand.")


def _chinese_font() -> bool:
    tool = shutil.which("fc-list")
    if tool is None:
        return False
    return bool(subprocess.run((tool, ":lang=zh"), capture_output=True, check=False).stdout.strip())


def _end(passed: bool, as_json: bool) -> None:
    if as_json:
        emit({"passed": passed})
    raise typer.Exit(0 if passed else 1)
