"""What waits for the thread that writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import sqlite_utils


@dataclass(frozen=True, slots=True)
class Write:
    """A change, and where its result goes."""

    change: Callable[[sqlite_utils.Database], Any]
    result: Future[Any] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)

    def claim(self) -> bool:
        """Whether it is still wanted; from then on it cannot be given up."""
        return not self.result.cancelled() and (self.result.running() or self.result.set_running_or_notify_cancel())

    def fail(self, error: Exception) -> None:
        """Its caller gets this, unless it has its result."""
        if not self.result.done():
            self.result.set_exception(error)
