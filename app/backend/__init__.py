"""The backend. Its public surface: `create_backend` here, `Backend` and `Question` in `service`, and the values in
`types`, `events`, `records` and `errors`. Doors import nothing else of it, and nothing is loaded before `open` and
`start`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.backend.service import Backend
    from app.settings import Settings

__all__ = ["create_backend"]


def create_backend(settings: Settings) -> Backend:
    """Put the parts together that the settings ask for."""
    from app.backend.engines import create_engine, create_served
    from app.backend.pipelines.registry import create_registry
    from app.backend.retrieval import create_retriever
    from app.backend.service import Backend
    from app.backend.storage.database import Database
    from app.backend.telemetry import Telemetry

    telemetry = Telemetry.create()
    return Backend(
        settings,
        Database(settings.data / "colloquy.db", registry=telemetry.registry),
        create_engine(settings),
        create_retriever(settings, telemetry.registry),
        create_registry(settings),
        telemetry,
        create_served(settings.engines),
    )
