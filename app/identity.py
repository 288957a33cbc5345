"""Who is asking: an account, by its session or its API key, or a guest, by a signed cookie.

The owner's name is 128 random bits and is taken from what was verified only; a missing, forged or damaged cookie makes
a new guest. The signing secret is made once per data folder and is readable by its owner alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Literal, Protocol

from itsdangerous import BadSignature, Signer
from starlette.datastructures import Headers, MutableHeaders, State
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import HttpError, error_response
from app.backend.errors import BadInput, ColloquyError, StoreError
from app.backend.types import Principal
from app.settings import ServerSettings, is_loopback

COOKIE = "colloquy_guest"
SESSION = "colloquy_session"
GUEST = "guest-"
YEAR_S = 365 * 24 * 3600
LOOK_AGAIN_S = 1.0
_SECRET_BYTES = 32
_BY_PROXIES = (
    b"forwarded",
    b"via",
    b"x-forwarded-",
    b"x-real-ip",
    b"x-client-ip",
    b"cf-connecting-ip",
    b"true-client-ip",
)


class HasState(Protocol):
    """A Starlette request, or Gradio's wrapper around one."""

    @property
    def state(self) -> State: ...


class Identity:
    """Makes guests and recognises them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._signer = self.signer("guest")

    def signer(self, purpose: str) -> Signer:
        """Signs for one purpose; what was signed for another is worth nothing here."""
        return Signer(self._secret, salt=f"colloquy.{purpose}", digest_method=hashlib.sha256)

    def new_guest(self) -> str:
        return f"{GUEST}{secrets.token_urlsafe(16)}"

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
        return self.principal_of(request).id

    def principal_of(self, request: HasState) -> Principal:
        """Who sent a request that the policy let through to a `user` or `admin` address; for handlers as `owner_of`."""
        principal: Principal = request.state.principal
        return principal


class Accounts(Protocol):
    """What identity asks of the accounts. None: no such credential, or its account is disabled."""

    async def by_session(self, token: str) -> Principal | None: ...

    async def by_key(self, key: str) -> Principal | None: ...

    def banned(self, owner: str) -> bool: ...


PROBES = frozenset({"/healthz", "/readyz"})
"""Tell how the server is to everybody, whatever they carry: a revoked key is no reason to take it for dead."""


class Recognition:
    """The one place that says who a request is from: an API key, a session, or a guest's signed cookie."""

    def __init__(self, identity: Identity, accounts: Accounts, server: ServerSettings) -> None:
        self._identity = identity
        self._accounts = accounts
        self._server = server

    async def __call__(self, scope: Scope) -> Principal | None:
        """None is nobody; a guest without an id yet is made by the caller. Raises HttpError for what is refused."""
        headers = Headers(scope=scope)
        cookies = cookie_parser(headers.get("cookie", ""))
        if self._server.mode == "accounts":
            scheme, _, key = headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer":
                if (owner := await self._accounts.by_key(key.strip())) is None:
                    raise HttpError(401, "unauthorized", "This API key is not known here, or it was revoked.")
                return owner
            if (token := cookies.get(SESSION)) and (user := await self._accounts.by_session(token)):
                return user
            if not self._server.allow_guests:
                return None
        known = self._identity.verify(cookies.get(COOKIE, ""))
        if known and self._accounts.banned(known):
            raise HttpError(403, "banned", "Whoever runs this server has closed it to you.")
        return Principal(known or self._identity.new_guest(), _without_account(scope, self._server))


def _without_account(scope: Scope, server: ServerSettings) -> Literal["guest", "admin"]:
    """One machine, one person: without accounts, who sits at this machine is also who runs the server."""
    client = scope.get("client")
    here = server.mode == "guest" and server.local and client is not None and is_loopback(client[0])
    return "admin" if here and not _passed_on(scope) else "guest"


def _passed_on(scope: Scope) -> bool:
    """Whether a proxy on this machine seems to have sent it: then nobody needs to sit here. No browser speaks HTTP/1.0,
    which is what nginx, left as it comes, does.
    """
    return scope.get("http_version") == "1.0" or any(name.startswith(_BY_PROXIES) for name, _ in scope["headers"])


class Strangers:
    """For a service that knows nobody: puts a `principal` without a name of its own into `scope["state"]`."""

    def __init__(self, app: ASGIApp, server: ServerSettings) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["principal"] = Principal("stranger", _without_account(scope, self._server))
        await self._app(scope, receive, send)


class IdentityMiddleware:
    """Puts `principal` and `owner` into `scope["state"]`, and gives a guest without a valid cookie a new one.

    No cookie goes onto an answer that shared caches may keep: they would hand one guest's name to everybody. A stream
    is asked again who it is from while it lasts, and is cut when its reader may no longer read.
    """

    def __init__(self, app: ASGIApp, identity: Identity, recognise: Recognition) -> None:
        self._app = app
        self._identity = identity
        self._recognise = recognise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._recognise(scope)
        except (HttpError, ColloquyError) as error:
            if scope["path"] not in PROBES:
                await error_response(error, scope)(scope, receive, send)
                return
            principal = None
        state = scope.setdefault("state", {})
        state["principal"], state["owner"] = principal, principal.id if principal else ""
        cookie = self._new_cookie(scope, principal)
        clock = asyncio.get_running_loop().time
        next_look = clock() + LOOK_AGAIN_S

        async def send_watched(message: Message) -> None:
            nonlocal next_look
            if cookie and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "public" not in headers.get("cache-control", ""):
                    headers.append("set-cookie", cookie)
            elif message.get("more_body") and principal and clock() >= next_look:
                next_look = clock() + LOOK_AGAIN_S
                if not await self._still(principal, scope):
                    cut.reschedule(clock())
                    return
            await send(message)

        try:
            async with asyncio.timeout(None) as cut:
                await self._app(scope, receive, send_watched)
        except TimeoutError:
            if not cut.expired():
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _still(self, principal: Principal, scope: Scope) -> bool:
        try:
            now = await self._recognise(scope)
        except HttpError:
            return False
        except ColloquyError:  # the store's trouble, not the reader's
            return True
        return now is not None and now.role == principal.role

    def _new_cookie(self, scope: Scope, principal: Principal | None) -> str:
        """The cookie of a guest who came without a valid one; empty for everybody else."""
        if principal is None or not principal.id.startswith(GUEST):
            return ""
        sent = cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE, "")
        if self._identity.verify(sent):
            return ""
        return set_cookie(COOKIE, self._identity.sign(principal.id), YEAR_S, scope)


def set_cookie(name: str, value: str, max_age_s: int, scope: Scope) -> str:
    """A `Set-Cookie` value that scripts cannot read and other sites' forms do not send; https keeps it to itself."""
    attributes = f"Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax"
    return f"{name}={value}; {attributes}{'; Secure' if scope['scheme'] == 'https' else ''}"


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
    if len(secret) != _SECRET_BYTES or len(set(secret)) < _SECRET_BYTES // 2:
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
