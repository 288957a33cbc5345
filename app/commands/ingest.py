"""`ingest`: build or replace a corpus from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.backend.errors import BadInput
from app.commands.common import Config, Data, Encoder, Json, Profile, emit, note, prepare, read_settings, say

SHOWN_PROBLEMS = 20


def ingest(
    files: Annotated[
        list[Path], typer.Argument(help="FlashRAG JSONL, Markdown, text, HTML, PDF, DOCX; or folders of them.")
    ],
    corpus: Annotated[str, typer.Option("--corpus", metavar="NAME", help="The corpus to build or replace.")],
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first thing that cannot be read.")] = False,
    description: Annotated[str, typer.Option("--description", help="One line for the people who pick a corpus.")] = "",
    index: Annotated[
        Path | None, typer.Option("--index", metavar="FILE", help="An existing faiss index of the one JSONL file.")
    ] = None,
    bm25: Annotated[
        Path | None, typer.Option("--bm25", metavar="DIR", help="An existing bm25/ folder of the one JSONL file.")
    ] = None,
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
    encoder: Encoder = None,
) -> None:
    """Build a corpus; the one of the same name serves until the new one is complete."""
    settings = read_settings(data, config, profile, {"retrieval": {"encoder": encoder}})
    prepare(settings)
    from rich.filesize import decimal

    from app.backend.retrieval import ingest as builder
    from app.startup import running

    existing = index is not None or bm25 is not None
    if existing and len(files) != 1:
        raise BadInput("An existing --index or --bm25 belongs to one JSONL file; give that file and no other.")
    with _bars() as show:
        if existing:
            report = builder.ingest_index(
                settings, corpus, files[0], index=index, bm25=bm25, description=description, on_progress=show
            )
        else:
            report = builder.ingest(settings, corpus, files, strict=strict, description=description, on_progress=show)
    for problem in report.problems[:SHOWN_PROBLEMS]:
        note(f"{problem.where}: {problem.reason}; left out")
    if report.skipped > SHOWN_PROBLEMS:
        note(f"... {report.skipped} left out in all")
    say(
        f"Corpus {report.corpus!r}: {report.passages} passages ({', '.join(report.languages)}) in "
        f"{report.seconds:.1f} s, {decimal(report.bytes)}, {report.skipped} left out."
    )
    if server := running(settings.data):
        note(f"The server at {server.url} takes it from now on.")
    if as_json:
        emit({**asdict(report), "problems": [asdict(problem) for problem in report.problems]})


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar a phase, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def show(phase: str, done: int, total: int | None) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total)
            progress.update(tasks[phase], completed=done, total=total)

        yield show
