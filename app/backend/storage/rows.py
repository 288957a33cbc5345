"""Between rows and records: times are ISO 8601 in UTC in the file (pleasant to read), Unix seconds outside."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from app.backend.errors import Foreign, NotFound
from app.backend.events import Copied, Degraded, Searched
from app.backend.records import Generation
from app.backend.types import Citation, Passage, Usage

Row = Mapping[str, Any]


def new_id() -> str:
    """128 random bits."""
    return secrets.token_hex(16)


def now() -> str:
    return iso(time.time())


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def midnight() -> str:
    """When today began, in UTC."""
    return iso(time.time() // 86_400 * 86_400)


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def missing(db: Database, owner: str, owners: str, row_id: str, message: str) -> NotFound:
    """The error for a row that `owner` cannot see; `owners` selects whose it is by its id. That is looked up for what
    never was as well, so that the time it takes tells nothing.
    """
    row = db.execute(owners, [row_id]).fetchone()
    return NotFound(message) if row is None or row[0] == owner else Foreign(message)


def generation(db: Database, row: Row) -> Generation:
    """The record of a row of `generations`, with its passages, citations and timings."""
    key = [row["id"]]
    kinds = [Copied.kind, Degraded.kind, Searched.kind]
    told = list(
        db.query(
            "SELECT kind, data FROM events WHERE generation_id = ? AND kind IN (?, ?, ?) ORDER BY seq", [*key, *kinds]
        )
    )
    return Generation(
        id=row["id"],
        turn_id=row["turn_id"],
        pipeline=row["pipeline"],
        corpus=row["corpus"],
        params=json.loads(row["params"]),
        model=row["model"],
        status=row["status"],
        created_at=seconds(row["created_at"]),
        started_at=seconds(row["started_at"]) if row["started_at"] else None,
        finished_at=seconds(row["finished_at"]) if row["finished_at"] else None,
        answer=row["answer"],
        search_query=row["search_query"],
        searches=sum(e["kind"] == Searched.kind for e in told)
        + sum(json.loads(e["data"])["searches"] for e in told if e["kind"] == Copied.kind),
        error_code=row["error_code"],
        error_message=row["error_message"],
        passages=tuple(
            Passage(p["passage_id"], p["title"], p["text"], p["score"], p["corpus"])
            for p in db.query("SELECT * FROM passages WHERE generation_id = ? ORDER BY n", key)
        ),
        degraded=tuple(Degraded(**json.loads(e["data"])) for e in told if e["kind"] == Degraded.kind),
        citations=tuple(
            Citation(
                c["n"],
                c["passage_id"],
                tuple((a, b) for a, b in json.loads(c["spans"])),
                (c["sentence_start"], c["sentence_end"]),
                c["cited_by"],
            )
            for c in db.query("SELECT * FROM citations WHERE generation_id = ? ORDER BY position", key)
        ),
        usage=Usage(
            row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], row["engine_calls"], row["engine_ms"]
        ),
        corpus_version=row["corpus_version"],
        seed=row["seed"],
        engine=row["engine"],
        timings_ms={t["stage"]: t["ms"] for t in db.query("SELECT * FROM timings WHERE generation_id = ?", key)},
    )
