"""What the file keeps of accounts: no credential that could be used, one name for one person, codes that work once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.backend.errors import BadField, NotFound
from app.backend.storage import accounts
from app.backend.storage.database import Database
from app.backend.storage.visit import visit

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    yield database
    database.close()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def ann(database: Database) -> str:
    added = await database.write(lambda db: accounts.add(db, "Ann", "ann", "user", "argon2-of-her-password"))
    assert added.id.startswith("user-")
    return added.id


async def test_no_token_key_or_code_can_be_read_from_the_file(database: Database, tmp_path: Path) -> None:
    account = await ann(database)
    until = time.time() + 60
    await database.write(lambda db: accounts.begin_session(db, account, "the-session-token", until))
    await database.write(lambda db: accounts.add_key(db, account, "laptop", "clq_the-api-key"))
    await database.write(lambda db: accounts.invite(db, "the-invitation", "user", until))
    assert await database.read(lambda db: accounts.by_session(db, "the-session-token"))
    assert await database.read(lambda db: accounts.by_key(db, "clq_the-api-key", time.time()))
    assert await database.read(lambda db: accounts.invitation(db, "the-invitation"))
    database.close()
    stored = everything(tmp_path)
    assert b"argon2-of-her-password" in stored
    for secret in (b"the-session-token", b"the-api-key", b"the-invitation"):
        assert secret not in stored


async def test_two_accounts_cannot_have_names_that_look_alike(database: Database) -> None:
    await ann(database)
    with pytest.raises(BadField, match="already") as taken:
        await database.write(lambda db: accounts.add(db, "ANN", "ann", "user", ""))
    assert (taken.value.field, taken.value.reason) == ("name", "name_taken")


async def test_a_session_ends_at_its_time_and_with_its_account(database: Database) -> None:
    account = await ann(database)
    for token, lasts in (("over", -1), ("good", 60)):
        await database.write(lambda db, t=token, s=lasts: accounts.begin_session(db, account, t, time.time() + s))
    assert await database.read(lambda db: accounts.by_session(db, "over")) is None
    assert await database.read(lambda db: accounts.by_session(db, "good"))
    await database.write(lambda db: accounts.set_disabled(db, account, True))
    assert await database.read(lambda db: accounts.by_session(db, "good")) is None
    await database.write(lambda db: accounts.begin_session(db, account, "late", time.time() + 60))
    assert await database.read(lambda db: accounts.by_session(db, "late")) is None, "a log-in that was under way"
    await database.write(lambda db: accounts.set_disabled(db, account, False))
    assert await database.read(lambda db: accounts.by_session(db, "good")) is None, "old sessions do not come back"


async def test_a_key_of_a_disabled_account_opens_nothing_until_it_is_enabled(database: Database) -> None:
    account = await ann(database)
    await database.write(lambda db: accounts.add_key(db, account, "laptop", "clq_key"))
    await database.write(lambda db: accounts.set_disabled(db, account, True))
    assert await database.read(lambda db: accounts.by_key(db, "clq_key", time.time())) is None
    await database.write(lambda db: accounts.set_disabled(db, account, False))
    assert await database.read(lambda db: accounts.by_key(db, "clq_key", time.time()))


async def test_a_key_can_be_revoked_by_its_owner_only(database: Database) -> None:
    account = await ann(database)
    await database.write(lambda db: accounts.add_key(db, account, "laptop", "clq_key"))
    [key] = await database.read(lambda db: accounts.keys(db, account))
    for owner, which in (("user-somebody", key.id), (account, "no-such-key")):
        with pytest.raises(NotFound):
            await database.write(lambda db, o=owner, w=which: accounts.revoke_key(db, o, w))
    assert await database.read(lambda db: accounts.by_key(db, "clq_key", time.time()))
    await database.write(lambda db: accounts.revoke_key(db, account, key.id))
    assert await database.read(lambda db: accounts.by_key(db, "clq_key", time.time())) is None


async def test_an_invitation_works_once_and_not_after_its_time(database: Database) -> None:
    await database.write(lambda db: accounts.invite(db, "old", "user", time.time() - 1))
    assert await database.read(lambda db: accounts.invitation(db, "old")) is None
    await database.write(lambda db: accounts.invite(db, "new", "admin", time.time() + 60))
    await database.write(lambda db: accounts.take_invitation(db, "new"))
    with pytest.raises(BadField, match="used or has expired"):
        await database.write(lambda db: accounts.take_invitation(db, "new"))


async def test_the_last_admin_cannot_be_locked_out(database: Database) -> None:
    boss = await database.write(lambda db: accounts.add(db, "Boss", "boss", "admin", "hash"))
    assert await database.read(accounts.has_admin)
    with pytest.raises(BadField, match="only admin"):
        await database.write(lambda db: accounts.set_disabled(db, boss.id, True))
    await database.write(lambda db: accounts.add(db, "Deputy", "deputy", "admin", "hash"))
    await database.write(lambda db: accounts.set_disabled(db, boss.id, True))


async def test_another_process_writes_beside_the_server_and_is_seen_at_once(database: Database, tmp_path: Path) -> None:
    visit(tmp_path / "colloquy.db", lambda db: accounts.add(db, "Ann", "ann", "user", "hash"))
    [seen] = await database.read(accounts.listing)
    assert (seen.name, seen.disabled, seen.ready) == ("Ann", False, True)
    with pytest.raises(BadField):
        visit(tmp_path / "colloquy.db", lambda db: accounts.add(db, "ann", "ann", "user", "hash"))


def test_a_visit_makes_the_file_and_leaves_the_checkpoints_to_the_server(tmp_path: Path) -> None:
    assert visit(tmp_path / "new" / "colloquy.db", accounts.listing) == ()
    asked = visit(tmp_path / "new" / "colloquy.db", lambda db: db.execute("PRAGMA wal_autocheckpoint").fetchone())
    assert asked == (0,)
