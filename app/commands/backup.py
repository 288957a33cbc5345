"""`backup`: a checked copy of the database, with or without a server that runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import Config, Data, Json, Profile, emit, read_settings, say


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put the copy, best on another disk.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Copy the database to FILE and check the copy; a running server is not disturbed."""
    settings = read_settings(data, config, profile)
    from app.backend.storage.backup import back_up

    with _bar() as show:
        made = back_up(settings.data / "colloquy.db", file, replace=force, on_progress=show)
    say(f"{made.file}: {made.bytes / 1e6:.1f} MB in {made.seconds:.1f} s, checked.")
    if as_json:
        emit({**asdict(made), "verified": True})


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar a phase, on stderr."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    progress = Progress(console=Console(stderr=True), transient=True)

    def show(phase: str, done: int, total: int) -> None:
        progress.start()  # not before there is something to show: a refusal is one line
        if phase not in tasks:
            tasks[phase] = progress.add_task(phase, total=total)
        progress.update(tasks[phase], completed=done, total=total)

    try:
        yield show
    finally:
        if tasks:
            progress.stop()
