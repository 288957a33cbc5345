"""One life of vLLM's `AsyncLLM`: start, prompts, answers, death.

Invariant: vLLM, torch and transformers are imported by `boot` only, in whatever thread calls it; no model's own code
is trusted.
"""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import re
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from app.backend.engines.models import resolve_model
from app.backend.engines.pulse import Pulse
from app.backend.engines.supervisor import HopelessError, Report
from app.backend.engines.vllm_arguments import create_arguments
from app.backend.errors import BadInput, Unavailable
from app.backend.imports import one_at_a_time
from app.backend.types import Delta, Message, Prompt, Sampling, Scored, Usage
from app.settings import EngineSettings

if TYPE_CHECKING:
    from vllm.logprobs import Logprob
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.metrics.loggers import StatLoggerBase

log = logging.getLogger(__name__)

_PATH = re.compile(r"(?:/[\w.+@-]+){2,}/?")


class VllmCore:
    """A running engine. Made by `boot`, used on the event loop that called `attach`.

    `pulse` beats at each step of the core, also at one that brings no token: part of a long prompt.
    """

    def __init__(self, engine: AsyncLLM, pulse: Pulse) -> None:
        self.engine = engine
        self._pulse = pulse
        self.context_tokens = int(engine.model_config.max_model_len)
        self._tokenizer = engine.get_tokenizer()
        special = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
        self._takes_system = True

    def render(self, prompt: Prompt) -> list[int]:
        """The prompt as token ids. Thread-safe. In a chat, what looks like the template's own marks is taken apart."""
        if isinstance(prompt, str):
            plain: list[int] = self._tokenizer.encode(prompt)
            return plain
        chat = [(message.role, self._special.sub(_apart, message.content)) for message in prompt]
        if not self._takes_system and [role for role, _ in chat[:2]] == ["system", "user"]:
            chat[:2] = [("user", f"{chat[0][1]}\n\n{chat[1][1]}")]
        conversation = [{"role": role, "content": content} for role, content in chat]
        going_on = chat[-1][0] == "assistant"
        ids: list[int] = self._tokenizer.apply_chat_template(
            conversation, add_generation_prompt=not going_on, continue_final_message=going_on, return_dict=False
        )
        return ids

    def try_template(self) -> None:
        """Find out whether the chat template takes system messages; raises what it raises when it takes nothing."""
        from jinja2 import TemplateError

        chat = (Message("system", "Be brief."), Message("user", "Hello"))
        try:
            self.render(chat)
        except TemplateError:
            log.info("the chat template takes no system message; it goes in front of the first question")
            self._takes_system = False
            self.render(chat)

    async def attach(self) -> None:
        """Answer one token, which also makes the engine hear of its core's death while idle."""
        prompt = self.render([Message("user", "Hello")])
        async with aclosing(self.answer(prompt, Sampling(1), "warm-up")) as deltas:
            async for _ in deltas:
                pass

    async def answer(
        self, prompt: list[int], sampling: Sampling, request_id: str, cache_salt: str | None = None
    ) -> AsyncGenerator[Delta, None]:
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError, VLLMServerError
        from vllm.inputs import tokens_input
        from vllm.platforms import current_platform
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            max_tokens=1 if sampling.echo else min(sampling.max_tokens, self.context_tokens - len(prompt)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            stop=list(sampling.stop),
            # On a CPU vLLM 0.32 dies of a seeded prompt that is split between steps: the generator has no offset there.
            seed=None if current_platform.is_cpu() else sampling.seed,
            frequency_penalty=sampling.frequency_penalty,
            logprobs=sampling.logprobs or None,
            prompt_logprobs=0 if sampling.echo else None,
            skip_special_tokens=not sampling.special_tokens,
            output_kind=RequestOutputKind.DELTA,
        )
        tokens = 0
        try:
            request = self.engine.generate(tokens_input(prompt, cache_salt=cache_salt), params, request_id)
            async with aclosing(self._pulse.over(request)) as outputs:
                async for output in outputs:
                    new = output.outputs[0]
                    tokens += len(new.token_ids)
                    usage = Usage(len(prompt), output.num_cached_tokens or 0, tokens, 1)
                    text, scored = new.text, _scored(new.token_ids, new.logprobs)
                    if sampling.echo:  # vLLM cannot but draw a token more
                        text, scored = "", _scored(prompt[1:], (output.prompt_logprobs or [])[1:])
                    if not output.finished:
                        if text or scored:
                            yield Delta(text, usage=usage, tokens=scored)
                        continue
                    if new.finish_reason in ("abort", "error"):
                        raise Unavailable("The engine broke off the answer.")
                    finish: Literal["stop", "length"] = "length" if new.finish_reason == "length" else "stop"
                    stopped_by = new.stop_reason if isinstance(new.stop_reason, str) else None
                    yield Delta(text, finish, usage, scored, stopped_by)
        except VLLMServerError as error:
            raise Unavailable("The engine failed while it answered; try again in a moment.") from error
        except VLLMClientError as error:
            raise BadInput(f"The engine refuses this request: {sentence(error)}") from error

    def dead(self) -> bool:
        """Whether its processes are gone, or hang: they have work and make no step."""
        return bool(self.engine.errored) or self._pulse.lost

    def shut(self) -> None:
        """Blocks for a second or two. A living engine's reader ends first, or it logs this end as the core's death; who
        waits for one that hangs is told.
        """
        reader = self.engine.output_handler
        if reader is not None and not self.engine.errored:
            loop = reader.get_loop()
            if self._pulse.lost:
                log.error("the engine made no step for %g s while it had work; it is ended", self._pulse.most_s)
                loop.call_soon_threadsafe(self.engine.output_processor.propagate_error, self.engine.dead_error)
            loop.call_soon_threadsafe(reader.cancel)
        self.engine.shutdown(timeout=1)


