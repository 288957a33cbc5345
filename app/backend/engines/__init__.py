"""The engines: adapters behind `protocols.Engine`. Only what is asked for is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.backend.protocols import Engine
from app.settings import ServedEngine, Settings


def create_engine(settings: Settings) -> Engine:
    """The engine that the settings ask for, not started yet."""
    return _KINDS[settings.engine.kind](settings)


def create_served(served: Mapping[str, ServedEngine]) -> dict[str, Engine]:
    """The further engines by name, not started yet."""
    if not served:
        return {}
    from app.backend.engines.openai import OpenAIEngine

    return {name: OpenAIEngine(one) for name, one in served.items()}


def _vllm(settings: Settings) -> Engine:
    from app.backend.engines.vllm import VllmEngine

    retriever_elsewhere = settings.retrieval.device == "cpu" or bool(settings.retrieval.urls)
    retriever_gib = 0.0 if retriever_elsewhere else settings.retrieval.gpu_memory_gib
    return VllmEngine(
        settings.engine, settings.data / "models", retriever_gib=retriever_gib, stall_s=settings.generation.stall_s
    )


def _openai(settings: Settings) -> Engine:
    from app.backend.engines.openai import OpenAIEngine

    return OpenAIEngine(settings.engine)


def _scripted(settings: Settings) -> Engine:
    from app.backend.engines.scripted import ScriptedEngine

    return ScriptedEngine()


_KINDS: Mapping[str, Callable[[Settings], Engine]] = {"vllm": _vllm, "openai": _openai, "scripted": _scripted}
