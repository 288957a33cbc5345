"""Who is asking: a signed cookie makes each browser a guest.

The owner's name is 128 random bits and is taken from the verified cookie only; a missing, forged or damaged cookie
makes a new guest. The signing secret is made once per data folder and is readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Protocol

from itsdangerous import BadSignature, Signer
from starlette.datastructures import Headers, MutableHeaders, State
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.backend.errors import BadInput, StoreError

COOKIE = "colloquy_guest"
YEAR_S = 365 * 24 * 3600
_SECRET_BYTES = 32


class HasState(Protocol):
    """A Starlette request, or Gradio's wrapper around one."""

    @property
    def state(self) -> State: ...


class Identity:
    """Makes guests and recognises them."""

    def __init__(self, secret: bytes) -> None:
        self._signer = Signer(secret, salt="colloquy.guest", digest_method=hashlib.sha256)

    def new_guest(self) -> str:
        return f"guest-{secrets.token_urlsafe(16)}"

    def sign(self, owner: str) -> str:
        """The cookie value of `owner`."""
        return self._signer.sign(owner).decode("ascii")

    def verify(self, cookie: str) -> str | None:
        """The owner a cookie value was made for; None unless we made it."""
        try:
            return self._signer.unsign(cookie).decode("ascii")
        except (BadSignature, UnicodeError):
            return None

    def owner_of(self, request: HasState) -> str:
        """The owner of a request that came through `IdentityMiddleware`, in an API route or a Gradio handler."""
        owner: str = request.state.owner
        return owner


class IdentityMiddleware:
    """Puts the owner into `scope["state"]` and gives a browser without a valid cookie a new one.

    No cookie goes onto an answer that shared caches may keep: they would hand one guest's name to everybody.
    """

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self._app = app
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookie = cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE)
        known = self._identity.verify(cookie) if cookie else None
        owner = known or self._identity.new_guest()
        scope.setdefault("state", {})["owner"] = owner
        if known:
            await self._app(scope, receive, send)
            return
        attributes = f"Path=/; Max-Age={YEAR_S}; HttpOnly; SameSite=Lax"
        if scope["scheme"] == "https":
            attributes += "; Secure"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "public" not in headers.get("cache-control", ""):
                    headers.append("set-cookie", f"{COOKIE}={self._identity.sign(owner)}; {attributes}")
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def load_identity(data: Path) -> Identity:
    """The identity of a data folder; makes its secret when there is none."""
    path = data / "secret"
    try:
        if not path.exists():
            _create_secret(path)
        path.chmod(0o600)
        secret = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(f"The file `secret` in the data folder cannot be read or written ({reason}).") from error
    if len(secret) != _SECRET_BYTES:
        raise BadInput("The file `secret` in the data folder is damaged; delete it (all browsers become new guests).")
    return Identity(secret)


def _create_secret(path: Path) -> None:
    # Written elsewhere and linked into place: of two servers that start at once, both end up with the same secret.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".secret-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        os.unlink(temporary)