def boot(
    settings: EngineSettings, models: Path, retriever_gib: float, report: Report, *, stall_s: float = math.inf
) -> VllmCore:
    """Start an engine; blocks for a minute. Raises HopelessError with one sentence for what another try cannot mend.

    One that makes no step for `stall_s` while it has work counts as dead.
    """
    try:
        report("Preparing the model.")
        model = resolve_model(settings.model, models, report)
        report("Loading vLLM.")
        with one_at_a_time, _without_collections():
            arguments = create_arguments(settings, str(model), retriever_gib)
            from vllm.v1.engine.async_llm import AsyncLLM

            config = arguments.create_engine_config()
    except ModuleNotFoundError as error:
        log.exception("vLLM cannot be imported")
        raise HopelessError("vLLM is not installed or damaged; run `python launch.py` to install it.") from error
    except BadInput as error:
        log.error("%s", error.message)
        raise HopelessError(_PATH.sub("...", error.message)) from error
    except OSError as error:
        log.error("%s", error)
        raise HopelessError(
            "The model cannot be loaded: is its name right, its folder complete, the network up?"
        ) from error
    except ValueError as error:
        raise HopelessError(f"vLLM refuses the model or its settings: {sentence(error)}") from error
    report("Starting the engine.")
    pulse = Pulse(stall_s)
    core = VllmCore(AsyncLLM.from_vllm_config(config, stat_loggers=[_beats(pulse)]), pulse)
    try:
        core.try_template()
    except Exception as error:
        core.shut()
        raise HopelessError("The model has no usable chat template; use an instruct model.") from error
    return core


def _beats(pulse: Pulse) -> type[StatLoggerBase]:
    from vllm.v1.metrics.loggers import StatLoggerBase

    class Beats(StatLoggerBase):
        """vLLM tells its statistics after each step."""

        def __init__(self, vllm_config: object, engine_index: int = 0) -> None: ...

        def record(self, *statistics: object, **more: object) -> None:
            pulse.beat()

        def log_engine_initialized(self) -> None: ...

    return Beats


@contextmanager
def _without_collections() -> Iterator[None]:
    """No garbage collections while vLLM is imported the first time: over its million objects each would stop the event
    loop for a second or two, then and ever after."""
    if "vllm" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_children() -> None:
    """Kill the engine's processes, so that a start under way fails at once."""
    import psutil

    for core in multiprocessing.active_children():
        if core.name.startswith("EngineCore") and core.pid is not None and psutil.pid_exists(core.pid):
            for process in psutil.Process(core.pid).children(recursive=True):
                process.kill()
            core.kill()


def sentence(error: Exception) -> str:
    """What a library says, for people: its first sentence, short and without paths."""
    said = str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        said = f"{first['loc'][0]}: {first['msg']}" if first["loc"] else first["msg"].removeprefix("Value error, ")
    first_sentence = re.split(r"(?<=[.!?])\s|\n", said.strip() or type(error).__name__)[0]
    return _PATH.sub("...", first_sentence)[:200]


def _scored(ids: Sequence[int], places: Sequence[Mapping[int, Logprob] | None] | None) -> tuple[Scored, ...]:
    """Each drawn token and the likeliest ones at its place; vLLM's mapping also holds the drawn one when it is none."""
    found: list[Scored] = []
    for drawn, place in zip(ids, places or (), strict=False):
        if place is None:
            continue
        ranked = sorted(place.values(), key=lambda token: token.logprob, reverse=True)
        top = tuple((token.decoded_token or "", token.logprob) for token in ranked)
        found.append(Scored(place[drawn].decoded_token or "", place[drawn].logprob, top))
    return tuple(found)


def _apart(mark: re.Match[str]) -> str:
    return f"{mark.group()[0]} {mark.group()[1:]}"
