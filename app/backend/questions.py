"""What is asked, checked before anything is stored: the words, the method, the corpus, the parameters, the engine.

Invariant: a `Plan` made here can be run; everything else is refused with one sentence that says how to mend it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from app.backend.engines.lookup import Engines
from app.backend.errors import BadInput, NotFound
from app.backend.pipelines.registry import Registry
from app.backend.protocols import Retriever
from app.backend.records import Generation
from app.backend.storage.generations import Plan
from app.backend.text import is_blank
from app.backend.types import Params
from app.settings import Settings

SEEDS = 2**31


class Questions:
    """One per backend. `check_open` raises while no questions are taken."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        retriever: Retriever,
        engines: Engines,
        check_open: Callable[[], None],
    ) -> None:
        self._settings = settings
        self.settings_json = settings.model_dump_json()
        self._registry = registry
        self._retriever = retriever
        self._engines = engines
        self.check_open = check_open
        self.history_turns = settings.generation.history_turns

    def text(self, text: str) -> str:
        """The question as it is stored. Raises BadInput, Unavailable."""
        self.check_open()
        text = text.strip()
        limit = self._settings.generation.max_question_chars
        if is_blank(text):
            raise BadInput("The question is empty: type one first.")
        if len(text) > limit:
            raise BadInput(f"The question has {len(text):,} characters; shorten it to {limit:,}.")
        return text

    @property
    def model(self) -> str:
        """What answers where no engine is named."""
        return self._engines.main.model

    def plan(self, pipeline: str, corpus: str, params: Params, seed: int | None = None, engine: str = "") -> Plan:
        """How to answer; what is empty takes the server's default, or a new seed. Raises BadInput, NotFound."""
        pipeline = pipeline or self._settings.server.default_pipeline
        corpus = corpus or self._settings.server.default_corpus
        params = self._registry.validate(pipeline, params)
        return self._plan(pipeline, corpus, params, engine, seed)

    def varied(self, old: Generation) -> Plan:
        """Another try at a question that has an answer: drawn with temperature, or nothing would change."""
        self.check_open()
        return self._plan(old.pipeline, old.corpus, self._registry.varied(old.pipeline, old.params), old.engine)

    def _plan(self, pipeline: str, corpus: str, params: Params, engine: str, seed: int | None = None) -> Plan:
        versions = {c.name: c.version for c in self._retriever.corpora()}
        searches = self._registry.info(pipeline).uses_retrieval
        if searches and corpus not in versions:
            raise NotFound(f"There is no corpus {corpus[:80]!r}; the server has {', '.join(versions) or 'none'}.")
        seed = secrets.randbelow(SEEDS) if seed is None else seed
        version = versions[corpus] if searches else ""
        model = self._engines[engine].model
        return Plan(pipeline, corpus, params, model, self.settings_json, version, seed, engine)
