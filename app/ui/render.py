"""Turns what the backend knows into the page's HTML, through templates that escape whatever they are given.

Invariant: a finished answer looks the same whether it was folded from its events or read from the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2s
from pathlib import Path
from typing import ParamSpec, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.backend.events import Queued
from app.backend.records import LIVE, Conversation, ConversationSummary, Generation, Turn
from app.backend.types import Health, ParamValue, PipelineInfo
from app.ui import i18n, markup, tuning
from app.ui.cards import cards
from app.ui.columns import figures
from app.ui.i18n import Lang
from app.ui.timeline import Timeline, timeline
from app.ui.trace import Stage
from app.ui.view import ViewState, of_generation

MAX_PASSAGES = 100
LONG_CHARS = 20_000
MAX_DOTS = 9
FEW_CALLS = 2
PLAIN_STAGES = {"", "queue", "generate", "first_token", "decode", "cite", "ttft", "total"}
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Origin:
    """What an answer was made with, for its caption. The model was given the first `read` passages at most; `changed`
    are the settings that are not the defaults. `column`: it stands beside others; `hidden`: nothing may tell what made
    it, because a vote is still to come."""

    generation_id: str
    pipeline: str
    title: str
    corpus: str
    model: str
    uses_retrieval: bool
    read: int = MAX_PASSAGES
    changed: tuple[tuple[str, ParamValue], ...] = ()
    column: bool = False
    hidden: bool = False
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the queue as it is shown: `dots` of those `ahead` are drawn."""

    ahead: int
    dots: int
    line: str
    eta_s: float


