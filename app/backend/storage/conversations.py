"""Conversations in SQLite. Every function names the owner, and what belongs to somebody else is NotFound like the
unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlite_utils import Database

from app.backend.errors import BadInput, NotFound
from app.backend.records import Conversation, ConversationSummary, Turn
from app.backend.storage import rows, veil
from app.backend.storage.rows import Row, seconds

MAX_TITLE = 200
MAX_EMPTY = 100
MAX_WORDS = 16
"""So many words are searched for, each once; for each all texts may have to be looked through."""


def create(db: Database, owner: str) -> ConversationSummary:
    """An empty one. Of those in which nothing was asked yet an owner keeps the newest hundred."""
    at = rows.now()
    row = {"id": rows.new_id(), "owner": owner, "created_at": at, "updated_at": at}
    db.table("conversations").insert(row)
    sql = """DELETE FROM conversations WHERE id IN (
        SELECT c.id FROM conversations c
        WHERE c.owner = ? AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.conversation_id = c.id)
        ORDER BY c.rowid DESC LIMIT -1 OFFSET ?)"""
    db.execute(sql, [owner, MAX_EMPTY])
    return ConversationSummary(row["id"], "", False, seconds(at), seconds(at))


def owned(db: Database, owner: str, conversation_id: str) -> Row:
    """The row of a conversation of this owner. Raises NotFound."""
    sql = "SELECT * FROM conversations WHERE id = ? AND owner = ? AND deleted_at IS NULL"
    row: Row | None = next(db.query(sql, [conversation_id, owner]), None)
    if row is None:
        owners = "SELECT owner FROM conversations WHERE id = ?"
        raise rows.missing(db, owner, owners, conversation_id, "There is no such conversation.")
    return row


def listing(db: Database, owner: str, q: str, limit: int) -> tuple[ConversationSummary, ...]:
    """Newest first, pinned before the others. With `q`, those whose title, questions or answers contain every word of
    it. The comparisons of a batch are found in the batch, and a blind one is found once all its answers have ended.
    """
    return tuple(line for _, line in matching(db, owner, q, limit))


def matching(db: Database, owner: str | None, q: str, limit: int) -> Iterator[tuple[str, ConversationSummary]]:
    """As `listing`, with the owner beside each; `owner` None is everybody, which is for operators alone."""
    printable = "".join(c if c.isprintable() else " " for c in q)  # SQLite reads no further than a NUL
    words = list(dict.fromkeys(printable.split()))[:MAX_WORDS]
    matches = " AND ".join(
        ["(instr(lower(c.title), lower(?)) OR c.id IN (SELECT conversation_id FROM search WHERE {}))"] * len(words)
    )
    sql = f"""
        SELECT c.*, EXISTS (
            SELECT 1 FROM turns t JOIN generations g ON g.turn_id = t.id
            WHERE t.conversation_id = c.id AND g.status IN ('queued', 'running')) AS running
        FROM conversations c
        WHERE {"1" if owner is None else "c.owner = ? AND c.batch_id IS NULL"} AND c.deleted_at IS NULL
        AND EXISTS (SELECT 1 FROM turns WHERE conversation_id = c.id)
        {"" if owner is None or not words else f"AND c.id NOT IN ({veil.UNFINISHED})"}
        {"AND " + matches.format(*(_condition(w) for w in words)) if words else ""}
        ORDER BY {"" if owner is None else "c.pinned DESC,"} c.updated_at DESC LIMIT ?"""  # noqa: S608 - only placeholders are put in
    whose = [] if owner is None else [owner]
    params = [*whose, *(value for word in words for value in (word, _argument(word))), limit]
    for row in db.query(sql, params):
        yield (
            row["owner"],
            ConversationSummary(
                row["id"],
                row["title"],
                bool(row["pinned"]),
                seconds(row["created_at"]),
                seconds(row["updated_at"]),
                bool(row["running"]),
                _snippet(db, row["id"], words) if words else "",
                row["kind"],
            ),
        )


def _condition(word: str) -> str:
    """Trigrams find three characters and more; two Chinese characters are a word, so shorter ones are scanned for."""
    return "search MATCH ?" if len(word) >= 3 else "text LIKE ? ESCAPE '\\'"


def _argument(word: str) -> str:
    if len(word) >= 3:
        return '"' + word.replace('"', '""') + '"'
    return "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _snippet(db: Database, conversation_id: str, words: list[str]) -> str:
    """The surroundings of the first word found, the hit between \\x02 and \\x03."""
    for word in words:
        sql = f"SELECT text FROM search WHERE conversation_id = ? AND {_condition(word)} LIMIT 1"  # noqa: S608
        for row in db.query(sql, [conversation_id, _argument(word)]):
            text = " ".join(row["text"].split())
            at = text.lower().find(word.lower())
            if at >= 0:
                start, end = max(0, at - 30), at + len(word)
                return f"{'…' if start else ''}{text[start:at]}\x02{text[at:end]}\x03{text[end : end + 60]}"
    return ""


def get(db: Database, owner: str, conversation_id: str) -> Conversation:
    """The whole tree. Raises NotFound."""
    row = owned(db, owner, conversation_id)
    generations: dict[str, list[Row]] = {}
    for g in db.query(
        "SELECT g.* FROM generations g JOIN turns t ON t.id = g.turn_id WHERE t.conversation_id = ? ORDER BY g.rowid",
        [conversation_id],
    ):
        generations.setdefault(g["turn_id"], []).append(g)
    turns = tuple(
        Turn(
            t["id"],
            conversation_id,
            t["parent_id"],
            t["question"],
            seconds(t["created_at"]),
            tuple(veil.generation(db, g) for g in generations[t["id"]]),
            t["chosen_id"],
        )
        for t in db.query("SELECT * FROM turns WHERE conversation_id = ? ORDER BY rowid", [conversation_id])
    )
    return Conversation(
        conversation_id,
        row["title"],
        bool(row["pinned"]),
        seconds(row["created_at"]),
        seconds(row["updated_at"]),
        turns,
        row["leaf_id"],
        row["kind"],
    )


def update(db: Database, owner: str, conversation_id: str, *, title: str | None, pinned: bool | None) -> None:
    """Rename or pin. Raises BadInput for a title that is empty or too long, NotFound."""
    owned(db, owner, conversation_id)
    if title is not None:
        title = " ".join(title.split())
        if not 0 < len(title) <= MAX_TITLE:
            raise BadInput(f"A title has 1 to {MAX_TITLE} characters.")
        db.table("conversations").update(conversation_id, {"title": title})
    if pinned is not None:
        db.table("conversations").update(conversation_id, {"pinned": int(pinned)})


def delete(db: Database, owner: str, conversation_id: str) -> list[str]:
    """Hide it at once; `restore` brings it back until `purge` removes it for good. Returns what still runs in it."""
    owned(db, owner, conversation_id)
    db.table("conversations").update(conversation_id, {"deleted_at": rows.now()})
    sql = """SELECT g.id FROM generations g JOIN turns t ON t.id = g.turn_id
        WHERE t.conversation_id = ? AND g.status IN ('queued', 'running')"""
    return [row["id"] for row in db.query(sql, [conversation_id])]


def restore(db: Database, owner: str, conversation_id: str) -> None:
    sql = "UPDATE conversations SET deleted_at = NULL WHERE id = ? AND owner = ?"
    if db.execute(sql, [conversation_id, owner]).rowcount != 1:
        owners = "SELECT owner FROM conversations WHERE id = ?"
        raise rows.missing(db, owner, owners, conversation_id, "There is no such conversation.")


def purge(db: Database, before: str) -> int:
    """Remove for good what was deleted before that time, or begun and never asked anything; returns how many."""
    sql = """SELECT id FROM conversations c WHERE deleted_at < ? OR (created_at < ? AND leaf_id IS NULL
        AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.conversation_id = c.id))"""
    gone = [r["id"] for r in db.query(sql, [before, before])]
    for conversation_id in gone:
        db.execute("DELETE FROM search WHERE conversation_id = ?", [conversation_id])
        db.execute("DELETE FROM conversations WHERE id = ?", [conversation_id])
    return len(gone)


def show_branch(db: Database, owner: str, conversation_id: str, turn_id: str) -> None:
    """Show the branch through that turn, down to its newest leaf."""
    owned(db, owner, conversation_id)
    children: dict[str | None, str] = {}
    known = set()
    for row in db.query("SELECT id, parent_id FROM turns WHERE conversation_id = ? ORDER BY rowid", [conversation_id]):
        known.add(row["id"])
        children[row["parent_id"]] = row["id"]
    if turn_id not in known:
        raise NotFound("There is no such turn.")
    while turn_id in children:
        turn_id = children[turn_id]
    db.table("conversations").update(conversation_id, {"leaf_id": turn_id})
