"""What all commands share: the common flags, how settings are read from them, and how results are printed.

Invariant: results go to stdout, everything else to stderr; with --json the last line of stdout is one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.settings import Settings

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Where everything is kept (default: data).")]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings (default: colloquy.yaml, if there).")
]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="cpu, cuda or scripted (default: by hardware).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, in the last line.")]
Engine = Annotated[
    str | None, typer.Option("--engine", metavar="KIND", help="vllm, openai (another server) or scripted.")
]
EngineUrl = Annotated[
    list[str] | None, typer.Option("--engine-url", metavar="URL", help="A vLLM server; may be repeated.")
]
Model = Annotated[str | None, typer.Option("--model", help="Language model: hub name, folder or package:NAME.")]
Encoder = Annotated[str | None, typer.Option("--encoder", help="Embedding model: hub name, folder or package:NAME.")]

Flags = Mapping[str, object]


def read_settings(
    data: Path | None, config: Path | None, profile: str | None, flags: Mapping[str, Flags] | None = None
) -> Settings:
    """The settings, with the flags that were given (not None) on top."""
    from app.configuration import load

    groups = {name: {k: v for k, v in group.items() if v is not None} for name, group in (flags or {}).items()}
    top: Flags = {} if data is None else {"data": data}
    return load({**groups, **top}, profile=profile, config=config)


def engine_flags(kind: str | None, urls: list[str] | None, model: str | None) -> Flags:
    """A URL without a kind means `openai`."""
    return {"kind": kind or ("openai" if urls else None), "urls": urls or None, "model": model}


def check_models(settings: Settings) -> None:
    """Refuse models that can't be used before anything starts; stay off the network when all of them are local."""
    from app.backend.engines import models

    engine, retrieval = settings.engine, settings.retrieval
    local_engine = [engine.model] if engine.kind == "vllm" else []
    local_encoder = [retrieval.encoder] if retrieval.encoder and not retrieval.urls else []
    models.check_refs(local_engine + local_encoder)


def prepare(settings: Settings) -> None:
    """What a command that works in this process does first: quiet log, checked models."""
    from app.backend.telemetry import configure_logging

    configure_logging(quiet=True)
    check_models(settings)


def emit(result: Mapping[str, object]) -> None:
    """The result as one line of JSON."""
    say(json.dumps(result, ensure_ascii=False))


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def note(text: str) -> None:
    """Progress and remarks, kept apart from results."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
