"""Log in, join by invitation, and the account's own page: plain forms that need no script.

Against forms on other sites the guard in `app.security` stands before these routes: every browser says with a POST
where it comes from (`Sec-Fetch-Site`, or `Origin` in older ones), all but our own pages are refused (also `Origin:
null`), and the session's cookie is not sent along from elsewhere (`SameSite=Lax`). A token in each form would only
repeat that.

Invariant: a password or a new key is never in an address, and no page with one may be kept by a cache.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.api.errors import HttpError
from app.backend.accounts.service import SESSION_S, Accounts
from app.backend.errors import BadField, Refused
from app.backend.types import Principal
from app.identity import SESSION, set_cookie
from app.policy import LOG_IN
from app.settings import ASSETS, Settings
from app.ui import i18n
from app.ui.i18n import Lang
from app.ui.templating import environment

LANGUAGE_COOKIE = "colloquy_lang"
_YEAR_S = 365 * 24 * 3600
_TEXT = Form(max_length=1000)
_NO_STORE = {"Cache-Control": "no-store"}


def routes(accounts: Accounts, settings: Settings) -> APIRouter:
    """The pages of a server with accounts."""
    router = APIRouter(include_in_schema=False)
    show = _Pages(settings)

    @router.get(LOG_IN)
    async def log_in_page(
        request: Request, wanted: Annotated[str, Query(alias="next", max_length=2000)] = ""
    ) -> Response:
        if _role(request) in ("user", "admin"):
            return _to(_safe(wanted))
        return show(request, "log_in", next=wanted, guests=settings.server.allow_guests)

    @router.post(LOG_IN)
    async def log_in(
        request: Request,
        name: Annotated[str, _TEXT] = "",
        password: Annotated[str, _TEXT] = "",
        wanted: Annotated[str, Form(alias="next", max_length=2000)] = "",
    ) -> Response:
        async def done() -> Response:
            replaces = request.cookies.get(SESSION, "")
            token = await accounts.log_in(name, password, _address(request), replaces)
            return _begun(_to(_safe(wanted)), token, request)

        values = {"name": name, "next": wanted, "guests": settings.server.allow_guests}
        return await show.unless_wrong(done, request, "log_in", **values)

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        if token := request.cookies.get(SESSION):
            await accounts.log_out(token)
        return _ended(request)

    @router.get("/join")
    async def join_page(request: Request, code: Annotated[str, Query(max_length=200)] = "") -> Response:
        return show(request, "join", code=code, invitation=await accounts.invitation(code), name="")

    @router.post("/join")
    async def join(
        request: Request,
        code: Annotated[str, _TEXT] = "",
        name: Annotated[str, _TEXT] = "",
        password: Annotated[str, _TEXT] = "",
    ) -> Response:
        async def done() -> Response:
            return _begun(_to("/"), await accounts.join(code, name, password, _address(request)), request)

        invitation = await accounts.invitation(code)
        return await show.unless_wrong(done, request, "join", code=code, invitation=invitation, name=name)

    @router.get("/account")
    async def account_page(user: _Member, request: Request, done: str = "") -> Response:
        if user is None:
            return _to(f"{LOG_IN}?next=/account")
        return show(request, "account", user=user, keys=await accounts.keys(user), done=done)

    @router.post("/account/password")
    async def change_password(
        user: _Self, request: Request, old: Annotated[str, _TEXT] = "", password: Annotated[str, _TEXT] = ""
    ) -> Response:
        async def done() -> Response:
            token = await accounts.change_password(user, old, password)
            return _begun(_to("/account?done=password"), token, request)

        keys = await accounts.keys(user)
        return await show.unless_wrong(done, request, "account", user=user, keys=keys, done="")

    @router.post("/account/keys")
    async def create_key(user: _Self, request: Request, label: Annotated[str, _TEXT] = "") -> Response:
        async def done() -> Response:
            key = await accounts.create_key(user, label)
            return show(request, "account", user=user, keys=await accounts.keys(user), done="", new_key=key)

        keys = await accounts.keys(user)
        return await show.unless_wrong(done, request, "account", user=user, keys=keys, done="", label=label)

    @router.post("/account/keys/{key_id}/revoke")
    async def revoke_key(user: _Self, key_id: str) -> Response:
        await accounts.revoke_key(user, key_id)
        return _to("/account?done=revoked")

    @router.post("/account/sessions/end")
    async def end_sessions(user: _Self, request: Request) -> Response:
        await accounts.log_out_everywhere(user)
        return _ended(request)

    return router


class _Pages:
    """Fills the templates of this page, in the reader's language."""

    def __init__(self, settings: Settings) -> None:
        self._default = settings.server.language
        self._environment = environment()
        self._environment.filters["day"] = _day
        variables = (ASSETS / "style.css").read_text(encoding="utf-8").partition("\n\n")[0]
        self._icon = f"data:image/svg+xml,{quote((ASSETS / 'icon.svg').read_text(encoding='utf-8'))}"
        self._style = f"{variables}\n{(ASSETS / 'forms.css').read_text(encoding='utf-8')}"

    def __call__(
        self, request: Request, template: str, status: int = 200, wrong: BadField | None = None, /, **values: object
    ) -> Response:
        asked = request.query_params.get("lang")
        lang = i18n.pick(
            asked or request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""), self._default
        )
        html = self._environment.get_template(f"{template}.html").render(
            t=lambda key, **kw: i18n.text(lang, key, **kw),
            lang=lang,
            style=self._style,
            icon=self._icon,
            here=request.url.path,
            wrong=_Wrong(wrong, lang),
            **({"new_key": "", "label": ""} | values),
        )
        response = HTMLResponse(html, status, _NO_STORE)
        if asked in i18n.LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, asked, max_age=_YEAR_S, samesite="lax")
        return response

    async def unless_wrong(
        self, done: Callable[[], Awaitable[Response]], request: Request, template: str, /, **values: object
    ) -> Response:
        """What `done` answers, or the page `name` once more, with what is wrong beside the field that it is in."""
        try:
            return await done()
        except BadField as error:
            return self(request, template, HTTPStatus.UNPROCESSABLE_ENTITY, error, **values)
        except Refused as error:
            wait_s = round(error.retry_after_s or 1)
            waiting = BadField("form", "slow_down", error.message)
            response = self(request, template, HTTPStatus.TOO_MANY_REQUESTS, waiting, **values)
            response.headers["Retry-After"] = str(max(1, wait_s))
            return response


