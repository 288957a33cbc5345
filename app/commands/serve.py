"""`serve` and `retrieval`: the two servers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from app import __version__
from app.commands.common import (
    Config,
    Data,
    Encoder,
    Engine,
    EngineUrl,
    Flags,
    Json,
    Model,
    Profile,
    check_models,
    emit,
    engine_flags,
    read_settings,
    say,
)

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on (default: 127.0.0.1).")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one (default: 7860).")]
AllowGuests = Annotated[
    bool, typer.Option("--allow-guests", help="Let in whoever comes, under tight quotas, also from other machines.")
]


def serve(
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
    host: Host = None,
    port: Port = None,
    accounts: Annotated[
        bool, typer.Option("--accounts", help="Only who has an account may come in (see `user add`).")
    ] = False,
    allow_guests: AllowGuests = False,
    share: Annotated[
        bool, typer.Option("--share", help="Open Gradio's public tunnel to it (with --accounts or --allow-guests).")
    ] = False,
    engine: Engine = None,
    engine_url: EngineUrl = None,
    retriever_url: Annotated[
        list[str] | None, typer.Option("--retriever-url", metavar="URL", help="A retrieval service; may be repeated.")
    ] = None,
    model: Model = None,
    encoder: Encoder = None,
    quantization: Annotated[
        str | None, typer.Option("--quantization", help="awq, gptq, fp8, ... (default: as the model says).")
    ] = None,
    kv_cache_dtype: Annotated[
        str | None, typer.Option("--kv-cache-dtype", help="auto or fp8: half the memory a token.")
    ] = None,
) -> None:
    """Serve the page and the API (the default command)."""
    flags: dict[str, Flags] = {
        "server": {
            "host": host,
            "port": port,
            "mode": "accounts" if accounts else None,
            "allow_guests": allow_guests or None,
            "share": share or None,
        },
        "engine": {
            **engine_flags(engine, engine_url, model),
            "quantization": quantization,
            "kv_cache_dtype": kv_cache_dtype,
        },
        "retrieval": {"encoder": encoder, "urls": retriever_url or None},
    }
    code = 0
    with _stoppable():
        say(f"Colloquy {__version__}")
        settings = read_settings(data, config, profile, flags)
        check_models(settings)
        from app import server

        code = server.serve(settings)
    _end(code, as_json)


def retrieval(
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
    host: Host = None,
    port: Port = None,
    encoder: Encoder = None,
    allow_guests: AllowGuests = False,
) -> None:
    """Serve retrieval alone, for other servers and for trainers."""
    say(f"Colloquy {__version__}, retrieval")
    flags: dict[str, Flags] = {
        "server": {"host": host, "port": port, "allow_guests": allow_guests or None},
        "retrieval": {"encoder": encoder},
    }
    settings = read_settings(data, config, profile, flags)
    check_models(settings)
    from app import server

    _end(server.serve_retrieval(settings), as_json)


class _Stopped(SystemExit):
    """Of all exceptions, an event loop lets only a SystemExit and a Ctrl-C through."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the block like a served server, also while there is no server yet that listens to signals."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Stopped:
        say("Colloquy has stopped.")
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(code: int, as_json: bool) -> None:
    if as_json:
        emit({"exit_code": code})
    raise typer.Exit(code)
