"""A core of vLLM that hangs is told from one that works long, given up, and replaced. No vLLM is needed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.backend.engines.pulse import Pulse
from app.backend.engines.vllm import VllmEngine
from app.backend.engines.vllm_core import VllmCore
from app.settings import EngineSettings
from tests.api.house import events_of, text_of, until_part
from tests.fault.house import ended_once, house

pytestmark = pytest.mark.anyio


class ServerError(Exception):
    """vLLM's, for what is its own fault."""


class Life:
    """As much of `AsyncLLM` as an answer needs. The warm-up is answered; then it says `text`, or hangs without one."""

    def __init__(self, text: str = "") -> None:
        self.model_config = SimpleNamespace(max_model_len=4096)
        self.errored = self.ended = False
        self.dead_error = ServerError()
        self.output_processor = self
        self.output_handler: asyncio.Task[bool] | None = None
        self._text = text
        self._waiting: list[asyncio.Future[None]] = []

    def get_tokenizer(self) -> SimpleNamespace:
        return SimpleNamespace(added_tokens_decoder={}, apply_chat_template=lambda chat, **how: [1, 2, 3])

    async def generate(self, prompt: object, params: object, name: str) -> AsyncGenerator[SimpleNamespace, None]:
        self.output_handler = self.output_handler or asyncio.create_task(asyncio.Event().wait())
        if name != "warm-up" and not self._text:
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]
        said = SimpleNamespace(text=self._text, token_ids=[1], logprobs=None, finish_reason="stop", stop_reason=None)
        yield SimpleNamespace(outputs=[said], num_cached_tokens=0, finished=True)

    def propagate_error(self, error: Exception) -> None:
        for told in self._waiting:
            told.set_exception(error)

    def shutdown(self, timeout: float) -> None:
        self.ended = True


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that an answer takes from vLLM."""
    names = {
        "vllm": {"SamplingParams": SimpleNamespace},
        "vllm.exceptions": {"VLLMClientError": ValueError, "VLLMServerError": ServerError},
        "vllm.inputs": {"tokens_input": lambda prompt, cache_salt: prompt},
        "vllm.platforms": {"current_platform": SimpleNamespace(is_cpu=lambda: True)},
        "vllm.sampling_params": {"RequestOutputKind": SimpleNamespace(DELTA="delta")},
    }
    for module, members in names.items():
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**members))


async def test_a_core_that_hangs_before_the_first_token_is_told_ended_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the deadline; only what it was asked is lost."""
    hanging, well = Life(), Life("Back again.")
    lives = iter((hanging, well))

    def boot(*settings: object, stall_s: float) -> VllmCore:
        return VllmCore(next(lives), Pulse(stall_s))

    monkeypatch.setattr("app.backend.engines.vllm.boot", boot)
    engine = VllmEngine(EngineSettings(model="some/model"), tmp_path, stall_s=0.5)
    async with house(tmp_path, engine) as served:
        async with asyncio.timeout(30):  # far below the deadline
            await until_part(served, "engine", "ready")
            asked = [await served.ask() for _ in range(2)]
            for end in [ended_once(await events_of(served.guest, generation)) for generation in asked]:
                assert (end.kind, end.data["code"]) == ("failed", "unavailable")
            await until_part(served, "engine", "ready")
            assert hanging.ended
            assert text_of(await events_of(served.guest, await served.ask())) == "Back again."
