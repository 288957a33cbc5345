"""What a visitor does with a link over HTTP: go on in a copy, run again, watch what is being written."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.backend.comparing import compare_answers
from app.ui import public
from tests.api.house import error_of, events_of
from tests.api.links import PAGE, answered, house, share
from tests.api.team import ACCOUNTS, log_in

pytestmark = pytest.mark.anyio


async def test_a_visitor_goes_on_in_a_copy_and_the_owner_sees_only_the_count(tmp_path: Path) -> None:
    async with house(tmp_path, ["Yes."], ["Mine."]) as served:
        await answered(served)
        share_id, path = await share(served.guest, "")
        await served.other.get(path, headers=PAGE)
        await served.guest.get(path, headers=PAGE)
        copied = await served.other.post(f"{path}/fork")
        assert copied.status_code == 201
        copy = copied.json()["conversation_id"]
        assert copied.json()["url"] == f"/?c={copy}"
        form = await served.other.post(f"{path}/fork", headers=PAGE)
        assert (form.status_code, form.headers["location"][:4]) == (303, "/?c=")
        tree = (await served.other.get(f"/api/conversations/{copy}")).json()
        assert tree["turns"][0]["generations"][0]["answer"] == "Yes."
        assert (await served.guest.get(f"/api/conversations/{copy}")).status_code == 404
        [line] = (await served.guest.get("/api/shares")).json()["shares"]
        assert (line["id"], line["views"]) == (share_id, 1)
        assert "url" not in line
        assert path.endswith(line["hint"])


async def test_with_accounts_a_link_is_public_and_a_copy_leads_through_the_log_in(tmp_path: Path) -> None:
    from app.backend.accounts import membership
    from tests.api.team import PASSWORD

    async with house(tmp_path, doors=ACCOUNTS) as served:
        for name in ("Ann", "Bob"):
            membership.add(served.data / "colloquy.db", name, "user", PASSWORD)
        await log_in(served.guest, "Ann")
        await answered(served)
        _, path = await share(served.guest, "")
        page = await served.other.get(path, headers=PAGE)
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        assert "Ann" not in page.text
        assert (await served.other.get(f"{path}/preview.png")).status_code == 200
        sent = await served.other.post(f"{path}/fork", headers=PAGE)
        assert sent.status_code == 303
        login = httpx.URL(sent.headers["location"])
        assert (login.path, login.params["next"]) == ("/login", f"{path}?then=fork")
        assert (await served.other.post(f"{path}/fork")).status_code == 401
        assert (await served.other.post(f"{path}/again/1")).status_code == 401
        assert (await served.other.get(f"{path}/changes/1?g=x")).status_code == 401
        back = await log_in(served.other, "Bob", next=login.params["next"])
        assert back.headers["location"] == f"{path}?then=fork"
        assert "You are logged in" in (await served.other.get(back.headers["location"], headers=PAGE)).text
        assert (await served.other.post(f"{path}/fork")).status_code == 201


async def test_run_again_shows_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[threading.Thread] = []

    def noting(*args: Any) -> Any:
        on.append(threading.current_thread())
        return compare_answers(*args)

    monkeypatch.setattr(public, "compare_answers", noting)
    async with house(tmp_path, ["It is tall. It is old."], ["It is tall. It is new."]) as served:
        await answered(served)
        _, path = await share(served.guest, "")
        asked = await served.other.post(f"{path}/again/1")
        assert asked.status_code == 202
        generation_id = asked.json()["generation_id"]
        await events_of(served.other, generation_id)
        change = await served.other.get(f"{path}/changes/1?g={generation_id}")
        assert "worded differently" in change.text
        assert len(on) == 1
        assert on[0] is not threading.current_thread(), "answers are compared beside the event loop"
        assert "Same pipeline, settings, model, corpus version and seed" in change.text
        assert re.findall(r"<mark>(\w+)", change.text) == ["old", "new"]
        assert (await served.guest.get(f"{path}/changes/1?g={generation_id}")).status_code == 404
        assert (await served.other.post(f"{path}/again/7")).status_code == 404


async def test_what_a_link_cannot_give_now_has_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    async with house(tmp_path, ["It is tall."], ["one ", gate]) as served:
        await answered(served, pipeline="naive", corpus="demo")
        _, path = await share(served.guest, "")
        monkeypatch.setattr(served.retriever, "corpora", lambda: ())
        refused = await served.other.post(f"{path}/again/1")
        assert (refused.status_code, error_of(refused)["code"]) == (422, "share_again")
        _, live = await share(served.guest, await served.ask())
        refused = await served.other.post(f"{live}/fork", headers={"accept": "application/json"})
        assert (refused.status_code, error_of(refused)["code"]) == (422, "share_unfinished")
        gate.set()


async def test_a_running_answer_is_watched_by_whoever_has_the_link(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with house(tmp_path, ["one ", gate, "two"]) as served:
        generation_id = await served.ask()
        _, path = await share(served.guest, generation_id)
        page = await served.other.get(path, headers=PAGE)
        assert f'data-live="{path}/live/1"' in page.text
        assert generation_id not in page.text
        patches = []
        async with served.other.stream("GET", f"{path}/live/1") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    patches.append(json.loads(line.removeprefix("data: ")))
                    if "one" in line:
                        gate.set()
        assert patches[-1]["end"] == "done"
        assert "one two" in patches[-1]["html"]
        assert generation_id not in json.dumps(patches)
        again = await served.other.get(f"{path}/live/1")
        assert "one two" in again.text
