"""Reports of batches, made once for all who look.

Invariant: one report is computed at a time, in a thread of its own; the same one is never computed twice at once.
"""

from __future__ import annotations

import asyncio

from app.backend.aside import Aside
from app.backend.batches.records import Batch
from app.backend.experiments.report import Report, check_metric, report
from app.backend.storage import batches as store
from app.backend.storage.database import Database

KEPT = 8
"""So many reports stay in memory; those that are being made are kept besides."""
_Key = tuple[str, str, str]


class BatchReports:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._aside = Aside[Report]("batch report")
        self._made: dict[_Key, asyncio.Task[Report]] = {}

    async def get(self, owner: str, batch: Batch, metric: str) -> Report:
        """All answers so far, with what they say by this metric. Raises NotFound, BadInput."""
        check_metric(metric)
        key = batch.id, await self._database.read(lambda db: store.version(db, owner, batch.id)), metric
        task = self._made.pop(key, None)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._make(owner, batch, metric), name="batch report")
        self._made[key] = task
        self._forget_oldest()
        return await asyncio.shield(task)

    def forget(self, batch_id: str) -> None:
        """Of a batch that is deleted nothing is kept."""
        self._made = {key: task for key, task in self._made.items() if key[0] != batch_id}

    async def _make(self, owner: str, batch: Batch, metric: str) -> Report:
        rows = await self._database.read(lambda db: store.item_rows(db, owner, batch.id))
        return await self._aside.run(lambda: report(rows, len(batch.sides), metric))

    def _forget_oldest(self) -> None:
        ended = [key for key, task in self._made.items() if task.done()]
        for key in ended[:-KEPT]:
            del self._made[key]
