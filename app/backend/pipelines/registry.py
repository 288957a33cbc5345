"""The table of pipelines, and the door to it: names and parameters are checked here, once.

Invariant: what `validate` returned can be run; everything else it refuses with a BadInput that says what is allowed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from app.backend.errors import BadInput
from app.backend.events import Event
from app.backend.pipelines import (
    adaptive,
    agentic,
    autorefine,
    corag,
    crag,
    decompose,
    direct,
    flare,
    hyde,
    ircot,
    iterretgen,
    llmlingua,
    multi_query,
    naive,
    o2_searcher,
    own,
    r1_searcher,
    rearag,
    recomp_abstractive,
    recomp_extractive,
    replug,
    rerank,
    rqrag,
    search_r1,
    selective_context,
    selfask,
    selfrag,
    simpledeepsearcher,
    skr,
    spring,
    step_back,
    sure,
    trace,
)
from app.backend.pipelines.params import Entry, checked
from app.backend.pipelines.rewriting import standing_alone
from app.backend.protocols import Tools
from app.backend.types import Params, PipelineInfo, Query

if TYPE_CHECKING:
    from app.settings import Settings

PIPELINES: Mapping[str, Entry] = {
    "direct": direct.ENTRY,
    "naive": naive.ENTRY,
    "multi-query": multi_query.ENTRY,
    "hyde": hyde.ENTRY,
    "step-back": step_back.ENTRY,
    "decompose": decompose.ENTRY,
    "rerank": rerank.ENTRY,
    "recomp-extractive": recomp_extractive.ENTRY,
    "recomp-abstractive": recomp_abstractive.ENTRY,
    "selective-context": selective_context.ENTRY,
    "llmlingua": llmlingua.ENTRY,
    "trace": trace.ENTRY,
    "spring": spring.ENTRY,
    "replug": replug.ENTRY,
    "sure": sure.ENTRY,
    "skr": skr.ENTRY,
    "adaptive": adaptive.ENTRY,
    "crag": crag.ENTRY,
    "agentic": agentic.ENTRY,
    "iterretgen": iterretgen.ENTRY,
    "flare": flare.ENTRY,
    "ircot": ircot.ENTRY,
    "selfask": selfask.ENTRY,
    "selfrag": selfrag.ENTRY,
    "rqrag": rqrag.ENTRY,
    "search-r1": search_r1.ENTRY,
    "autorefine": autorefine.ENTRY,
    "r1-searcher": r1_searcher.ENTRY,
    "simpledeepsearcher": simpledeepsearcher.ENTRY,
    "o2-searcher": o2_searcher.ENTRY,
    "corag": corag.ENTRY,
    "rearag": rearag.ENTRY,
}
VARIED_TEMPERATURE = 0.7


class Registry:
    """The pipelines of `entries`. `defaults` replace the defaults of every pipeline that has the parameter."""

    def __init__(self, entries: Mapping[str, Entry], defaults: Params) -> None:
        self._entries = dict(entries)
        self._infos = {name: entry.info(name, defaults) for name, entry in entries.items()}
        for name in entries:
            self.validate(name, {})

    def infos(self) -> tuple[PipelineInfo, ...]:
        return tuple(self._infos.values())

    def info(self, name: str) -> PipelineInfo:
        """Raises BadInput for an unknown name."""
        if name not in self._infos:
            close = get_close_matches(name, self._infos, n=3) or list(self._infos)[:4]
            raise BadInput(f"There is no pipeline {name[:80]!r}; among the {len(self._infos)} are {', '.join(close)}.")
        return self._infos[name]

    def validate(self, name: str, params: Params) -> Params:
        """A value for every parameter: the given ones, else the defaults. Raises BadInput."""
        return checked(self.info(name), self._entries[name].params, params)

    def varied(self, name: str, params: Params) -> Params:
        """The parameters of another try at the same question: drawn with temperature, or nothing would change."""
        known = {param.name for param in self.info(name).params}
        again = {key: value for key, value in params.items() if key in known}
        return self.validate(name, again | {"temperature": max(VARIED_TEMPERATURE, float(again.get("temperature", 0)))})

    def run(self, name: str, query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
        """The events of a query whose parameters have been validated; a follow-up question stands alone first."""
        self.info(name)
        entry = self._entries[name]
        run = standing_alone(entry.run) if entry.uses_retrieval and entry.standalone else entry.run
        return run(query, tools)


def create_registry(settings: Settings) -> Registry:
    """All pipelines and the user's own, with the defaults that the settings give."""
    judger_data = settings.retrieval.judger_data
    informed = {"skr": skr.informed(judger_data)} if judger_data else {}
    return Registry(
        {**PIPELINES, **informed, **own.load(settings.pipelines, PIPELINES)},
        {
            "max_tokens": settings.generation.max_tokens,
            "temperature": settings.generation.temperature,
            "top_p": settings.generation.top_p,
            "frequency_penalty": settings.generation.frequency_penalty,
            "retrieval_topk": settings.retrieval.top_k,
            "context_topk": settings.retrieval.context_k,
            "retriever": settings.retrieval.retriever,
        },
    )