class Renderer:
    """Draws the answers of `pipelines`, and of those that are gone."""

    def __init__(self, pipelines: Iterable[PipelineInfo]) -> None:
        self.pipelines = {info.name: info for info in pipelines}
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["clean"] = markup.clean
        self._environment.filters["number"] = i18n.number

    def page(self, name: str, lang: Lang, **values: object) -> str:
        """The template `name`, with `t` to translate and `ms` to write a duration."""
        return self._environment.get_template(f"{name}.html").render(
            t=lambda key, **kw: i18n.text(lang, key, **kw),
            known=lambda key, fallback: i18n.known(lang, key, fallback),
            ms=lambda value: i18n.duration(lang, value),
            notice=lambda item: i18n.notice(lang, item.part, item.reason),
            load=lambda items: i18n.load(lang, items),
            shown=lambda value: markup.clean(tuning.shown(value, lang)),
            lang=lang,
            **values,
        )

    def origin(self, generation: Generation) -> Origin:
        info = self.pipelines.get(generation.pipeline)
        title = info.title if info else generation.pipeline
        uses_retrieval = info.uses_retrieval if info else bool(generation.corpus)
        corpus = generation.corpus if uses_retrieval else ""
        read = int(generation.params.get("context_topk", MAX_PASSAGES))
        changed = tuple(tuning.changed(info, generation.params).items()) if info else ()
        return Origin(
            generation.id,
            generation.pipeline,
            title,
            corpus,
            generation.model,
            uses_retrieval,
            read,
            changed,
            hidden=not generation.pipeline,
            engine=generation.engine,
        )

    def answer(self, state: ViewState, origin: Origin, lang: Lang, body: Markup | None = None) -> str:
        """All of an answer that changes while it is written; with `body` in the place of its text."""
        names = ("trace", "notices", "body", "status", "foot", "sources")
        return "".join(self.region(name, state, origin, lang, body) for name in names)

    def region(self, name: str, state: ViewState, origin: Origin, lang: Lang, body: Markup | None = None) -> str:
        """One region of an answer."""
        values: dict[str, object] = {"state": state, "origin": replace(origin, read=read(state, origin))}
        match name:
            case "status" if state.queued:
                return self.page("answer_queue", lang, spot=spot(state.queued, lang), origin=origin)
            case "status":
                values["line"] = status_line(state, lang)
                writing = state.phase == "running" and (state.step is None or state.step.name == "generate")
                values["quiet"] = bool(state.text) and (writing or (state.phase == "done" and not state.ending))
            case "trace" | "summary":
                values["told"] = summary(state, lang)
                values["steps"] = "" if state.finished else self.steps(state, lang)
            case "body":
                values["html"] = (
                    markup.answer(state.text, state.passages[: read(state, origin)], state.citations, lang)
                    if body is None
                    else body
                )
            case "foot" if origin.column:
                return self.page("column_foot", lang, figures=figures(state), timeline=_bars(state), **values)
            case "foot":
                values["timeline"] = _bars(state)
                values["found"] = found(state, origin, lang)
            case "sources":
                values["found"] = found(state, origin, lang)
                values["cards"] = cards(state)
                values["aligned"] = any(c.by == "alignment" for c in state.citations)
        return self.page(f"answer_{name}", lang, **values)

    def steps(self, state: ViewState, lang: Lang) -> Markup:
        """The trace of an answer that was folded from its log, step by step."""
        return Markup("").join(self.step(state, stage, lang) for stage in state.trace)

    def step(self, state: ViewState, stage: Stage, lang: Lang) -> Markup:
        """One step of the trace."""
        label = i18n.step(lang, stage.name)
        detail = i18n.known(lang, f"step.{stage.detail}", stage.detail)
        return Markup(self.page("answer_step", lang, state=state, stage=stage, label=label, detail=detail))

    def thread(self, conversation: Conversation, lang: Lang) -> str:
        """The branch that is shown. Every turn carries a digest, so that the browser replaces only what changed."""
        path = conversation.path()
        return "".join(self._turn(conversation, turn, lang, last=turn is path[-1]) for turn in path)

    def _turn(self, conversation: Conversation, turn: Turn, lang: Lang, *, last: bool) -> str:
        chosen = turn.chosen
        state, origin = of_generation(chosen), self.origin(chosen)
        live = chosen.status in LIVE
        branches = [t.id for t in conversation.siblings(turn)]
        answers = [g.id for g in turn.generations]
        html = self.page(
            "turn",
            lang,
            turn=turn,
            chosen=chosen,
            live=live,
            last=last,
            answer=Markup(self.answer(ViewState() if live else state, origin, lang)),
            branches=branches,
            branch=branches.index(turn.id),
            answers=answers,
            alternative=answers.index(chosen.id),
        )
        return html.replace("data-v=", f'data-v="{blake2s(html.encode(), digest_size=8).hexdigest()}"', 1)

    def history(self, found: Sequence[ConversationSummary], q: str, current: str, lang: Lang) -> str:
        """The list of conversations, grouped, or the results of a search."""
        if q:
            groups = [("nav.results", list(found))]
        else:
            midnight = _midnight(time.time())
            pinned = [c for c in found if c.pinned]
            today = [c for c in found if not c.pinned and c.updated_at >= midnight]
            earlier = [c for c in found if not c.pinned and c.updated_at < midnight]
            groups = [("nav.pinned", pinned), ("nav.today", today), ("nav.earlier", earlier)]
        shown = [(key, lines) for key, lines in groups if lines]
        return self.page("history", lang, groups=shown, q=q, current=current, snippet=markup.snippet)

    def engine(self, engine: Health, retriever: Health, model: str, lang: Lang) -> dict[str, str]:
        """The engine chip: `state` for its colour, `text` in one line."""
        name = markup.clean(model) or i18n.text(lang, "engine.unknown")
        if engine.state != "ready":
            line = i18n.text(lang, f"engine.{engine.state}", model=name)
            if engine.state == "starting" and engine.expected_s:
                usual = i18n.about(lang, engine.expected_s)
                line = i18n.text(lang, "engine.starting_s", model=name, s=usual)
            elif engine.state == "down" and (why := i18n.said(lang, engine.detail)):
                line = i18n.text(lang, "engine.down_why", why=why)
            hint = {"hint": i18n.text(lang, "engine.down_hint")} if engine.state == "down" else {}
            return {"state": engine.state, "text": line, **hint}
        if retriever.state == "starting":
            return {"state": "starting", "text": i18n.text(lang, "engine.search_starting")}
        if retriever.state != "ready":
            return {"state": "down", "text": i18n.text(lang, "engine.search_down")}
        return {"state": "ready", "text": i18n.text(lang, "engine.ready", model=name)}


