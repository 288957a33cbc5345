"""`serve --share`: nobody is let in by accident, and a tunnel that cannot be had is one sentence."""

from __future__ import annotations

from pathlib import Path

import gradio.networking
import httpx
import pytest

from app import tunnel
from app.backend.errors import BadInput, Unavailable
from app.settings import ServerSettings
from app.startup import check_doors
from tests.api.house import serving
from tests.doubles import settings

pytestmark = pytest.mark.anyio


def test_it_is_refused_where_whoever_comes_would_have_everything(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--accounts too.*--allow-guests"):
        check_doors(settings(tmp_path, server={"share": True}))
    check_doors(settings(tmp_path, server={"share": True, "allow_guests": True}))
    with pytest.raises(BadInput, match="user add"):
        check_doors(settings(tmp_path, server={"share": True, "mode": "accounts"}))


def test_without_the_internet_one_sentence_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: object) -> str:
        raise RuntimeError("Could not get share link from Gradio API Server.")

    monkeypatch.setattr(gradio.networking, "setup_tunnel", none)
    with pytest.raises(Unavailable, match=r"cannot be had.*runs on without it.*--host"):
        tunnel.open_tunnel(1)


async def test_who_comes_through_the_tunnel_is_a_guest_and_no_operator(tmp_path: Path) -> None:
    through = {"host": "abc.gradio.live"}
    doors = ServerSettings(share=True, allow_guests=True)
    async with serving(tmp_path, doors=doors) as served, httpx.AsyncClient(base_url=served.url, headers=through) as who:
        assert (await who.get("/api/conversations")).status_code == 200
        assert (await who.get("/metrics")).status_code == 403
        assert (await who.post("/api/demos", json={"title": "T"})).status_code == 403


async def test_without_a_tunnel_its_name_is_not_ours(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        answer = await served.guest.get("/api/conversations", headers={"host": "abc.gradio.live"})
        assert answer.status_code == 421
