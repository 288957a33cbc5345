"""What engine servers count of their own, passed on beside ours.

Invariant: each sample says of which server it is; a server that is slow or tells nonsense costs a second and nothing of
the others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

SCRAPE_S = 1.0
_VLLM = "vllm:"
"""Of the server's process itself its own operator knows."""


@runtime_checkable
class Scraped(Protocol):
    """An engine whose servers count."""

    async def scrape(self) -> Mapping[str, str]:
        """The metrics of each server that answers, by its URL."""


def merged(texts: Mapping[str, str]) -> bytes:
    """vLLM's metrics of all servers in Prometheus' text format, with the label `server`."""
    families: dict[str, Metric] = {}
    for url, text in texts.items():
        server = urlsplit(url).netloc.rpartition("@")[2]
        try:
            found = [family for family in text_string_to_metric_families(text) if family.name.startswith(_VLLM)]
        except ValueError:
            log.warning("the metrics of the engine server %s cannot be read", server)
            continue
        for family in found:
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            known.samples += [one._replace(labels={**one.labels, "server": server}) for one in family.samples]
    registry = CollectorRegistry()
    registry.register(_Found(families.values()))
    return generate_latest(registry)


class _Found(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
