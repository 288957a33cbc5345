"""The engines: adapters behind `protocols.Engine`. Only the one that is asked for is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.backend.protocols import Engine
from app.settings import EngineSettings


def create_engine(settings: EngineSettings, *, retriever_gib: float = 0.0) -> Engine:
    """The engine of `settings.kind`, not started yet. `retriever_gib` of the same GPU stay free for the retriever."""
    return _KINDS[settings.kind](settings, retriever_gib)


def _vllm(settings: EngineSettings, retriever_gib: float) -> Engine:
    from app.backend.engines.vllm import VllmEngine

    return VllmEngine(settings, retriever_gib=retriever_gib)


def _openai(settings: EngineSettings, retriever_gib: float) -> Engine:
    from app.backend.engines.openai import OpenAIEngine

    return OpenAIEngine(settings)


def _scripted(settings: EngineSettings, retriever_gib: float) -> Engine:
    from app.backend.engines.scripted import ScriptedEngine

    return ScriptedEngine()


_KINDS: Mapping[str, Callable[[EngineSettings, float], Engine]] = {
    "vllm": _vllm,
    "openai": _openai,
    "scripted": _scripted,
}
