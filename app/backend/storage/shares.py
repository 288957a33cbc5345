"""Share links in SQLite: snapshots behind tokens.

Invariant: of a token only the SHA-256 is here, of 256 random bits and of what it is for; a link that was revoked, that
has expired, whose conversation was deleted, whose owner is shut out, or that never was is found by no query, in the
same way.
"""

from __future__ import annotations

import json
from hashlib import sha256

from sqlite_utils import Database

from app.backend.errors import BadField, NotFound
from app.backend.records import Generation, Turn
from app.backend.shares.snapshots import Opened, Share, Snapshot, dumps, loads, taken
from app.backend.storage import conversations, generations, rows
from app.backend.storage.rows import Row, seconds

MAX_SHARES = 200
MAX_BYTES = 8_000_000
HINT_CHARS = 4
_OPEN = """FROM shares s JOIN conversations c ON c.id = s.conversation_id
    WHERE s.token_hash = ? AND (s.expires_at IS NULL OR s.expires_at > ?) AND c.deleted_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM bans WHERE owner = s.owner)
    AND NOT EXISTS (SELECT 1 FROM accounts WHERE id = s.owner AND disabled_at IS NOT NULL)"""
_COLUMNS = "s.id, s.conversation_id, s.kind, s.title, s.hint, s.views, s.created_at, s.expires_at"


def hashed(token: str) -> str:
    """Bound to its purpose: the hash of a session's token or of a key never opens a link."""
    return sha256(f"share:{token}".encode(errors="replace")).hexdigest()


def snapshot(db: Database, owner: str, conversation_id: str) -> tuple[Snapshot, dict[str, str]]:
    """What a link made now would show, and which of its answers are still being written. Raises NotFound, BadField."""
    kind = conversations.owned(db, owner, conversation_id)["kind"]
    conversation = conversations.get(db, owner, conversation_id)
    path = conversation.path()
    if not path:
        raise BadField("form", "share_empty", "There is nothing to share yet: ask something first.")
    if kind == "chat":
        return taken(kind, conversation.title, [(turn, (turn.chosen,)) for turn in path])
    return taken(kind, conversation.title, [(path[0], _columns(db, conversation_id, path[0]))])


def _columns(db: Database, comparison_id: str, turn: Turn) -> list[Generation]:
    hidden = db.execute("SELECT 1 FROM comparisons WHERE id = ? AND blind AND NOT revealed", [comparison_id])
    if hidden.fetchone():
        message = "Vote first: while the names are hidden, this comparison cannot be shared."
        raise BadField("form", "share_hidden", message)
    known = {answer.id: answer for answer in turn.generations}
    sql = "SELECT generation_id FROM comparison_columns WHERE comparison_id = ? ORDER BY position"
    return [known[row["generation_id"]] for row in db.query(sql, [comparison_id])]


def publish(db: Database, owner: str, conversation_id: str, token: str, expires_at: float | None, seen: str) -> Share:
    """Make a link; with `seen`, the digest of a preview, only to just that. Raises NotFound, BadField."""
    shown, live = snapshot(db, owner, conversation_id)
    if seen and shown.digest() != seen:
        raise BadField("form", "share_changed", "The conversation has changed meanwhile: look at the preview again.")
    (count,) = db.execute("SELECT count(*) FROM shares WHERE owner = ?", [owner]).fetchone()
    if count >= MAX_SHARES:
        raise BadField("form", "share_many", f"You have {MAX_SHARES} links; revoke one that is not needed any more.")
    content = dumps(shown)
    if len(content) > MAX_BYTES:
        raise BadField("form", "share_large", "This is too long for a link; share a shorter conversation.")
    row = {
        "id": rows.new_id(),
        "token_hash": hashed(token),
        "hint": token[-HINT_CHARS:],
        "owner": owner,
        "conversation_id": conversation_id,
        "title": shown.title,
        "kind": shown.kind,
        "snapshot": content.decode(),
        "live": rows.dumps(live),
        "views": 0,
        "created_at": rows.now(),
        "expires_at": None if expires_at is None else rows.iso(expires_at),
    }
    db.table("shares").insert(row)
    return _share(row)


def listing(db: Database, owner: str, conversation_id: str = "") -> tuple[Share, ...]:
    """The links of an owner, newest first, also those that have expired; or only those of one conversation."""
    sql = f"""SELECT {_COLUMNS} FROM shares s JOIN conversations c ON c.id = s.conversation_id
        WHERE s.owner = ? AND c.deleted_at IS NULL AND (? = '' OR s.conversation_id = ?) ORDER BY s.rowid DESC"""  # noqa: S608
    return tuple(_share(row) for row in db.query(sql, [owner, conversation_id, conversation_id]))


def revoke(db: Database, owner: str, share_id: str) -> None:
    """Forget a link and what it showed. Raises NotFound."""
    if db.execute("DELETE FROM shares WHERE id = ? AND owner = ?", [share_id, owner]).rowcount != 1:
        owners = "SELECT owner FROM shares WHERE id = ?"
        raise rows.missing(db, owner, owners, share_id, "There is no such link.")


def counts(db: Database, now: str) -> dict[str, int]:
    """How many links each owner has that may still be used."""
    sql = """SELECT s.owner, count(*) FROM shares s JOIN conversations c ON c.id = s.conversation_id
        WHERE (s.expires_at IS NULL OR s.expires_at > ?) AND c.deleted_at IS NULL GROUP BY s.owner"""
    return dict(db.execute(sql, [now]).fetchall())


def revoke_all(db: Database, owner: str) -> None:
    """Forget all links of an owner, also those that would come back with a deleted conversation."""
    db.execute("DELETE FROM shares WHERE owner = ?", [owner])


def purge(db: Database, expired_before: str) -> None:
    """Forget what expired before that time."""
    db.execute("DELETE FROM shares WHERE expires_at < ?", [expired_before])


def opened(db: Database, token: str, now: str) -> Opened:
    """What is behind a link. Raises NotFound."""
    row: Row | None = next(db.query(f"SELECT s.* {_OPEN}", [hashed(token), now]), None)
    if row is None:
        raise NotFound("There is nothing behind this link.")
    live = json.loads(row["live"])
    found = {key: generations.get(db, row["owner"], generation_id) for key, generation_id in live.items()}
    ended = {key: answer for key, answer in found.items() if answer.finished_at is not None}
    shown = loads(row["snapshot"]).told(ended)
    return Opened(_share(row), row["owner"], shown, {key: gid for key, gid in live.items() if key not in ended})


def is_open(db: Database, token: str, now: str) -> bool:
    """Whether a link still shows something; without reading what."""
    return db.execute(f"SELECT 1 {_OPEN}", [hashed(token), now]).fetchone() is not None


def viewed(db: Database, share_id: str) -> None:
    db.execute("UPDATE shares SET views = views + 1 WHERE id = ?", [share_id])


def _share(row: Row) -> Share:
    return Share(
        row["id"],
        row["conversation_id"],
        row["kind"],
        row["title"],
        row["hint"],
        row["views"],
        seconds(row["created_at"]),
        seconds(row["expires_at"]) if row["expires_at"] else None,
    )
