"""With accounts: who may come in, with what, and how fast that ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pwdlib
import pytest

from app.backend import membership
from app.backend.types import Principal
from app.identity import SESSION
from app.settings import Quota, ServerSettings
from tests.api.house import Served, error_of, read_stream, serving

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
ACCOUNTS = ServerSettings(mode="accounts")


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with an admin, Root, and a user, Ann; nobody is logged in."""
    async with serving(tmp_path, doors=ACCOUNTS) as served:
        membership.add(tmp_path / "colloquy.db", "Root", "admin", PASSWORD)
        membership.add(tmp_path / "colloquy.db", "Ann", "user", PASSWORD)
        yield served


def database(served: Served) -> Path:
    return served.data / "colloquy.db"


async def log_in(
    client: httpx.AsyncClient, name: str = "Ann", password: str = PASSWORD, **fields: str
) -> httpx.Response:
    return await client.post("/login", data={"name": name, "password": password, **fields})


async def status(client: httpx.AsyncClient, path: str = "/api/conversations", **headers: str) -> int:
    return (await client.get(path, headers=headers)).status_code


async def principal(served: Served, name: str) -> Principal:
    [found] = [account for account in await served.backend.accounts.listing() if account.name == name]
    return Principal(found.id, found.role, found.name)


async def test_nobody_gets_the_log_in_page_for_pages_and_401_for_the_rest(team: Served) -> None:
    page = await team.guest.get("/?c=1", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2F%3Fc%3D1")
    for path in ("/api/conversations", "/v1/retrieve", "/metrics", "/api/openapi.json", "/ui/generations/x/live"):
        refused = await team.guest.get(path)
        assert (refused.status_code, error_of(refused)["code"]) == (401, "unauthorized"), path
        assert refused.headers["www-authenticate"] == "Bearer"
    assert await status(team.guest, "/healthz") == await status(team.guest, "/login") == 200
    assert not team.guest.cookies


async def test_a_log_in_leads_to_what_was_wanted_and_nowhere_else(team: Served) -> None:
    assert (await log_in(team.guest, next="/?c=1")).headers["location"] == "/?c=1"
    for foreign in ("https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)", "/\t/evil.test", "evil"):
        async with httpx.AsyncClient(base_url=team.url) as client:
            assert (await log_in(client, next=foreign)).headers["location"] == "/", foreign


async def test_names_are_the_same_in_upper_and_lower_case_and_conversations_are_ones_own(team: Served) -> None:
    await log_in(team.guest, "ANN")
    made = (await team.guest.post("/api/conversations")).json()["id"]
    await log_in(team.other, "root")
    assert await status(team.guest, f"/api/conversations/{made}") == 200
    assert await status(team.other, f"/api/conversations/{made}") == 404


async def test_a_session_is_kept_from_scripts_and_is_another_one_after_each_log_in(team: Served) -> None:
    cookie = SimpleCookie((await log_in(team.guest)).headers["set-cookie"])[SESSION]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
    before = team.guest.cookies[SESSION]
    await log_in(team.guest)
    assert team.guest.cookies[SESSION] != before
    assert await status(team.other, cookie=f"{SESSION}={before}") == 401, "the old one has ended"


async def test_over_https_the_session_is_for_https_only(team: Served) -> None:
    transport = httpx.ASGITransport(team.app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
        assert SimpleCookie((await log_in(client)).headers["set-cookie"])[SESSION]["secure"]


async def test_a_log_out_ends_the_session_not_only_the_cookie(team: Served) -> None:
    await log_in(team.guest)
    token = team.guest.cookies[SESSION]
    assert (await team.guest.post("/logout")).headers["location"] == "/login"
    assert SESSION not in team.guest.cookies
    assert await status(team.other, cookie=f"{SESSION}={token}") == 401


async def test_an_unknown_name_and_a_wrong_password_look_the_same_also_for_who_is_shut_out(
    team: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership.add(database(team), "Gone", "user", PASSWORD)
    membership.set_disabled(database(team), "Gone", True)
    verified: list[str] = []
    verify = pwdlib.PasswordHash.verify

    def watched(self: pwdlib.PasswordHash, password: str, against: str) -> bool:
        verified.append(against.rpartition("$")[0].rpartition("$")[0])  # the parameters without salt and hash
        return verify(self, password, against)

    monkeypatch.setattr(pwdlib.PasswordHash, "verify", watched)
    pages = []
    for name, password in (("Nobody", PASSWORD), ("Ann", "wrong wrong wrong"), ("Gone", "wrong wrong wrong")):
        answer = await log_in(team.guest, name, password)
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
        pages.append(answer.text.replace(name, "NAME"))
    assert pages[0] == pages[1] == pages[2]
    assert len(verified) == 3, "the same work for each"
    assert len(set(verified)) == 1
    assert verified[0].startswith("$argon2id$")


async def test_who_is_shut_out_and_has_the_right_password_is_told_so(team: Served) -> None:
    membership.set_disabled(database(team), "Ann", True)
    answer = await log_in(team.guest)
    assert answer.status_code == 422
    assert "Whoever runs this server has closed it to you." in answer.text
    assert "set-cookie" not in answer.headers


async def test_guessing_is_slowed_down_by_name_and_by_address(team: Served) -> None:
    answers = [(await log_in(team.guest, "Ann", f"guess number {n}")).status_code for n in range(11)]
    assert answers == [422] * 10 + [429]
    refused = await log_in(team.guest)
    assert refused.status_code == 429, "also for the right password"
    assert int(refused.headers["retry-after"]) >= 1
    assert (await log_in(team.guest, "Root")).status_code == 303, "another name is not held up"
    answers = [(await log_in(team.other, f"name{n}", "guess")).status_code for n in range(20)]
    assert answers[-1] == 429, "many names from one address are"


async def test_a_disabled_account_is_out_at_its_next_request_whoever_disabled_it(team: Served) -> None:
    await log_in(team.guest)
    ann = await principal(team, "Ann")
    key = await team.backend.accounts.create_key(ann, "laptop")
    assert await status(team.guest) == await status(team.other, authorization=f"Bearer {key}") == 200
    membership.set_disabled(database(team), "Ann", True)  # as the command does, in another process
    assert await status(team.guest) == await status(team.other, authorization=f"Bearer {key}") == 401
    await team.backend.accounts.set_disabled(ann.id, False)
    assert await status(team.guest) == 401, "old sessions do not come back"
    assert await status(team.other, authorization=f"Bearer {key}") == 200


async def test_disabling_ends_what_the_account_is_reading(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with serving(tmp_path, gate=never, doors=ACCOUNTS) as served:
        membership.add(tmp_path / "colloquy.db", "Ann", "user", PASSWORD)
        await log_in(served.guest)
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            lines = read_stream(response.aiter_lines())
            await anext(lines)
            membership.set_disabled(tmp_path / "colloquy.db", "Ann", True)
            async with asyncio.timeout(10):
                kinds = [line.kind async for line in lines if not isinstance(line, str)]
        assert not {"done", "stopped", "failed"} & set(kinds)


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


async def test_a_form_of_another_site_is_refused(team: Served) -> None:
    await log_in(team.guest)
    for headers in ({"origin": "https://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
        for path in ("/account/keys", "/logout", "/login"):
            refused = await team.guest.post(path, data={"label": "x"}, headers=headers)
            assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden")
    assert await status(team.guest) == 200


async def test_what_is_for_admins_is_closed_to_users(team: Served) -> None:
    await log_in(team.guest, "Ann")
    await log_in(team.other, "Root")
    assert (await status(team.guest, "/metrics"), await status(team.other, "/metrics")) == (403, 200)
    assert await status(team.guest, "/api/openapi.json") == 200, "a program is written from it, with one's own key"


async def test_without_accounts_who_sits_at_this_machine_operates_it_and_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert await status(served.guest, "/metrics") == 200
        assert await status(served.guest, "/login") == 404
        transport = httpx.ASGITransport(served.app, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
            assert await status(stranger) == 200
            assert await status(stranger, "/metrics") == 403


async def test_guests_beside_accounts_have_their_own_tight_quota_and_no_account_page(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=ServerSettings(mode="accounts", allow_guests=True)) as served:
        await served.guest.get("/api/conversations")
        [owner] = [cookie.partition(".")[0] for cookie in served.guest.cookies.values()]
        quota_of = served.backend.accounts.quota_of
        assert quota_of(owner).per_day < quota_of("command-line").per_day
        assert (await served.guest.get("/account")).headers["location"] == "/login?next=/account"
        assert (await served.guest.post("/account/keys", data={"label": "x"})).status_code == 403
        await served.backend.accounts.set_quota(owner, Quota(per_day=7))
        assert quota_of(owner).per_day == 7
        await served.backend.accounts.set_banned(owner, True)
        refused = await served.guest.get("/api/conversations")
        assert (refused.status_code, error_of(refused)["code"]) == (403, "banned")
        assert await status(served.other) == 200
        await served.backend.accounts.set_banned(owner, False)
        assert await status(served.guest) == 200


async def test_bans_and_quotas_outlive_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.backend.accounts.set_quota("guest-a", Quota(running=2))
        await served.backend.accounts.set_banned("guest-b", True)
    async with serving(tmp_path) as served:
        assert served.backend.accounts.own_quotas() == {"guest-a": Quota(running=2)}
        assert served.backend.accounts.banned("guest-b")


async def test_an_address_that_nobody_decided_about_is_closed_to_everybody(team: Served) -> None:
    @team.app.get("/api/new")
    async def new() -> str:
        return "secret"

    await log_in(team.guest, "Root")
    assert await status(team.guest, "/api/new") == 404
