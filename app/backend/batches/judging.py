"""The engine as judge of a batch: every pair of whole answers to a question, in the lane of experiments.

Invariant: who is judged for pays for it like for a question: with a place in the queue, a slot and the tokens. What was
broken off leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from app.backend.admission import Admission
from app.backend.answers import BYTES_A_TOKEN
from app.backend.batches.records import Batch, Judged
from app.backend.experiments.duel import PROMPT, duel
from app.backend.metering import MeteredEngine
from app.backend.pipelines.steps import together
from app.backend.protocols import Engine
from app.backend.records import Generation
from app.backend.salts import Salts
from app.backend.storage import batches, judgements
from app.backend.storage.database import Database
from app.backend.storage.judgements import Pairs

JUDGE = "judge"
"""What it is called where lengths are guessed and load is shown."""


class Judging:
    """One per backend. `contenders_of` names answers that stand side by side, as the ratings do."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        admission: Admission,
        salt_of: Salts,
        contenders_of: Callable[[Sequence[Generation]], Sequence[str]],
        *,
        stall_s: float,
    ) -> None:
        self._database = database
        self._engine = engine
        self._admission = admission
        self._salt_of = salt_of
        self._contenders_of = contenders_of
        self._stall_s = stall_s

    async def judge(self, owner: str, batch: Batch, position: int, pairs: Pairs) -> None:
        """Have these pairs of sides judged, and store it. Raises NotFound, Refused, Busy, Unavailable."""
        asked, made = await self._database.read(lambda db: batches.answers(db, owner, batch.id, position))
        engine = MeteredEngine(self._engine, self._salt_of(owner), stall_s=self._stall_s)
        read = sum(len(answer.answer.encode(errors="replace")) for answer in made.values()) + len(PROMPT)
        visit = self._admission.enter(
            owner, lane="experiment", pipeline=JUDGE, prompt_tokens=read // BYTES_A_TOKEN, address=batch.network
        )
        name = f"{JUDGE}-{batch.id}-{position}"
        visit.name(name, lambda: engine.usage)
        async with visit.slot(lambda place: None):
            began = time.monotonic()
            outcomes = await together(
                *(
                    duel(
                        engine,
                        asked.question,
                        asked.golden_answers,
                        made[left].answer,
                        made[right].answer,
                        request_id=f"{name}-{left}{right}",
                    )
                    for left, right in pairs
                )
            )
            took_ms = (time.monotonic() - began) * 1000
        self._admission.learn(JUDGE, engine.usage, {"total": took_ms})
        judged = [Judged(left, right, outcome) for (left, right), outcome in zip(pairs, outcomes, strict=True)]
        names = dict(zip(made, self._contenders_of(list(made.values())), strict=True))
        model = self._engine.model
        await self._database.write(
            lambda db: judgements.add(db, batch.id, position, asked.question, made, names, judged, model)
        )
