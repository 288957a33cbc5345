"""What is given to research, as lines of JSON: every vote and judgement, and the conversations of those who agreed.

Invariant: all of it is of one moment; nobody is named, and what began behind somebody's link is not given. Who and
what belongs together has the same number throughout one file, and another one in the next: the key that makes them is
thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import sqlite_utils

from app.backend.errors import BadInput, NotFound, StoreError
from app.backend.records import Conversation, Generation
from app.backend.storage import conversations
from app.backend.storage.troubles import reason
from app.backend.types import DEMO

Number = Callable[[str], str]
Line = dict[str, object]


def export(database: Path, target: Path, *, replace: bool = False) -> dict[str, int]:
    """Write the file `target`, readable by its owner alone; how many lines of each kind are in it.

    Raises BadInput when it cannot be done as asked, NotFound without a database, StoreError when it fails; then a file
    of that name is as it was.
    """
    target = target.expanduser().absolute()
    if target.is_dir() or not target.parent.is_dir():
        raise BadInput(f"{target.name} cannot be written there: name a file in a folder that exists.")
    if target.exists() and not replace:
        raise BadInput(f"{target.name} exists already; choose another name or say --force.")
    if not database.is_file():
        raise NotFound("There is no database in the data folder yet; name the right one with --data.")
    counts = {"vote": 0, "judgement": 0, "conversation": 0}
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            for line in lines(database):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                counts[str(line["type"])] += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise StoreError(f"The file cannot be written ({error.strerror}); choose another folder.") from error
    finally:
        Path(partial).unlink(missing_ok=True)
    return counts


def lines(database: Path) -> Iterator[Line]:
    """The lines of the file. Raises StoreError."""
    key = secrets.token_bytes(32)

    def number(name: str) -> str:
        return hashlib.blake2s(name.encode(), key=key, digest_size=8).hexdigest()

    try:
        uri = f"{database.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            db = sqlite_utils.Database(connection)
            connection.execute("BEGIN")
            yield from _votes(db, number)
            yield from _judgements(db, number)
            yield from _conversations(db, number)
    except sqlite3.Error as error:
        raise StoreError(f"The database cannot be read: {reason(error)}") from error


def _votes(db: sqlite_utils.Database, number: Number) -> Iterator[Line]:
    for vote in db.query("SELECT * FROM votes ORDER BY created_at, rowid"):
        sides = db.query("SELECT * FROM vote_sides WHERE vote_id = ? ORDER BY letter", [vote["id"]])
        yield {
            "type": "vote",
            "person": number(vote["owner"]),
            "conversation": number(vote["comparison_id"]),
            "at": vote["created_at"],
            "winner": vote["winner"],
            "tags": json.loads(vote["tags"]),
            "comment": vote["comment"],
            "judge": vote["judge"],
            "visitor": vote["owner"].startswith(DEMO),
            "blind": bool(vote["blind"]),
            "counted": bool(vote["counted"]),
            "why_not": vote["why_not"],
            "question": vote["question"],
            "corpus": vote["corpus"],
            "language": vote["language"],
            "sides": [
                {
                    "letter": side["letter"],
                    "contender": side["contender"],
                    "pipeline": side["pipeline"],
                    "corpus": side["corpus"],
                    "params": json.loads(side["params"]),
                    "model": side["model"],
                    "chars": side["chars"],
                    "citations": side["citations"],
                    "total_ms": side["total_ms"],
                }
                for side in sides
            ],
        }


def _judgements(db: sqlite_utils.Database, number: Number) -> Iterator[Line]:
    """What models said of the answers of batches, without their questions, which are their owners' own."""
    for row in db.query("SELECT * FROM judgements ORDER BY created_at, batch_id, position, left_side, right_side"):
        sides = ("a", "left"), ("b", "right")
        yield {
            "type": "judgement",
            "batch": number(row["batch_id"]),
            "position": row["position"],
            "at": row["created_at"],
            "winner": {1.0: "a", 0.5: "tie", 0.0: "b"}.get(row["outcome"]),
            "judge": row["model"],
            "corpus": row["corpus"],
            "language": row["language"],
            "sides": [
                {"letter": letter}
                | {key: row[f"{side}_{key}"] for key in ("contender", "chars", "citations", "total_ms")}
                for letter, side in sides
            ],
        }


def _conversations(db: sqlite_utils.Database, number: Number) -> Iterator[Line]:
    sql = """SELECT c.id, c.owner, c.kind, c.created_at FROM conversations c JOIN consents o ON o.owner = c.owner
        WHERE NOT c.copied AND c.deleted_at IS NULL AND EXISTS (SELECT 1 FROM turns WHERE conversation_id = c.id)
        ORDER BY c.created_at, c.rowid"""
    for row in list(db.query(sql)):
        conversation = conversations.get(db, row["owner"], row["id"])
        yield {
            "type": "conversation",
            "person": number(row["owner"]),
            "conversation": number(row["id"]),
            "kind": row["kind"],
            "at": row["created_at"],
            "turns": _turns(conversation),
        }


def _turns(conversation: Conversation) -> list[Line]:
    """`parent` is the place of the turn before, from 0; `shown` says which answer was built on."""
    place = {turn.id: at for at, turn in enumerate(conversation.turns)}
    return [
        {
            "parent": None if turn.parent_id is None else place[turn.parent_id],
            "question": turn.question,
            "shown": [g.id for g in turn.generations].index(turn.chosen_id),
            "answers": [_answer(generation) for generation in turn.generations],
        }
        for turn in conversation.turns
    ]


def _answer(generation: Generation) -> Line:
    return {
        "pipeline": generation.pipeline,
        "params": dict(generation.params),
        "corpus": generation.corpus,
        "corpus_version": generation.corpus_version,
        "engine": generation.engine,
        "model": generation.model,
        "seed": generation.seed,
        "status": generation.status,
        "answer": generation.answer,
        "search_query": generation.search_query,
        "passages": [{"id": p.id, "title": p.title, "score": p.score} for p in generation.passages],
        "citations": [
            {"n": c.n, "passage_id": c.passage_id, "sentence": c.sentence, "by": c.by} for c in generation.citations
        ],
        "timings_ms": dict(generation.timings_ms),
    }
