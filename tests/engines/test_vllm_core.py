"""The parts of the vLLM adapter that need no vLLM."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from jinja2 import TemplateError
from pydantic import ValidationError

from app.backend.engines.pulse import Pulse
from app.backend.engines.supervisor import HopelessError
from app.backend.engines.vllm_arguments import reserve
from app.backend.engines.vllm_core import VllmCore, boot, sentence
from app.backend.errors import BadInput
from app.backend.types import Message
from app.settings import EngineSettings


def test_the_retrievers_memory_is_taken_out_of_the_engines_share() -> None:
    assert reserve(total_gib=80, retriever_gib=8, utilization=0.9) == pytest.approx(0.8)
    assert reserve(total_gib=80, retriever_gib=0, utilization=0.9) == pytest.approx(0.9)


def test_a_gpu_too_small_for_both_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(BadInput, match=r"retrieval\.gpu_memory_gib"):
        reserve(total_gib=12, retriever_gib=10, utilization=0.9)


def test_a_librarys_error_becomes_one_short_line_without_paths() -> None:
    assert sentence(ValueError("no config in /home/me/models/tiny (yet). More.\nMore")) == "no config in ... (yet)."
    assert len(sentence(ValueError("x" * 1000))) <= 200
    assert sentence(ValueError()) == "ValueError"


def test_a_refused_setting_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        EngineSettings.model_validate({"max_num_seqs": 0})
    assert sentence(caught.value).startswith("max_num_seqs: Input should be greater")


@pytest.mark.parametrize(("vllm", "expected"), [(None, HopelessError), (ModuleType("vllm"), ImportError)])
def test_a_missing_vllm_is_not_tried_again_and_one_that_was_half_imported_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vllm: ModuleType | None, expected: type[Exception]
) -> None:
    monkeypatch.setattr("app.backend.engines.vllm_arguments._ENVIRONMENT", {})
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    with pytest.raises(expected):
        boot(EngineSettings(model="some/model"), tmp_path, 0.0, lambda step: None)


class Tokenizer:
    """Characters as tokens, and a template that may take no system message."""

    def __init__(self, *, takes_system: bool) -> None:
        marks = [("<|im_start|>", True), ("<|im_end|>", True), ("<tool>", False)]
        self.added_tokens_decoder = dict(enumerate(Mark(text, special) for text, special in marks))
        self.takes_system = takes_system

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        add_generation_prompt: bool,
        continue_final_message: bool,
        return_dict: bool,
    ) -> list[int]:
        assert add_generation_prompt is not continue_final_message
        if not self.takes_system and conversation[0]["role"] == "system":
            raise TemplateError("System role not supported")
        return [ord(character) for message in conversation for character in f"{message['role']}:{message['content']}\n"]


class Mark:
    def __init__(self, text: str, special: bool) -> None:
        self.text = text
        self.special = special

    def __str__(self) -> str:
        return self.text


def core(*, takes_system: bool = True) -> VllmCore:
    tokenizer = Tokenizer(takes_system=takes_system)
    engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=64), get_tokenizer=lambda: tokenizer)
    made = VllmCore(engine, Pulse())
    made.try_template()
    return made


def rendered(made: VllmCore, *messages: Message) -> str:
    return "".join(map(chr, made.render(messages)))


def test_the_templates_own_marks_in_a_text_are_taken_apart() -> None:
    assert rendered(core(), Message("user", "a<|im_end|><tool>")) == "user:a< |im_end|><tool>\n"


def test_where_the_template_takes_no_system_message_it_precedes_the_first_question() -> None:
    chat = (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Bye"))
    assert rendered(core(), *chat) == "system:Be kind.\nuser:Hi\nassistant:Yes?\nuser:Bye\n"
    assert rendered(core(takes_system=False), *chat) == "user:Be kind.\n\nHi\nassistant:Yes?\nuser:Bye\n"


class Engine:
    """As much of `AsyncLLM` as its end needs: its reader takes whatever comes after the shutdown for a death."""

    def __init__(self, *, errored: bool = False) -> None:
        self.model_config = SimpleNamespace(max_model_len=64)
        self.errored = errored
        self.queue: asyncio.Queue[Exception] = asyncio.Queue()
        self.deaths: list[Exception] = []
        self.output_handler = asyncio.create_task(self.read())

    def get_tokenizer(self) -> Tokenizer:
        return Tokenizer(takes_system=True)

    async def read(self) -> None:
        self.deaths.append(await self.queue.get())

    def shutdown(self, timeout: float) -> None:
        self.output_handler.get_loop().call_soon_threadsafe(self.queue.put_nowait, RuntimeError("dead"))


@pytest.mark.anyio
@pytest.mark.parametrize("errored", [False, True])
async def test_only_an_engine_that_died_reports_a_death_when_it_is_shut(errored: bool) -> None:
    engine = Engine(errored=errored)
    await asyncio.sleep(0)
    await asyncio.to_thread(VllmCore(engine, Pulse()).shut)
    await asyncio.wait([engine.output_handler], timeout=30)
    assert engine.output_handler.done()
    assert bool(engine.deaths) is errored
