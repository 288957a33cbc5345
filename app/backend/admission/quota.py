"""How often each user has asked: in the last minute, and since midnight (UTC).

Invariant: the day's count survives a restart, because it is read from the database then.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping

from app.settings import AddressQuota, Quota

MINUTE_S, DAY_S = 60.0, 86_400.0


class Asked:
    """Counts by user. `now` gives Unix seconds, because a day is one of the calendar."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._day = self._today()
        self._of_day: Counter[str] = Counter()
        self._of_minute: dict[str, deque[float]] = {}

    def seed(self, counts: Mapping[str, int]) -> None:
        """What was asked today before this process began."""
        self._of_day.update(counts)

    def count(self, owner: str) -> None:
        self._turn_page()
        self._of_day[owner] += 1
        self._of_minute.setdefault(owner, deque()).append(self._now())

    def uncount(self, owner: str) -> None:
        """Take the last one back."""
        self._turn_page()
        self._of_day[owner] = max(0, self._of_day[owner] - 1)
        if times := self._of_minute.get(owner):
            times.pop()

    def over(self, owner: str, quota: Quota | AddressQuota) -> tuple[str, str, float] | None:
        """Why the user may not ask now: a code, a sentence, and the seconds until it changes."""
        self._turn_page()
        if self._of_day[owner] >= quota.per_day:
            words = (
                f"You have asked {quota.per_day:,} questions today, which is the limit; it starts anew at 00:00 UTC."
            )
            return "per_day", words, (self._day + 1) * DAY_S - self._now()
        recent = self._of_minute.get(owner, deque())
        while recent and recent[0] <= self._now() - MINUTE_S:
            recent.popleft()
        if len(recent) >= quota.per_minute:
            words = f"You have asked {quota.per_minute} questions within a minute, which is the limit; wait a little."
            return "per_minute", words, recent[-quota.per_minute] + MINUTE_S - self._now()
        return None

    def forget(self) -> None:
        """Drop what is older than a minute."""
        before = self._now() - MINUTE_S
        self._of_minute = {owner: times for owner, times in self._of_minute.items() if times and times[-1] > before}

    def _turn_page(self) -> None:
        if (today := self._today()) != self._day:
            self._day = today
            self._of_day.clear()

    def _today(self) -> int:
        return math.floor(self._now() / DAY_S)
