"""What the program tells its operators: Prometheus metrics and one structured line per log record.

Invariant: no question, answer, passage or secret goes into a metric or a log line; ids and codes do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.backend.digest import Digest
from app.backend.types import Health

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The metrics of one server. Each has its own registry, so that two servers in one process do not mix."""

    registry: CollectorRegistry
    requests: Counter
    streams: Gauge
    generations: Counter
    tokens: Counter
    first_token: Histogram
    duration: Histogram

    @classmethod
    def create(cls) -> Telemetry:
        registry = CollectorRegistry()
        return cls(
            registry=registry,
            requests=Counter(
                "colloquy_http_requests", "HTTP requests answered", ("method", "status"), registry=registry
            ),
            streams=Gauge("colloquy_streams_open", "Event streams that are being read", registry=registry),
            generations=Counter(
                "colloquy_generations", "Generations ended, by outcome", ("pipeline", "outcome"), registry=registry
            ),
            tokens=Counter("colloquy_tokens", "Tokens of ended generations", ("kind",), registry=registry),
            first_token=Histogram(
                "colloquy_first_token_seconds",
                "Prompt given to the engine to first token of the answer",
                ("pipeline",),
                buckets=_SECONDS,
                registry=registry,
            ),
            duration=Histogram(
                "colloquy_generation_seconds",
                "Question asked to the end of the answer",
                ("pipeline",),
                buckets=_SECONDS,
                registry=registry,
            ),
        )

    def watch_parts(self, parts: Mapping[str, Callable[[], Health]]) -> None:
        """Show the health of the parts as `colloquy_part_ready{part=...}`, read when the metrics are."""
        self.registry.register(_PartsReady(parts))

    def ended(self, pipeline: str, digest: Digest) -> None:
        """Count a generation that has reached its terminal event."""
        self.generations.labels(pipeline, digest.status).inc()
        self.tokens.labels("prompt").inc(digest.usage.prompt_tokens)
        self.tokens.labels("cached").inc(digest.usage.cached_tokens)
        self.tokens.labels("completion").inc(digest.usage.completion_tokens)
        if "first_token" in digest.timings_ms:
            self.first_token.labels(pipeline).observe(digest.timings_ms["first_token"] / 1000)
        if "total" in digest.timings_ms:
            self.duration.labels(pipeline).observe(digest.timings_ms["total"] / 1000)

    def render(self) -> bytes:
        """Everything in Prometheus' text format, with what libraries (the engine, Python itself) count of their own."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)


@dataclass(frozen=True, slots=True, eq=False)
class _PartsReady(Collector):
    parts: Mapping[str, Callable[[], Health]]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("colloquy_part_ready", "1 when the part can do its work", labels=("part",))
        for name, health in self.parts.items():
            family.add_metric((name,), float(health().state == "ready"))
        yield family


def configure_logging(*, quiet: bool) -> None:
    """Send our log records, and the libraries' warnings, to stderr as one line of JSON. Call it once, at the start.

    `quiet` leaves out what needs nobody's attention, for a person at a terminal.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("app").setLevel(logging.WARNING if quiet else logging.INFO)
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("app."))
