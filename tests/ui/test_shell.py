"""The first paint comes in the visitor's language, whatever else the browser sends along."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.backend.types import Principal
from app.settings import ServerSettings
from app.ui.render import Renderer
from app.ui.shell import Shell

pytestmark = pytest.mark.anyio


def page(request: object) -> HTMLResponse:
    return HTMLResponse('<html lang="en"><style></style><gradio-app></gradio-app></html>')


@pytest.mark.parametrize("foreign", ["", "a/b=1; ", "=; ", "x; ", 'q="\\"; ', "\x7f=1; "])
async def test_foreign_cookies_do_not_stand_in_the_way_of_ours(foreign: str) -> None:
    shell = Shell(Starlette(routes=[Route("/", page)]), Renderer(()), "v1", ServerSettings())

    async def known(scope: Scope, receive: Receive, send: Send) -> None:
        await shell({**scope, "state": {"principal": Principal("guest-1", "guest")}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(known), base_url="http://localhost") as client:
        answer = await client.get("/", headers={"cookie": f"{foreign}colloquy_lang=zh", "accept-language": "en"})
    assert answer.status_code == 200
    assert '<html lang="zh"' in answer.text and 'data-role="guest"' in answer.text
