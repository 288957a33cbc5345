"""English: the page that compares answers, and the ways between the pages."""

from __future__ import annotations

from collections.abc import Mapping

STRINGS: Mapping[str, str] = {
    "place.label": "Places",
    "place.chat": "Chat",
    "place.compare": "Compare",
    "place.leaderboard": "Leaderboard",
}
