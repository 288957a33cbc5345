"""Each browser is a guest of its own, by a cookie that only this server can make; nobody reaches what is another's."""

import stat
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.backend.errors import BadInput
from app.identity import COOKIE, Identity, IdentityMiddleware, Recognition, load_identity
from app.settings import ServerSettings
from tests.api.house import Served, error_of

pytestmark = pytest.mark.anyio


async def conversations(client: httpx.AsyncClient) -> list[str]:
    return [line["id"] for line in (await client.get("/api/conversations")).json()["conversations"]]


async def test_a_browser_stays_the_same_guest_and_two_browsers_are_two(served: Served) -> None:
    await served.ask()
    [made] = await conversations(served.guest)
    assert await conversations(served.guest) == [made]
    assert await conversations(served.other) == []


async def test_the_cookie_is_kept_from_scripts_and_other_sites_and_lasts_a_year(served: Served) -> None:
    first = await served.guest.get("/api/conversations")
    cookie = SimpleCookie(first.headers["set-cookie"])[COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("Lax", "/", str(365 * 24 * 3600))
    assert "set-cookie" not in (await served.guest.get("/api/conversations")).headers


async def test_a_forged_or_damaged_cookie_is_a_new_guest(served: Served) -> None:
    await served.ask()
    [made] = await conversations(served.guest)
    good = served.guest.cookies[COOKIE]
    owner, signature = good.rsplit(".", 1)
    forged = [
        Identity(b"another secret").sign(owner),
        f"{owner}x.{signature}",
        f"{owner}.{signature[:-2]}",
        owner,
        f"{owner}.",
        "",
        "x" * 4000,
        "%00",
        '"\\"',
    ]
    for value in forged:
        async with httpx.AsyncClient(base_url=served.url) as client:
            response = await client.get("/api/conversations", headers={"cookie": f"{COOKIE}={value}"})
            assert response.json() == {"conversations": []}
            assert COOKIE in response.headers["set-cookie"]
    async with httpx.AsyncClient(base_url=served.url) as client:
        response = await client.get("/api/conversations", headers={"cookie": f"{COOKIE}={good}"})
        assert [line["id"] for line in response.json()["conversations"]] == [made]


async def test_what_is_anothers_looks_the_same_as_what_never_was(served: Served) -> None:
    generation = await served.ask()
    tree = (await served.guest.get(f"/api/generations/{generation}")).json()
    [conversation] = await conversations(served.guest)
    doors = [
        ("GET", "/api/conversations/{c}", None),
        ("PATCH", "/api/conversations/{c}", {"title": "Stolen"}),
        ("DELETE", "/api/conversations/{c}", None),
        ("POST", "/api/conversations/{c}/restore", None),
        ("POST", "/api/conversations/{c}/branch", {"turn_id": tree["turn_id"]}),
        ("POST", "/api/conversations/{c}/ask", {"question": "Tell me all?", "pipeline": "direct"}),
        ("GET", "/api/conversations/{c}/export", None),
        ("GET", "/api/conversations/{c}/export?format=json", None),
        ("GET", "/api/generations/{g}", None),
        ("GET", "/api/generations/{g}/events", None),
        ("POST", "/api/generations/{g}/stop", None),
        ("POST", "/api/generations/{g}/regenerate", None),
        ("POST", "/api/generations/{g}/choose", None),
    ]
    before = (await served.guest.get(f"/api/conversations/{conversation}")).json()["title"]
    for method, path, body in doors:
        foreign = await served.other.request(method, path.format(c=conversation, g=generation), json=body)
        missing = await served.other.request(method, path.format(c="no-such-id", g="no-such-id"), json=body)
        told = [{**error_of(response), "id": ""} for response in (foreign, missing)]
        assert told[0] == told[1], path
        assert foreign.status_code == missing.status_code == 404, path
    after = (await served.guest.get(f"/api/conversations/{conversation}")).json()
    assert after["title"] == before
    assert len(after["turns"]) == 1


async def test_an_owner_is_128_random_bits_and_the_same_in_every_handler(served: Served) -> None:
    identity = load_identity(served.data)
    await served.guest.get("/api/conversations")
    owner = identity.verify(served.guest.cookies[COOKIE])
    assert owner is not None
    assert len(owner.removeprefix("guest-")) == 22
    assert len({identity.new_guest() for _ in range(1000)}) == 1000


async def test_an_answer_for_shared_caches_carries_no_cookie() -> None:
    identity = Identity(b"secret")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        caching = scope["path"].removeprefix("/")
        owner = identity.owner_of(Request(scope))
        await PlainTextResponse(owner, headers={"cache-control": caching})(scope, receive, send)

    class Nobody:
        async def by_session(self, token: str) -> None: ...

        async def by_key(self, key: str) -> None: ...

        def banned(self, owner: str) -> bool:
            return False

    recognise = Recognition(identity, Nobody(), ServerSettings())
    transport = httpx.ASGITransport(IdentityMiddleware(app, identity, recognise))
    async with httpx.AsyncClient(transport=transport, base_url="https://colloquy.test") as client:
        assert "set-cookie" not in (await client.get("/public")).headers
        first = await client.get("/private")
        assert first.headers["set-cookie"].endswith("; Secure")
        assert (await client.get("/private")).text == first.text


def test_the_secret_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    cookie = load_identity(tmp_path).sign("ann")
    assert load_identity(tmp_path).verify(cookie) == "ann"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("secret", [b"", b"short", bytes(32), b"changeme" * 4])
def test_an_empty_short_or_guessable_secret_is_refused_not_used(tmp_path: Path, secret: bytes) -> None:
    (tmp_path / "secret").write_bytes(secret)
    with pytest.raises(BadInput, match="delete it"):
        load_identity(tmp_path)
