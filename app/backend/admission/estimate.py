"""How long answers take, learned from those that ended and those that run.

A slot's time is its prefill (everything before the first token) and its tokens at the pace of now. Lengths are those
of the last answers of the pipeline that got as far, each question taking another one of them: of many that run, one
will end soon, which no average knows.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from app.backend.types import Usage

REMEMBERED = 64
ENOUGH = 4
"""So many answers must have ended before anybody is refused on the strength of an estimate."""
PACE_S, USUAL = 15.0, 2.0
"""The pace of now is that of so many seconds, and of so many tokens at the usual pace."""
WORTH_COMPARING_S, MOST_LATER = 0.5, 3.0


@dataclass(frozen=True, slots=True)
class Past:
    """An answer that ended: uncached tokens of its prompts, tokens written, seconds before and from its first token."""

    prompt: float
    output: float
    prefill_s: float
    decode_s: float


GUESS = Past(400, 128, 1.0, 128 / 40)


class Estimator:
    """One per admission. Everything it says is a guess until `known`."""

    def __init__(self) -> None:
        self._all: deque[Past] = deque(maxlen=REMEMBERED)
        self._of: dict[str, deque[Past]] = {}
        self.later = 1.0
        self._ratios: deque[float] = deque(maxlen=REMEMBERED)
        self._mean: dict[str, Past] = {}
        self._lengths: dict[str, list[float]] = {}
        self._written: Mapping[int, int] = {}
        self._looked_at = 0.0
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def known(self) -> bool:
        return len(self._all) >= ENOUGH

    @property
    def prefill_s(self) -> float:
        """Seconds for an uncached token of a prompt, with all that happens before the first token; 0.0 unknown."""
        mean = self.expected("")
        return mean.prefill_s / mean.prompt if self._all and mean.prompt else 0.0

    @property
    def decode_s(self) -> float:
        """Seconds for a token of one answer at the pace of now, which silence slows; 0.0 unknown."""
        if not self._all:
            return self._seconds / self._tokens if self._tokens >= 1 else 0.0
        mean = self.expected("")
        return (self._seconds + USUAL * mean.decode_s / mean.output) / (self._tokens + USUAL)

    def learn(self, pipeline: str, usage: Usage, timings_ms: Mapping[str, float]) -> None:
        """An answer has ended. One without a token says nothing about the next."""
        if not usage.completion_tokens:
            return
        decode = timings_ms.get("decode", 0.0) + timings_ms.get("cite", 0.0)
        prefill = timings_ms.get("total", 0.0) - timings_ms.get("queue", 0.0) - decode
        uncached = usage.prompt_tokens - usage.cached_tokens
        past = Past(uncached, usage.completion_tokens, max(0.0, prefill) / 1000, decode / 1000)
        self._all.append(past)
        self._of.setdefault(pipeline, deque(maxlen=REMEMBERED)).append(past)
        self._mean, self._lengths = {}, {}

    def waited(self, foretold_s: float, waited_s: float) -> None:
        """Somebody's turn has come. Who comes later and has had less goes first; so most waits are longer.

        `later` is what they are multiplied with, the middle of what the last ones turned out to be.
        """
        if foretold_s >= WORTH_COMPARING_S:
            self._ratios.append(waited_s / foretold_s)
            if len(self._ratios) >= ENOUGH:
                self.later = min(max(median(self._ratios), 1.0), MOST_LATER)

    def watch(self, now: float, written: Mapping[int, int]) -> None:
        """Look at what runs: tokens `written` so far, by number. Answers that write show the pace of now."""
        passed = now - self._looked_at
        writing = [n for n, tokens in written.items() if self._written.get(n) and tokens]
        if writing and passed > 0:
            fade = math.exp(-passed / PACE_S)
            # An estimate that the engine's own count replaces may fall.
            self._tokens = fade * self._tokens + sum(max(0, written[n] - self._written[n]) for n in writing)
            self._seconds = fade * self._seconds + passed * len(writing)
        self._written, self._looked_at = written, now

    def expected(self, pipeline: str) -> Past:
        """What an answer of the pipeline comes to, on average; of all pipelines while it has none."""
        if pipeline not in self._mean:
            pasts = self._pasts(pipeline)
            self._mean[pipeline] = Past(
                fmean(p.prompt for p in pasts),
                fmean(p.output for p in pasts),
                fmean(p.prefill_s for p in pasts),
                fmean(p.decode_s for p in pasts),
            )
        return self._mean[pipeline]

    def lasts(self, pipeline: str, share: float) -> float:
        """Seconds a slot is held, as by the last answer of whom `share` (0 to 1) were shorter."""
        past = self.expected(pipeline)
        return past.prefill_s + self._pick(pipeline, 0, share) * self._pace(past)

    def left(self, pipeline: str, share: float, ran_s: float, written: int) -> float:
        """Seconds a slot is still held after `ran_s` seconds and `written` tokens."""
        past = self.expected(pipeline)
        prefill_s = 0.0 if written else max(0.0, past.prefill_s - ran_s)
        return prefill_s + self._pick(pipeline, written, share) * self._pace(past)

    def _pace(self, past: Past) -> float:
        return self.decode_s or past.decode_s / past.output

    def _pick(self, pipeline: str, written: int, share: float) -> float:
        """Tokens still to come, as of those who wrote more than `written` the one at `share`."""
        if pipeline not in self._lengths:
            self._lengths[pipeline] = sorted(past.output for past in self._pasts(pipeline))
        lengths = self._lengths[pipeline]
        first = bisect.bisect(lengths, written)
        longer = len(lengths) - first
        return lengths[first + int(share * longer)] - written if longer else 1.0

    def _pasts(self, pipeline: str) -> deque[Past]:
        return self._of.get(pipeline) or self._all or deque((GUESS,))
