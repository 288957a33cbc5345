"""The raw line: tokens/s and first-token times of prompts given straight to `AsyncLLM`, for ratios against it.

Greedy, fixed output length with the end token ignored, so that every run does the same work. Prompts must differ, or
the prefix cache answers for the engine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


@dataclass(frozen=True, slots=True)
class RawRun:
    """`tokens_per_s` counts generated tokens over the wall time of the whole run; first-token times are in seconds."""

    streams: int
    tokens: int
    wall_s: float
    first_token_s: tuple[float, ...]

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.wall_s

    @property
    def first_token_median_s(self) -> float:
        return statistics.median(self.first_token_s)


async def raw_run(engine: AsyncLLM, prompts: Sequence[Sequence[int]], *, streams: int, max_tokens: int) -> RawRun:
    """Answer all `prompts` (token ids), `streams` of them at a time."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind

    params = SamplingParams(
        max_tokens=max_tokens, temperature=0.0, ignore_eos=True, output_kind=RequestOutputKind.DELTA
    )
    slots = asyncio.Semaphore(streams)
    first_token_s: list[float] = []
    tokens = 0

    async def one(n: int, prompt: Sequence[int]) -> None:
        nonlocal tokens
        async with slots:
            begin = time.perf_counter()
            first = True
            request = engine.generate(tokens_input(list(prompt)), params, f"raw-{n}-{begin}")
            async with aclosing(request) as outputs:
                async for output in outputs:
                    if first:
                        first_token_s.append(time.perf_counter() - begin)
                        first = False
                    tokens += len(output.outputs[0].token_ids)

    begin = time.perf_counter()
    await asyncio.gather(*(one(n, prompt) for n, prompt in enumerate(prompts)))
    return RawRun(streams, tokens, time.perf_counter() - begin, tuple(first_token_s))
