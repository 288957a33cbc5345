"""Who was turned away, by reason, wherever that happens.

Invariant: one metric has them all. The queue counts its own; all others are counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from app.backend.admission.snapshot import Queue


@dataclass(slots=True, eq=False)
class Refusals(Collector):
    """One per server; `queue` tells what the queue turned away."""

    queue: Callable[[], Queue] | None = None
    _elsewhere: Counter[str] = field(default_factory=Counter)

    def count(self, reason: str) -> None:
        self._elsewhere[reason] += 1

    def collect(self) -> Iterable[CounterMetricFamily]:
        found = self._elsewhere + Counter(self.queue().refused if self.queue else {})
        family = CounterMetricFamily("colloquy_refusals", "Questions and requests refused", labels=("reason",))
        for reason, number in found.items():
            family.add_metric((reason,), number)
        yield family
