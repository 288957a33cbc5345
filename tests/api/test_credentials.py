"""API keys, passwords and invitations: who makes them, what they open, and what ends them."""

from __future__ import annotations

import re

import pytest

from app.backend.accounts import membership
from tests.api.house import Served, error_of
from tests.api.team import PASSWORD, database, log_in, principal, status

pytestmark = pytest.mark.anyio


async def test_an_api_key_is_shown_once_works_and_can_be_revoked(team: Served) -> None:
    await log_in(team.guest)
    shown = (await team.guest.post("/account/keys", data={"label": "my <laptop>"})).text
    [key] = re.findall(r"clq_[\w-]{43}", shown)
    page = (await team.guest.get("/account")).text
    assert key not in page
    assert "my &lt;laptop&gt;" in page
    assert key[-4:] in page
    made = await team.other.post("/api/conversations", headers={"authorization": f"Bearer {key}"})
    assert made.status_code == 201
    assert not team.other.cookies
    assert await status(team.guest, f"/api/conversations/{made.json()['id']}") == 200, "it asks in Ann's name"
    [kept] = await team.backend.accounts.keys(await principal(team, "Ann"))
    assert kept.last_used_at is not None
    await team.guest.post(f"/account/keys/{kept.id}/revoke")
    refused = await team.other.get("/api/conversations", headers={"authorization": f"Bearer {key}"})
    assert (refused.status_code, error_of(refused)["code"]) == (401, "unauthorized")


async def test_a_wrong_key_is_refused_even_beside_a_good_session(team: Served) -> None:
    await log_in(team.guest)
    for wrong in ("Bearer clq_wrong", "Bearer", "bearer x"):
        assert await status(team.guest, authorization=wrong) == 401


async def test_a_key_makes_no_further_keys_and_changes_no_password(team: Served) -> None:
    ann = await principal(team, "Ann")
    key = await team.backend.accounts.create_key(ann, "laptop")
    for path in ("/account/keys", "/account/password", "/account/sessions/end"):
        refused = await team.other.post(path, data={"label": "x"}, headers={"authorization": f"Bearer {key}"})
        assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden"), path


async def test_the_keys_of_others_cannot_be_revoked(team: Served) -> None:
    ann = await principal(team, "Ann")
    await team.backend.accounts.create_key(ann, "laptop")
    [kept] = await team.backend.accounts.keys(ann)
    await log_in(team.guest, "Root")
    foreign = await team.guest.post(f"/account/keys/{kept.id}/revoke")
    missing = await team.guest.post("/account/keys/none/revoke")
    assert {**error_of(foreign), "id": ""} == {**error_of(missing), "id": ""}
    assert len(await team.backend.accounts.keys(ann)) == 1


async def test_a_new_password_needs_the_old_one_and_logs_out_all_others(team: Served) -> None:
    await log_in(team.guest)
    await log_in(team.other)
    wrong = await team.guest.post("/account/password", data={"old": "not it at all", "password": "a new long one"})
    assert (wrong.status_code, "This is not your password." in wrong.text) == (422, True)
    changed = await team.guest.post("/account/password", data={"old": PASSWORD, "password": "a new long one"})
    assert changed.headers["location"] == "/account?done=password"
    assert await status(team.guest) == 200
    assert await status(team.other) == 401
    assert (await log_in(team.other)).status_code == 422
    assert (await log_in(team.other, password="a new long one")).status_code == 303


async def test_logging_out_everywhere_ends_every_session(team: Served) -> None:
    await log_in(team.guest)
    await log_in(team.other)
    await team.guest.post("/account/sessions/end")
    assert await status(team.guest) == await status(team.other) == 401


async def test_an_invitation_makes_one_account(team: Served) -> None:
    code = await team.backend.accounts.invite()
    assert 'data-testid="join"' in (await team.guest.get(f"/join?code={code}")).text
    joined = await team.guest.post("/join", data={"code": code, "name": "Bea", "password": "several good words"})
    assert joined.headers["location"] == "/"
    assert await status(team.guest) == 200
    assert (await principal(team, "Bea")).role == "user"
    again = await team.other.post("/join", data={"code": code, "name": "Eve", "password": "several good words"})
    assert again.status_code == 422
    assert [account.name for account in await team.backend.accounts.listing()] == ["Ann", "Bea", "Root"]


async def test_a_link_sets_the_password_of_its_account_and_of_no_other(team: Served) -> None:
    code = membership.add_invited(database(team), "Bea", "user")
    assert (await log_in(team.other, "Bea", "")).status_code == 422, "nobody is let in without a password"
    await team.guest.post("/join", data={"code": code, "name": "Root", "password": "several good words"})
    assert (await log_in(team.other, "Bea", "several good words")).status_code == 303
    assert (await log_in(team.other, "Root", "several good words")).status_code == 422


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("x", "several good words", "A name has 2 to 40"),
        ("a b", "several good words", "A name has 2 to 40"),
        ("<b>", "several good words", "A name has 2 to 40"),
        ("ann", "several good words", "This name is taken"),
        ("bea", "qwzxy", "Too short"),
        ("bea", "aaaaaaaaaaaaaaa", "Too easy to guess"),
        ("beatrice", "beatrice2026", "Too easy to guess"),
        ("bea", "x" * 300, "Too long"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_the_invitation_is_kept(
    team: Served, name: str, password: str, said: str
) -> None:
    code = await team.backend.accounts.invite()
    page = await team.guest.post("/join", data={"code": code, "name": name, "password": password})
    assert page.status_code == 422
    assert said in page.text.partition('role="alert"')[2]
    assert "aria-invalid" in page.text
    assert password not in page.text
    assert await team.backend.accounts.invitation(code)
