"""`export`: votes, judgements and consented conversations for research, with or without a server that runs on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import Config, Data, Json, Profile, emit, read_settings, say


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put the lines of JSON.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Write all votes, what models said of batches, and the conversations of people who agreed to it, to FILE. Nobody
    is named in it.
    """
    settings = read_settings(data, config, profile)
    from app.backend.storage import research

    counts = research.export(settings.data / "colloquy.db", file, replace=force)
    said = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items())
    say(f"{file}: {said}.")
    if as_json:
        emit({"file": str(file)} | {f"{kind}s": n for kind, n in counts.items()})
