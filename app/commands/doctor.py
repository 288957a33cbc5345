"""`doctor`: what was found on this machine, and what to do about each problem."""

from __future__ import annotations

from dataclasses import asdict

import typer

from app.commands.common import Config, Data, Json, Profile, emit, read_settings

_STYLES = {"ok": "green", "note": "cyan", "problem": "bold red"}


def doctor(data: Data = None, config: Config = None, profile: Profile = None, as_json: Json = False) -> None:
    """Look at Python, hardware, packages, models, disk and port; exit 1 if something stands in the way."""
    settings = read_settings(data, config, profile)
    from rich.console import Console
    from rich.text import Text

    from app.doctor import examine

    findings = examine(settings)
    console = Console(soft_wrap=True)  # a terminal wraps what is long; broken by us, a path could not be copied
    console.print(f"Colloquy, profile {settings.profile}", style="bold", highlight=False)
    for finding in findings:
        mark = (f"{finding.level:8}", _STYLES[finding.level])
        console.print(Text.assemble(mark, (f"{finding.what:11}", "bold"), finding.found))
        if finding.fix:
            console.print(Text(f"{'':19}-> {finding.fix}", style=_STYLES[finding.level]))
    healthy = all(finding.level != "problem" for finding in findings)
    if as_json:
        emit({"ok": healthy, "profile": settings.profile, "findings": [asdict(finding) for finding in findings]})
    raise typer.Exit(0 if healthy else 1)
