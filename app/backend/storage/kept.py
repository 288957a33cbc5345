"""What a restart must not undo: what guests of each network asked and voted today, and that no questions are taken.

Invariant: of networks, only those of today are kept, and only a number of each.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlite_utils import Database

from app.backend.storage import rows


def count_network(db: Database, network: str) -> None:
    """A guest of the network asked."""
    _today(db, network)
    db.execute("UPDATE networks SET asked = asked + 1 WHERE network = ?", [network])


def count_vote(db: Database, network: str) -> None:
    """A vote of a guest of the network counts."""
    _today(db, network)
    db.execute("UPDATE networks SET voted = voted + 1 WHERE network = ?", [network])


def _today(db: Database, network: str) -> None:
    """See to it that the network has a line, and that no other day has any."""
    today = rows.midnight()
    db.execute("DELETE FROM networks WHERE day <> ?", [today])
    db.execute("INSERT OR IGNORE INTO networks (network, day, asked) VALUES (?, ?, 0)", [network, today])


def networks(db: Database) -> Mapping[str, int]:
    """How often guests of each network asked today."""
    found = db.query("SELECT network, asked FROM networks WHERE day = ?", [rows.midnight()])
    return {row["network"]: row["asked"] for row in found}


def votes(db: Database, network: str) -> int:
    """How many votes of guests of the network count of today's."""
    found = db.execute("SELECT voted FROM networks WHERE network = ? AND day = ?", [network, rows.midnight()])
    row = found.fetchone()
    return int(row[0]) if row else 0


def set_drain(db: Database, drain: tuple[float, str] | None) -> None:
    """Since when no new questions are taken, and by whom; None: they are."""
    db.execute("DELETE FROM drain")
    if drain:
        db.execute("INSERT INTO drain (since, operator) VALUES (?, ?)", [rows.iso(drain[0]), drain[1]])


def drain(db: Database) -> tuple[float, str] | None:
    """What `set_drain` set."""
    found = next(db.query("SELECT since, operator FROM drain"), None)
    return (rows.seconds(found["since"]), found["operator"]) if found else None
