"""The backend's public surface; nothing outside imports from deeper than its modules named here."""

from __future__ import annotations

from app.backend.service import Backend, Question
from app.settings import Settings

__all__ = ["Backend", "Question", "create_backend"]


def create_backend(settings: Settings) -> Backend:
    """Put the parts together that the settings ask for. Nothing is opened or loaded before `open` and `start`."""
    from app.backend.engines import create_engine
    from app.backend.pipelines.registry import create_registry
    from app.backend.retrieval import create_retriever
    from app.backend.storage.database import Database

    return Backend(
        settings,
        Database(settings.data / "colloquy.db"),
        create_engine(settings.engine),
        create_retriever(settings),
        create_registry(settings),
    )
