"""What a restart must not undo: what the guests of each network asked today, and that no new questions are taken.

Invariant: of networks, only those of today are kept, and only a number of each.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlite_utils import Database

from app.backend.storage import rows


def count_network(db: Database, network: str) -> None:
    """A guest of the network asked."""
    today = rows.midnight()
    db.execute("DELETE FROM networks WHERE day <> ?", [today])
    sql = """INSERT INTO networks (network, day, asked) VALUES (?, ?, 1)
        ON CONFLICT (network) DO UPDATE SET asked = asked + 1"""
    db.execute(sql, [network, today])


def networks(db: Database) -> Mapping[str, int]:
    """How often guests of each network asked today."""
    found = db.query("SELECT network, asked FROM networks WHERE day = ?", [rows.midnight()])
    return {row["network"]: row["asked"] for row in found}


def set_drain(db: Database, drain: tuple[float, str] | None) -> None:
    """Since when no new questions are taken, and by whom; None: they are."""
    db.execute("DELETE FROM drain")
    if drain:
        db.execute("INSERT INTO drain (since, operator) VALUES (?, ?)", [rows.iso(drain[0]), drain[1]])


def drain(db: Database) -> tuple[float, str] | None:
    """What `set_drain` set."""
    found = next(db.query("SELECT since, operator FROM drain"), None)
    return (rows.seconds(found["since"]), found["operator"]) if found else None
