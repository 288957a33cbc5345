"""Counts what happens, and writes the line of the log that belongs to it.

Invariant: the labels of a metric have few values, and none that a user can choose.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.backend.admission.snapshot import Queue
from app.backend.digest import Digest
from app.backend.records import Ticket
from app.backend.telemetry.refusals import Refusals
from app.backend.types import Health, Lane

log = structlog.get_logger(__name__)

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)
_MOMENTS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The metrics of one server. Each has its own registry, so that two servers in one process do not mix."""

    registry: CollectorRegistry
    requests: Counter
    streams: Gauge
    generations: Counter
    tokens: Counter
    wait: Histogram
    first_token: Histogram
    inter_token: Histogram
    duration: Histogram
    loop_lag: Histogram
    refusals: Refusals

    @classmethod
    def create(cls) -> Telemetry:
        registry = CollectorRegistry()

        refusals = Refusals()
        registry.register(refusals)
        tasks = Gauge("colloquy_tasks", "Tasks of the event loop that reads the metrics", registry=registry)
        tasks.set_function(_tasks)
        blocks = Gauge("colloquy_memory_blocks", "Blocks that Python's allocator has given out", registry=registry)
        blocks.set_function(sys.getallocatedblocks)

        def seconds(name: str, help_: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(f"colloquy_{name}_seconds", help_, labels, buckets=buckets, registry=registry)

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"colloquy_{name}", help_, labels, registry=registry)

        return cls(
            registry=registry,
            requests=counter("http_requests", "HTTP requests answered", "method", "status"),
            streams=Gauge("colloquy_streams_open", "Event streams that are being read", registry=registry),
            generations=counter("generations", "Generations ended, by outcome", "pipeline", "outcome"),
            tokens=counter("tokens", "Tokens of ended generations", "kind"),
            wait=seconds("wait", "Question accepted to its pipeline's begin", "lane"),
            first_token=seconds("first_token", "Prompt given to the engine to first token of the answer", "pipeline"),
            inter_token=seconds("inter_token", "Pause between two pieces of an engine's text", buckets=_MOMENTS),
            duration=seconds("generation", "Question asked to the end of the answer", "pipeline"),
            loop_lag=seconds("event_loop_lag", "How much later than due the event loop runs a timer", buckets=_MOMENTS),
            refusals=refusals,
        )

    def watch_parts(self, parts: Mapping[str, Callable[[], Health]]) -> None:
        """Show the health of the parts as `colloquy_part_ready{part=...}`, read when the metrics are."""
        self.registry.register(_PartsReady(parts))

    def watch_queue(self, queue: Callable[[], Queue]) -> None:
        """Show what waits and runs, read when the metrics are."""
        self.registry.register(_Queued(queue))
        self.refusals.queue = queue

    def refused(self, reason: str) -> None:
        """Somebody was turned away elsewhere than in the queue."""
        self.refusals.count(reason)

    def part(self, name: str, health: Health) -> None:
        """A part's state is another than before."""
        record = log.warning if health.state == "down" else log.info
        record("part", part=name, state=health.state, detail=health.detail)

    def asked(self, owner: str, lane: Lane, pipeline: str, corpus: str, engine: str, ticket: Ticket) -> None:
        log.info(
            "asked",
            generation_id=ticket.generation_id,
            conversation_id=ticket.conversation_id,
            owner=owner,
            lane=lane,
            pipeline=pipeline,
            corpus=corpus,
            engine=engine or None,
            position=ticket.position,
            eta_s=ticket.eta_s,
        )

    def admitted(self, generation_id: str, lane: Lane, waited_s: float) -> None:
        self.wait.labels(lane).observe(waited_s)
        log.info("admitted", generation_id=generation_id, lane=lane, waited_s=round(waited_s, 3))

    def ended(self, generation_id: str, pipeline: str, digest: Digest) -> None:
        """Count a generation that has reached its terminal event."""
        usage, timings = digest.usage, digest.timings_ms
        self.generations.labels(pipeline, digest.status).inc()
        self.tokens.labels("prompt").inc(usage.prompt_tokens)
        self.tokens.labels("cached").inc(usage.cached_tokens)
        self.tokens.labels("completion").inc(usage.completion_tokens)
        if "first_token" in timings:
            self.first_token.labels(pipeline).observe(timings["first_token"] / 1000)
        if "total" in timings:
            self.duration.labels(pipeline).observe(timings["total"] / 1000)
        record = log.warning if digest.status == "failed" else log.info
        record(
            "ended",
            generation_id=generation_id,
            status=digest.status,
            code=digest.error_code or None,
            degraded=[degraded.part for degraded in digest.degraded] or None,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            timings_ms=dict(timings),
        )

    def render(self) -> bytes:
        """Everything in Prometheus' text format, with what libraries (the engine, Python itself) count of their own."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)


def _tasks() -> int:
    return len(asyncio.all_tasks())


@dataclass(frozen=True, slots=True, eq=False)
class _PartsReady(Collector):
    parts: Mapping[str, Callable[[], Health]]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("colloquy_part_ready", "1 when the part can do its work", labels=("part",))
        for name, health in self.parts.items():
            family.add_metric((name,), float(health().state == "ready"))
        yield family


@dataclass(frozen=True, slots=True, eq=False)
class _Queued(Collector):
    queue: Callable[[], Queue]

    def collect(self) -> Iterable[Metric]:
        now = self.queue()
        waiting = GaugeMetricFamily("colloquy_queue_waiting", "Questions that wait", labels=("lane",))
        running = GaugeMetricFamily("colloquy_queue_running", "Questions being answered", labels=("lane",))
        for family, lanes in ((waiting, now.waiting), (running, now.running)):
            for lane, number in lanes.items():
                family.add_metric((lane,), number)
            yield family
        yield GaugeMetricFamily("colloquy_queue_tokens", "Prompt tokens that wait, estimated", now.queued_tokens)
        yield GaugeMetricFamily("colloquy_brownout_level", "0 none to 4 refusing", now.level)
        yield CounterMetricFamily("colloquy_admitted", "Questions let in", now.admitted)
