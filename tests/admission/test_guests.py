"""Guests who drop their cookie are new each time, their network is not; and accounts have room beside them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from app.backend.admission import Gate, Guests, network_of
from app.backend.engines.scripted import Silence
from app.backend.errors import Busy, Refused
from app.backend.service import Question
from app.backend.storage import rows
from app.settings import AddressQuota, QuotaSettings, ServerSettings
from tests.admission.house import Clock, House
from tests.api.house import Served, error_of, serving

pytestmark = pytest.mark.anyio
BESIDE = ServerSettings(mode="accounts", allow_guests=True)


async def ask_as_new_guest(served: Served) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url) as client:
        conversation = (await client.post("/api/conversations")).json()["id"]
        asked = {"question": "Why?", "pipeline": "direct"}
        return await client.post(f"/api/conversations/{conversation}/ask", json=asked)


async def stop_all(served: Served) -> None:
    for standing in served.backend.queue().visits:
        await served.backend.stop(standing.owner, standing.generation_id)


@pytest.mark.process
async def test_thirty_new_guests_of_one_address_have_one_quota(tmp_path: Path) -> None:
    async with serving(tmp_path, [[Silence()]] * 30, doors=BESIDE) as served:
        answers = [await ask_as_new_guest(served) for _ in range(30)]
        assert [answer.status_code for answer in answers] == [202] * 8 + [429] * 22
        assert error_of(answers[-1])["retry_after_s"] >= 1
        assert served.backend.queue().refused == {"address_live": 22}
        await stop_all(served)


async def test_the_four_columns_of_a_guest_run_beside_each_other(tmp_path: Path) -> None:
    async with serving(tmp_path, [[Silence()]] * 8, doors=BESIDE, admission={"max_running": 8}) as served:
        asked = {"question": "Why?", "sides": [{"pipeline": "direct"}] * 4}
        assert (await served.guest.post("/api/compare", json=asked)).status_code == 202
        assert served.backend.queue().running["compare"] == 4
        assert (await ask_as_new_guest(served)).status_code == 503, "guests have half of the slots"
        await stop_all(served)


def test_the_four_columns_of_a_guest_wait_together_for_an_engine_that_starts() -> None:
    house = House(opened=False, quota=QuotaSettings().guest)
    for _ in range(4):
        house.enter(lane="compare")
    assert (house.running, house.waiting) == (0, 4)
    house.admission.set_gate(Gate(True))
    assert (house.running, house.waiting) == (4, 0)


async def test_a_comparison_that_a_network_may_not_ask_whole_uses_up_none_of_its_day(tmp_path: Path) -> None:
    quotas = {"guest": {"running": 4}, "address": {"per_day": 3}}
    async with serving(tmp_path, doors=BESIDE, quotas=quotas) as served:

        async def compare(columns: int) -> int:
            asked = {"question": "Why?", "sides": [{"pipeline": "direct"}] * columns}
            return (await served.guest.post("/api/compare", json=asked)).status_code

        assert [await compare(columns) for columns in (4, 3, 2)] == [429, 202, 429]


async def test_a_restart_gives_a_network_no_new_day_and_keeps_nothing_of_yesterday(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = {"doors": BESIDE, "quotas": {"address": {"per_day": 3}}}
    async with serving(tmp_path, **house) as served:  # type: ignore[arg-type]
        assert [(await ask_as_new_guest(served)).status_code for _ in range(2)] == [202] * 2
    async with serving(tmp_path, **house) as served:  # type: ignore[arg-type]
        assert [(await ask_as_new_guest(served)).status_code for _ in range(2)] == [202, 429]
        assert served.backend.queue().refused == {"address_per_day": 1}
    tomorrow = rows.iso(time.time() // 86_400 * 86_400 + 86_400)
    monkeypatch.setattr(rows, "midnight", lambda: tomorrow)
    async with serving(tmp_path, **house) as served:  # type: ignore[arg-type]
        assert (await ask_as_new_guest(served)).status_code == 202
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        assert db.execute("SELECT network, day, asked FROM networks").fetchall() == [("127.0.0.1", tomorrow, 1)]


async def test_new_guests_of_one_network_cannot_fill_the_disk_with_empty_conversations(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=BESIDE, quotas={"address": {"per_day": 3}}) as served:

        async def begin(**headers: str) -> httpx.Response:
            async with httpx.AsyncClient(base_url=served.url, headers=headers) as client:
                return await client.post("/api/conversations")

        answers = [await begin() for _ in range(4)]
        assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
        assert error_of(answers[-1])["retry_after_s"] >= 1
        elsewhere = {"x-forwarded-for": "203.0.113.9"}
        assert (await begin(**elsewhere)).status_code == 201


async def test_new_guests_of_one_network_have_one_days_votes_and_changing_one_is_not_another(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=BESIDE, arena={"votes_per_day": 2}) as served:

        async def vote(network: str, *winners: str) -> list[bool]:
            """Whether the votes of a new guest count."""
            async with httpx.AsyncClient(base_url=served.url, headers={"x-forwarded-for": network}) as client:
                asked = {"question": "Why?", "sides": [{"pipeline": "direct"}, {"pipeline": "naive"}]}
                ticket = (await client.post("/api/compare", json=asked)).json()
                for generation in ticket["generation_ids"]:
                    await client.get(f"/api/generations/{generation}/events")
                url = f"/api/comparisons/{ticket['comparison_id']}/vote"
                cast = [(await client.post(url, json={"winner": winner})).json()["vote"] for winner in winners]
                return [given["counted"] for given in cast]

        assert await vote("203.0.113.9", "a", "b") == [True, True]
        assert await vote("203.0.113.9", "a") == [True]
        assert await vote("203.0.113.9", "a", "b") == [False, False]
        assert await vote("203.0.113.7", "a") == [True]
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        assert dict(db.execute("SELECT network, voted FROM networks")) == {"203.0.113.9": 2, "203.0.113.7": 1}


async def test_the_page_counts_by_address_too_and_does_not_let_the_browser_name_it(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=BESIDE, quotas={"address": {"per_minute": 1}}) as served:
        from app.ui.actions import Actions
        from app.ui.render import Renderer

        act = Actions(served.backend, Renderer(served.backend.pipelines()), {"en": (), "zh": ()})
        asked: dict[str, object] = {"do": "ask", "text": "Why?", "pipeline": "direct"}
        first = await act("guest-1", asked, "198.51.100.1")
        assert "generation" in first
        assert (await act("guest-2", asked, "198.51.100.1"))["error"]["code"] == "refused"
        again = {"do": "again", "g": first["generation"]}
        assert (await act("guest-1", again, "198.51.100.1"))["error"]["code"] == "refused"
        assert (await act("guest-3", asked | {"address": "x"}, "198.51.100.1"))["error"]["code"] == "bad_input"
        assert "generation" in await act("guest-4", asked, "198.51.100.2")


async def test_an_account_is_let_in_while_guests_of_many_addresses_fill_their_part(tmp_path: Path) -> None:
    limits = {"max_running": 4, "max_queued": 2}
    async with serving(tmp_path, [[Silence()]] * 9, doors=BESIDE, admission=limits) as served:
        backend = served.backend

        async def ask(owner: str, address: str) -> None:
            conversation = await backend.create_conversation(owner)
            await backend.ask(owner, conversation.id, Question("Why?", "direct", address=address))

        for n in range(2):
            await ask(f"guest-{n}", f"198.51.100.{n}")
        with pytest.raises(Busy, match="guests"):
            await ask("guest-9", "198.51.100.9")
        for n in range(2):
            await ask(f"user-{n}", "198.51.100.1")
        assert sum(backend.queue().running.values()) == 4
        await stop_all(served)


async def test_on_a_machine_that_serves_only_itself_nothing_is_counted_by_address(tmp_path: Path) -> None:
    async with serving(tmp_path, [[Silence()]] * 12) as served:
        answers = await asyncio.gather(*(ask_as_new_guest(served) for _ in range(12)))
        assert [answer.status_code for answer in answers] == [202] * 12
        await stop_all(served)


def test_an_address_may_ask_so_often_a_minute_and_a_day_and_is_told_when_again() -> None:
    clock = Clock()
    guests = Guests(lambda owner: True, AddressQuota(per_minute=2, per_day=3), wall=clock)

    def ask() -> str:
        refusal = guests.refusal("net", [], 1.0)
        if refusal is None:
            guests.count("net")
            return "in"
        assert isinstance(refusal[1], Refused)
        assert refusal[1].retry_after_s
        return refusal[0]

    assert [ask() for _ in range(3)] == ["in", "in", "address_per_minute"]
    assert guests.refusal("other", [], 1.0) is None
    clock.at += 61
    assert [ask(), ask()] == ["in", "address_per_day"]


def test_an_ipv6_network_is_one_address_however_it_is_written() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9%eth0") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:198.51.100.1") == network_of("198.51.100.1") != network_of("198.51.100.2")
    assert network_of("") == ""
