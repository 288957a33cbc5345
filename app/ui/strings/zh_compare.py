"""Chinese (simplified): the page that compares answers, and the ways between the pages."""

from __future__ import annotations

from collections.abc import Mapping

STRINGS: Mapping[str, str] = {
    "place.label": "页面",
    "place.chat": "对话",
    "place.compare": "对比",
    "place.leaderboard": "排行榜",
}
