"""Retrieval: corpora on disk, dense and lexical indexes, their fusion, and how they are built.

Invariant: importing this package loads no model library; adapters and heavy imports come when they are called for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.settings import ASSETS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from app.backend.protocols import Retriever
    from app.settings import Settings

DEMO = "demo"
DEMO_FILE = ASSETS / "demo" / "corpus.jsonl"


def create_retriever(settings: Settings, registry: CollectorRegistry | None = None) -> Retriever:
    """The retriever the settings ask for: in this process, or another server's. Start it before use.

    A `registry` gets its metrics.
    """
    if settings.retrieval.urls:
        from app.backend.retrieval.remote import RemoteRetriever

        return RemoteRetriever(settings.retrieval)
    import logging
    from functools import partial

    from app.backend.engines.models import resolve_model
    from app.backend.retrieval.ingest import DEMO_DESCRIPTION, corpora_folder, ensure_demo
    from app.backend.retrieval.library import Demo
    from app.backend.retrieval.local import LocalRetriever
    from app.backend.retrieval.threads import wait_passively
    from app.backend.types import CorpusInfo

    wait_passively()  # before the engine imports torch
    log = logging.getLogger(__name__)
    demo = None
    if DEMO_FILE.is_file():
        with DEMO_FILE.open("rb") as lines:
            passages = sum(1 for line in lines if line.strip())
        info = CorpusInfo(DEMO, passages, "", ("en", "zh"), DEMO_DESCRIPTION)
        demo = Demo(info, partial(ensure_demo, settings, DEMO, DEMO_FILE))
    return LocalRetriever(
        settings.retrieval,
        corpora_folder(settings),
        lambda ref: resolve_model(ref, settings.data / "models", log.info),
        demo=demo,
        registry=registry,
    )
