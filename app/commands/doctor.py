"""`doctor`: what was found on this machine, and what to do about each problem."""

from __future__ import annotations

from dataclasses import asdict

import typer

from app.commands.common import Config, Data, Json, Profile, emit, read_settings

_MARKS = {"ok": "[green]ok[/]", "note": "[cyan]note[/]", "problem": "[red]problem[/]"}


def doctor(data: Data = None, config: Config = None, profile: Profile = None, as_json: Json = False) -> None:
    """Look at Python, hardware, packages, models, disk and port; exit 1 if something stands in the way."""
    settings = read_settings(data, config, profile)
    from rich.console import Console
    from rich.table import Table

    from app.doctor import examine

    findings = examine(settings)
    table = Table("", "what", title=f"Colloquy, profile {settings.profile}", title_justify="left")
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.level], finding.what, finding.found, finding.fix)
    Console().print(table)
    healthy = all(finding.level != "problem" for finding in findings)
    if as_json:
        emit({"ok": healthy, "profile": settings.profile, "findings": [asdict(finding) for finding in findings]})
    raise typer.Exit(0 if healthy else 1)
