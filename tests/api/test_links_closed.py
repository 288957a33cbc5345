"""Links that an operator closes: those of somebody who is shut out, for so long, and all of somebody, for good."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from app.backend.accounts import membership
from app.backend.errors import StoreError
from app.backend.types import Principal
from app.ui.pages.admin import Admin, Asked
from app.ui.render import Renderer
from tests.api.house import Served
from tests.api.links import answered, house, share
from tests.api.team import ACCOUNTS, PASSWORD, log_in, principal

pytestmark = pytest.mark.anyio

DOORS = (("GET", ""), ("GET", "/preview.png"), ("GET", "/live/1"), ("POST", "/fork"), ("POST", "/again/1"))
NEVER = "/s/" + "A" * 43


async def open_doors(client: httpx.AsyncClient, path: str) -> int:
    """Behind how many of the five it is not as if the link had never been."""
    count = 0
    for method, tail in DOORS:
        page = {"accept": "text/html"}
        found, unknown = [await client.request(method, at + tail, headers=page) for at in (path, NEVER)]
        assert unknown.status_code == 404
        count += found.status_code != 404 or _but_its_id(found) != _but_its_id(unknown)
    return count


def _but_its_id(response: httpx.Response) -> str:
    return re.sub(r'"id":"[0-9a-f]+"', "", response.text)


async def test_links_of_a_guest_who_is_shut_out_are_like_unknown_ones_until_it_is_let_in(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        _, path = await share(served.guest, "")
        owner = await owner_of(served)
        assert await open_doors(served.other, path) == 5
        await served.backend.accounts.set_banned(owner, True)
        assert await open_doors(served.other, path) == 0
        await served.backend.accounts.set_banned(owner, False)
        assert await open_doors(served.other, path) == 5


async def owner_of(served: Served) -> str:
    """Who asked, when one did."""
    (person,) = [p for p in await served.backend.operations.people.listing() if p.questions]
    return person.owner


async def test_links_of_a_disabled_account_are_like_unknown_ones_until_it_is_not(tmp_path: Path) -> None:
    async with house(tmp_path, doors=ACCOUNTS) as served:
        for name in ("Ann", "Bob"):
            membership.add(served.data / "colloquy.db", name, "user", PASSWORD)
        await log_in(served.guest, "Ann")
        await log_in(served.other, "Bob")
        await answered(served)
        _, path = await share(served.guest, "")
        ann = await principal(served, "Ann")
        await served.backend.accounts.set_disabled(ann.id, True)
        assert await open_doors(served.other, path) == 0
        await served.backend.accounts.set_disabled(ann.id, False)
        assert await open_doors(served.other, path) == 5


async def test_who_watches_sees_no_more_once_the_owner_is_shut_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.shares.service.LOOK_AGAIN_S", 0.0)
    gate = asyncio.Event()
    async with house(tmp_path, ["one ", gate, "two"]) as served:
        await served.ask()
        _, path = await share(served.guest, "")
        owner = await owner_of(served)
        seen = ""
        async with served.other.stream("GET", f"{path}/live/1") as stream:
            async for line in stream.aiter_lines():
                seen += line
                if "one" in line and not gate.is_set():
                    await served.backend.accounts.set_banned(owner, True)
                    gate.set()
        assert "one" in seen
        assert "two" not in seen


async def test_an_operator_sees_how_many_links_somebody_has_and_revokes_them_all(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        paths = [(await share(served.guest, ""))[1] for _ in range(2)]
        deleted = (await share(served.guest, await answered(served, "Another?")))[1]
        conversation = (await served.guest.get("/api/conversations")).json()["conversations"][0]["id"]
        await served.guest.delete(f"/api/conversations/{conversation}")
        owner = await owner_of(served)
        links = f"/api/admin/people/{owner}/links"
        (person,) = (await served.other.get("/api/admin/people")).json()
        assert (person["owner"], person["links"]) == (owner, 2)
        assert (await served.other.delete(links)).status_code == 204
        assert [await open_doors(served.other, path) for path in paths] == [0, 0]
        await served.guest.post(f"/api/conversations/{conversation}/restore")
        assert await open_doors(served.other, deleted) == 0, "nothing brings it back"
        assert (await served.guest.get("/api/shares")).json() == {"shares": []}
        line = (await served.other.get("/api/admin/audit")).json()[0]
        assert (line["deed"], line["subject"], line["detail"]) == ("unlink", owner, "2")
        assert (await share(served.guest, ""))[1] not in paths
        assert (await served.other.delete("/api/admin/people/user-nobody/links")).status_code == 404


async def test_links_that_cannot_be_closed_in_the_audit_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        _, path = await share(served.guest, "")
        owner = await owner_of(served)

        async def full(*args: object) -> None:
            raise StoreError("The disk is full.")

        monkeypatch.setattr("app.backend.operations.audit.Audit.record", full)
        assert (await served.other.delete(f"/api/admin/people/{owner}/links")).status_code == 500
        assert await open_doors(served.other, path) == 5


async def test_who_has_links_is_among_the_people_also_where_guests_no_longer_come_in(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        await share(served.guest, "")
        owner = await owner_of(served)
        people = Admin(served.backend, Renderer([]), guests=False)
        drawn = await people.part("people", Asked(Principal("user-root", "admin", "Root"), "en"))
        assert f"p-{owner}" in drawn
        assert "Revoke links (1)" in drawn
