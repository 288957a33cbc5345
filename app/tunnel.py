"""Gradio's public tunnel, for `serve --share`: an address on the internet that leads to this server for some days.

Invariant: the server is complete without it; when it cannot be had, one sentence says so and what to do instead.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

import structlog

from app.backend.errors import Unavailable
from app.security import TUNNELS

log = structlog.get_logger(__name__)
_NONE = (
    "The public tunnel cannot be had ({why}). The server runs on without it: for people on your network serve with "
    "--host 0.0.0.0, for others put a proxy with HTTPS in front (README, For a team)."
)


def open_in_background(port: int, say: Callable[[str], None]) -> None:
    """Say the public address when it is there, or why it is not."""
    Thread(target=lambda: say(_opened(port)), name="tunnel", daemon=True).start()


def _opened(port: int) -> str:
    try:
        return f"Everybody finds it at {open_tunnel(port)} (Gradio's tunnel, which ends with this server)"
    except Unavailable as error:
        return error.message


def open_tunnel(port: int) -> str:
    """The public address of the server on this port of this machine. Takes seconds; raises Unavailable.

    The tunnel's client calls it http, as it speaks itself; browsers come over https, as Gradio tells them to.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from gradio.networking import setup_tunnel

    try:
        address: str = setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        log.info("no tunnel", reason=str(error))
        cause = error.__cause__ or error
        why = "Gradio's server cannot be reached" if "share link" in str(error) else type(cause).__name__
        raise Unavailable(_NONE.format(why=why)) from error
    parts = urlsplit(address)
    return urlunsplit(parts._replace(scheme="https")) if (parts.hostname or "").endswith(TUNNELS) else address
