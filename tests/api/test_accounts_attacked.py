"""What somebody tried on the accounts: each of these went through once, or shut out the wrong people."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from app.backend.accounts import membership
from app.backend.accounts.passwords import Passwords, checked_name
from app.backend.errors import BadField, ColloquyError, Refused
from app.settings import ServerSettings
from tests.api.house import Served, serving
from tests.api.team import PASSWORD, database, log_in, principal, status

pytestmark = pytest.mark.anyio

MAX_KEYS = 20
HTML = {"accept": "text/html"}


async def test_an_office_behind_one_address_can_log_in_and_a_guesser_there_is_still_slowed_down(team: Served) -> None:
    for _ in range(5):
        assert (await log_in(team.guest)).status_code == 303
    for n in range(5):
        code = await team.backend.accounts.invite()
        fields = {"code": code, "name": f"colleague{n}", "password": "several good words"}
        async with httpx.AsyncClient(base_url=team.url) as client:
            assert (await client.post("/join", data=fields)).status_code == 303
    answers = [(await log_in(team.other, f"name{n}", "guess")).status_code for n in range(36)]
    assert answers[:30] == [422] * 30, "nothing of it counted"
    assert 429 in answers[30:]


async def test_who_guesses_from_elsewhere_locks_nobody_out(team: Served) -> None:
    team.other.headers["x-forwarded-for"] = "203.0.113.9"
    answers = [(await log_in(team.other, "Ann", f"guess number {n}")).status_code for n in range(12)]
    assert answers == [422] * 10 + [429] * 2
    assert (await log_in(team.guest, "Ann")).status_code == 303


async def test_many_networks_together_cannot_guess_for_ever(team: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(self: Passwords, password: str, against: str) -> bool:
        return False

    monkeypatch.setattr(Passwords, "verify", wrong)
    accounts = team.backend.accounts
    for n in range(300):
        with pytest.raises(BadField):
            await accounts.log_in("Ann", "guess", f"203.0.{n // 250}.{n % 250}")
    with pytest.raises(Refused):
        await accounts.log_in("Ann", "guess", "203.1.0.1")
    with pytest.raises(BadField):
        await accounts.log_in("Root", "guess", "203.1.0.1")


@pytest.mark.parametrize("way", ["log_in", "join"])
async def test_a_household_with_many_addresses_is_one_guesser(team: Served, way: str) -> None:
    accounts = team.backend.accounts
    for n in range(31):
        with pytest.raises(Refused if n == 30 else BadField):
            await getattr(accounts, way)(
                f"name{n}", f"guess{n}", *["a long guess"] * (way == "join"), f"2001:db8::{n:x}"
            )
    with pytest.raises(BadField):
        await accounts.log_in("name", "guess", "2001:db8:0:1::1")


@pytest.mark.parametrize("by_operator", [False, True])
async def test_a_new_password_revokes_the_api_keys(team: Served, by_operator: bool) -> None:
    key = await team.backend.accounts.create_key(await principal(team, "Ann"), "laptop")
    assert await status(team.other, authorization=f"Bearer {key}") == 200
    if by_operator:
        membership.set_password(database(team), "Ann", "a new long one")
    else:
        await log_in(team.guest)
        await team.guest.post("/account/password", data={"old": PASSWORD, "password": "a new long one"})
        assert "your API keys are revoked" in (await team.guest.get("/account?done=password")).text
    assert await status(team.other, authorization=f"Bearer {key}") == 401


@pytest.mark.parametrize("wanted", ["//[", "//℀.com", "http://[", "/\\[", "//"])
async def test_a_next_that_is_no_address_leads_to_the_page(team: Served, wanted: str) -> None:
    answer = await log_in(team.guest, next=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    again = await team.guest.get("/login", params={"next": wanted})
    assert (again.status_code, again.headers["location"]) == (303, "/")


async def test_no_race_makes_more_keys_than_allowed(team: Served) -> None:
    ann = await principal(team, "Ann")
    accounts = team.backend.accounts
    made = await asyncio.gather(*(accounts.create_key(ann, "x") for _ in range(40)), return_exceptions=True)
    refused = [error for error in made if isinstance(error, ColloquyError)]
    assert {error.reason for error in refused if isinstance(error, BadField)} == {"keys_full"}
    assert (len(refused), len(await accounts.keys(ann))) == (40 - MAX_KEYS, MAX_KEYS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rооt", "name_mixed"),  # with Cyrillic o
        ("annα", "name_mixed"),
        ("ro\u200bot", "name"),
        ("ro\u202eot", "name"),
        ("ro\x07ot", "name"),
        ("Guest-7", "name_reserved"),
        ("ｕｓｅｒ-x", "name_reserved"),
    ],
)
def test_names_that_pass_for_others_are_refused(name: str, reason: str) -> None:
    with pytest.raises(BadField) as refused:
        checked_name(name)
    assert refused.value.reason == reason


@pytest.mark.parametrize("name", ["Ann", "анна", "Ελένη", "王wei", "jürgen_2", "user7"])
def test_names_of_one_alphabet_are_good(name: str) -> None:
    assert checked_name(name) == name


async def test_names_that_differ_in_width_or_case_are_one_name(team: Served) -> None:
    with pytest.raises(BadField, match="already"):
        membership.add(database(team), "ＡＮＮ", "user", PASSWORD)


async def test_a_guest_beside_accounts_who_opens_the_operators_page_is_asked_to_log_in(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=ServerSettings(mode="accounts", allow_guests=True)) as served:
        page = await served.guest.get("/admin", headers=HTML)
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Fadmin")
        assert await status(served.guest, "/api/admin/now", **HTML) == 403
