"""What is found on a machine before the set-up is done, for `doctor`.

Invariant: standard library only; looks without changing anything.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from app import __version__, install, machine

_NAMED = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, note (works, but good to know) or problem (stands in the way); `fix` says what to do."""

    what: str
    found: str
    level: Literal["ok", "note", "problem"] = "ok"
    fix: str = ""


def basics(profile: str | None) -> list[Finding]:
    """What doctor begins with, before the set-up and after it."""
    return [
        Finding("Colloquy", __version__),
        Finding("Python", f"{platform.python_version()} ({sys.executable})"),
        Finding("platform", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        _gpu(profile),
    ]


def before_set_up(profile: str | None, venv: Path = install.VENV) -> list[Finding]:
    """All findings while packages are missing, in the order in which they matter."""
    kind, environment = install.kind_for(profile), install.Environment(venv)
    return [*basics(profile), _disk(kind, environment), _packages(kind, environment), _log(environment)]


def show_before_set_up(profile: str | None, *, as_json: bool) -> None:
    findings = before_set_up(profile)
    install.say("Colloquy is not set up yet; this only looks, and installs nothing.")
    for finding in findings:
        install.say(f"{finding.level:8}{finding.what:11}{finding.found}")
        if finding.fix:
            install.say(f"{'':19}-> {finding.fix}")
    if as_json:
        install.say(json.dumps({"ok": False, "profile": profile, "findings": [asdict(found) for found in findings]}))


def _gpu(profile: str | None) -> Finding:
    found = machine.gpus()
    if found:
        fix = "" if profile != "cpu" else "use --profile cuda to run on it"
        return Finding("GPU", "; ".join(found), "note" if fix else "ok", fix)
    if profile == "cuda":
        return Finding(
            "GPU", "none", "problem", "install the NVIDIA driver until nvidia-smi works, or use --profile cpu"
        )
    return Finding("GPU", "none; models run on the CPU")


def _disk(kind: install.Kind, environment: install.Environment) -> Finding:
    needed = install.needed_gib(kind, environment, install.steps_to_do(kind, environment, dev=False))
    free = machine.free_disk_gib(environment.logs)
    found = f"{free:.0f} GiB free for the set-up ({kind}), which takes about {needed:.0f} more"
    return Finding("disk", found) if free >= needed else Finding("disk", found, "problem", "make room")


def _packages(kind: install.Kind, environment: install.Environment) -> Finding:
    venv = environment.folder
    if (other := install.other_engine(kind, environment)) is not None:
        found = f"{venv} was made for other hardware or another profile ({other} is in it)"
        return Finding("packages", found, "problem", f"delete {venv} and run `python launch.py`")
    missing = environment.missing(install.wanted(kind, dev=False))
    if not missing:
        return Finding("packages", f"all in {venv}")
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    found = f"not in {venv} as pinned: {', '.join(missing[:_NAMED])}{more}"
    return Finding("packages", found, "problem", "run `python launch.py` to install them")


def _log(environment: install.Environment) -> Finding:
    """How the last set-up ended."""
    last = max(environment.logs.glob("*.log"), key=lambda log: log.stat().st_mtime, default=None)
    if last is None:
        return Finding("set-up", "never begun")
    if not environment.interrupted(last.stem):
        return Finding("set-up", f"its last step, {last.stem}, was done (log: {last})")
    found = f"ended in the middle of {last.stem}: {install.last_line(last)} (log: {last})"
    return Finding("set-up", found, "problem", "run `python launch.py`; it goes on from there")
