"""Slows down who tries again and again: so many attempts at once, then one more each time some have been forgotten.

Invariant: memory is bounded, however many names and addresses are tried; what was tried longest ago is forgotten first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from app.backend.errors import Refused

MAX_KEYS = 10_000


class Throttle:
    """A leaking bucket for each key: `attempts` fill it, and it empties within `window_s`. `refused` hears of each that
    was one too many.
    """

    def __init__(
        self,
        attempts: int,
        window_s: float,
        clock: Callable[[], float] = time.monotonic,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._attempts = attempts
        self._leak_per_s = attempts / window_s
        self._clock = clock
        self._refused = refused
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def attempt(self, key: str) -> None:
        """Count one attempt before its outcome is known. Raises Refused when there were too many."""
        now = self._clock()
        level, since = self._buckets.pop(key, (0.0, now))
        level = max(0.0, level - (now - since) * self._leak_per_s)
        allowed = level + 1 <= self._attempts
        self._buckets[key] = (level + 1 if allowed else level, now)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        if not allowed:
            self._refused()
            wait_s = (level + 1 - self._attempts) / self._leak_per_s
            raise Refused("Too many attempts; please wait a moment and try again.", retry_after_s=round(wait_s, 1))

    def give_back(self, key: str) -> None:
        """An attempt was right: it does not count, and those before it still do."""
        if key in self._buckets:
            level, since = self._buckets[key]
            self._buckets[key] = (max(0.0, level - 1), since)

    def forget(self, key: str) -> None:
        """An attempt was right: start anew."""
        self._buckets.pop(key, None)
