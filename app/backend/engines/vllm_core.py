"""One life of vLLM's `AsyncLLM`: start, prompts, answers, death.

Invariant: vLLM, torch and transformers are imported by `boot` only, in whatever thread calls it; no model's own code
is trusted.
"""

from __future__ import annotations

import atexit
import gc
import logging
import multiprocessing
import os
import re
import sys
import warnings
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from app.backend.engines.models import resolve_model
from app.backend.engines.supervisor import HopelessError, Report
from app.backend.errors import BadInput, Unavailable
from app.backend.imports import one_at_a_time
from app.backend.types import Delta, Message, Prompt, Sampling, Scored, Usage
from app.machine import memory_gib
from app.settings import EngineSettings

if TYPE_CHECKING:
    from vllm import AsyncEngineArgs
    from vllm.logprobs import Logprob
    from vllm.v1.engine.async_llm import AsyncLLM

log = logging.getLogger(__name__)

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # For the engine's processes: what torch deprecates and how it binds memory needs nobody's attention, nor does the
    # shared memory of a core that was told to end. Errors still show.
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore:resource_tracker:UserWarning",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
_GIB = 2**30
_CPU_BLOCK = 32
"""Tokens of a cache block on a CPU. vLLM's own 128 makes shared prefixes shorter than that never hit."""
_PATH = re.compile(r"(?:/[\w.+@-]+){2,}/?")


class VllmCore:
    """A running engine. Made by `boot`, used on the event loop that called `attach`."""

    def __init__(self, engine: AsyncLLM) -> None:
        self.engine = engine
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
            async with aclosing(request) as outputs:
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
        return bool(self.engine.errored)

    def shut(self) -> None:
        """Blocks for a second or two. A living engine's reader ends first, or it logs this end as the core's death."""
        reader = self.engine.output_handler
        if reader is not None and not self.dead():
            reader.get_loop().call_soon_threadsafe(reader.cancel)
        self.engine.shutdown(timeout=1)


def boot(settings: EngineSettings, models: Path, retriever_gib: float, report: Report) -> VllmCore:
    """Start an engine; blocks for a minute. Raises HopelessError with one sentence for what another try cannot mend."""
    try:
        report("Preparing the model.")
        model = resolve_model(settings.model, models, report)
        report("Loading vLLM.")
        with one_at_a_time, _without_collections():
            arguments = _arguments(settings, str(model), retriever_gib)
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
    core = VllmCore(AsyncLLM.from_vllm_config(config))
    try:
        core.try_template()
    except Exception as error:
        core.shut()
        raise HopelessError("The model has no usable chat template; use an instruct model.") from error
    return core


def _fall_silent() -> None:
    """Nothing more on stderr, now that the process ends: triton's bindings would report forty lines of leaks there."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


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


def _arguments(settings: EngineSettings, model: str, retriever_gib: float) -> AsyncEngineArgs:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")
    logging.getLogger("vllm").setLevel(logging.ERROR)  # what it says before it has read its own settings
    from vllm import AsyncEngineArgs
    from vllm.platforms import current_platform

    atexit.register(_fall_silent)

    arguments = AsyncEngineArgs(
        model=model,
        dtype=settings.dtype,
        quantization=settings.quantization,
        kv_cache_dtype=settings.kv_cache_dtype,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        block_size=settings.block_size,
        tensor_parallel_size=settings.tensor_parallel_size,
        enforce_eager=settings.enforce_eager,
        trust_remote_code=False,
        use_tqdm_on_load=False,
    )
    if current_platform.is_cpu():
        arguments.block_size = settings.block_size or _CPU_BLOCK
        arguments.kv_cache_memory_bytes = int((settings.kv_cache_gib or _modest_gib()) * _GIB)
    else:
        total_gib = current_platform.get_device_total_memory() / _GIB
        arguments.gpu_memory_utilization = reserve(total_gib, retriever_gib, settings.gpu_memory_utilization)
    return arguments


def reserve(total_gib: float, retriever_gib: float, utilization: float) -> float:
    """The fraction of a GPU that vLLM may take when `utilization` of it is shared with the retriever."""
    left = utilization - retriever_gib / total_gib
    if left < 0.1:
        raise BadInput(
            f"The retriever's {retriever_gib:g} GiB leave too little of the GPU's {total_gib:.0f} GiB to the engine;"
            " lower retrieval.gpu_memory_gib."
        )
    return left


def _modest_gib() -> float:
    """Room for the cache on a CPU when none is set: vLLM itself would claim nearly all memory."""
    return min(4.0, memory_gib() / 8)


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