class _Wrong:
    """What a template asks about the one field that is wrong."""

    def __init__(self, error: BadField | None, lang: Lang) -> None:
        self.field = error.field if error else ""
        self.text = i18n.known(lang, f"wrong.{error.reason}", error.message) if error else ""


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _role(request: Request) -> str:
    principal: Principal | None = request.state.principal
    return principal.role if principal else ""


async def _member(request: Request) -> Principal | None:
    """Who is logged in; nobody for a guest. An API key is for programs: it makes no further keys."""
    if "authorization" in request.headers:
        raise HttpError(403, "forbidden", "This needs a log-in with a password; an API key is not enough.")
    principal: Principal = request.state.principal
    return None if principal.role == "guest" else principal


async def _self(user: _Member) -> Principal:
    if user is None:
        raise HttpError(403, "forbidden", "This is for people with an account; log in first.")
    return user


_Member = Annotated[Principal | None, Depends(_member)]
_Self = Annotated[Principal, Depends(_self)]


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _safe(wanted: str) -> str:
    """An address of ours, whatever a link to the log-in page asked for: a path, which no other site can be."""
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if ours else "/"


def _to(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, _NO_STORE)


def _begun(response: Response, token: str, request: Request) -> Response:
    response.headers.append("set-cookie", set_cookie(SESSION, token, SESSION_S, request.scope))
    return response


def _ended(request: Request) -> Response:
    response = _to(LOG_IN)
    response.headers.append("set-cookie", set_cookie(SESSION, "", 0, request.scope))
    return response