async def drawn(chars: int, draw: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """What `draw` makes of `chars` characters; many are drawn in a thread, so that nobody else waits for them."""
    return await asyncio.to_thread(draw, *args, **kwargs) if chars > LONG_CHARS else draw(*args, **kwargs)


def summary(state: ViewState, lang: Lang) -> str:
    """How the answer came about, in one line: "search" where that is the only thing to tell, else counts and time.

    It is empty for an answer that was simply written.
    """
    if state.searches == 1 and state.usage.engine_calls <= FEW_CALLS:
        return "search"
    stages = {stage.name for stage in state.trace} | state.timings_ms.keys()
    if not state.searches and not stages - PLAIN_STAGES:
        return ""
    ended = state.phase in ("done", "stopped")
    counts = (("searches", state.searches), ("calls", state.usage.engine_calls if ended else 0))
    parts = [i18n.text(lang, f"trace.{what}", n=n) for what, n in counts if n]
    if ended:
        parts.append(i18n.duration(lang, state.timings_ms.get("total", 0.0)))
    return i18n.text(lang, "degraded.and").join(parts) or i18n.text(lang, "trace.title")


def status_line(state: ViewState, lang: Lang) -> str:
    """What happens right now, in one line."""
    if state.phase == "waiting":
        return i18n.text(lang, "status.waiting")
    if state.phase == "running":
        step = state.step.name if state.step else "generate" if state.text else "running"
        if step == "generate" and (state.text or not state.passages):
            return i18n.text(lang, "status.writing" if state.text else "status.generate_direct")
        return i18n.known(lang, f"status.{step}", i18n.step(lang, step))
    if state.phase == "stopped" and not state.text:
        return i18n.text(lang, "status.stopped_early")
    if state.phase == "failed":
        return i18n.error(lang, state.error_code, state.error_message)
    if state.phase == "done" and state.ending:
        return i18n.notice(lang, state.ending.part, state.ending.reason)
    return i18n.text(lang, f"status.{state.phase}")


def spot(queued: Queued, lang: Lang) -> Spot:
    """The place in the queue, from its code; the backend's own phrase where the code is not known here."""
    ahead, code = max(0, queued.position - 1), queued.code
    if code == "own_running" and queued.own:  # then others have nothing to do with it
        ahead, code = queued.own - 1, code if queued.own == 1 else "own_waiting"
    if code == "ahead" and not ahead:
        code = "next"
    values = {"n": queued.n or ahead, "position": queued.position, "own": queued.own}
    key = f"queue.{code}"
    line = i18n.text(lang, key, **values) if key in i18n.STRINGS[lang] else queued.reason
    return Spot(ahead, min(ahead, MAX_DOTS), line, queued.eta_s)


def read(state: ViewState, origin: Origin) -> int:
    """How many passages the model was given at most: fewer than planned when the server was busy, and any of them when
    it searched again. What the model cites it has read.
    """
    if state.searches > 1:
        return MAX_PASSAGES
    planned = min([origin.read, *(item.n for item in state.degraded if item.code == "load_passages")])
    return max([planned, *(citation.n for citation in state.citations if citation.by == "model")])


def found(state: ViewState, origin: Origin, lang: Lang) -> str:
    """How many sources there are, and how many of them the model was given where that is not all."""
    n, given = len(state.passages), read(state, origin)
    return i18n.text(lang, "turn.sources_read" if given < n else "turn.sources", n=n, read=given)


def _bars(state: ViewState) -> Timeline | None:
    ended = state.phase == "done" or (state.phase == "stopped" and bool(state.text))
    return timeline(state.timings_ms, state.usage) if ended else None


def _midnight(now: float) -> float:
    local = time.localtime(now)
    return now - (local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec)
