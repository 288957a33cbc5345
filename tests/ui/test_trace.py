"""The trace of an answer: what each stage did and how long it took, the same while it is written and afterwards."""

from __future__ import annotations

from app.backend.events import Degraded, Done, Event, Recorded, Retrieved, Searched, Started, Step, Thought, Token
from app.backend.types import Passage, PipelineInfo, Usage
from app.ui.i18n import Lang
from app.ui.render import Origin, Renderer, summary
from app.ui.timeline import timeline
from app.ui.trace import MAX_LINES, MAX_STAGES, THOUGHT_CHARS, Said, Search, Stage
from app.ui.turn import TRACE_S, Painter
from app.ui.view import ViewState, fold_all

MOON, BEES, RUST = (Passage(name, name.title(), "Text.", 1.0, "demo") for name in ("moon", "bees", "rust"))
ORIGIN = Origin("g1", "mine", "Mine", "demo", "model", True)
RENDERER = Renderer([PipelineInfo("mine", "Mine", "", "", True, ())])
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def at(*moments: tuple[float, Event]) -> list[Recorded]:
    return [Recorded(n, ms, event) for n, (ms, event) in enumerate(moments, 1)]


TWO_SEARCHES = at(
    (5, Started()),
    (10, Step("think", "1")),
    (60, Thought("Who orb")),
    (110, Thought("its what?")),
    (1000, Step("retrieve")),
    (1000, Searched("the Moon")),
    (1000, Searched("bees")),
    (1040, Retrieved((MOON, BEES), 40)),
    (1041, Retrieved((BEES, RUST), 41, (2, 3))),
    (1050, Step("generate")),
    (1100, Token("The Moon")),
    (1900, Token(" does.")),
    (2000, Done("The Moon does.", (), Usage(90, 0, 9, 5), {"think": 990, "retrieve": 50, "total": 2000})),
)


def test_each_stage_has_its_time_and_what_happened_in_it() -> None:
    think, retrieve, generate = fold_all(TWO_SEARCHES).trace
    assert think == Stage("think", "1", 10, 990, (Said("Who orbits what?"),))
    assert (retrieve.ms, generate.ms) == (50, 950)
    assert retrieve.lines == (Search("the Moon", (1, 2), 40), Search("bees", (2, 3), 41))
    assert generate.lines == ()


def test_the_one_line_counts_searches_calls_and_time_when_it_is_over() -> None:
    assert summary(fold_all(TWO_SEARCHES[:-1]), "en") == "2 searches"
    assert summary(fold_all(TWO_SEARCHES), "en") == "2 searches, 5 calls of the model, 2.0 s"
    assert summary(fold_all(TWO_SEARCHES), "zh") == "2 次检索，调用模型 5 次，2.0 秒"


def test_an_answer_that_was_simply_written_has_no_trace_to_show() -> None:
    log = at((1, Started()), (2, Step("generate")), (3, Token("Yes.")), (9, Done("Yes.", (), Usage(engine_calls=1))))
    for upto in (2, 3, 4):
        assert summary(fold_all(log[:upto]), "en") == ""


def test_a_search_that_failed_found_nothing_and_says_why() -> None:
    log = at((1, Step("retrieve")), (2, Searched("bees")), (9, Degraded("retrieval", "It is down.")))
    [stage] = fold_all(log).trace
    assert stage.lines == (Search("bees", ()), Degraded("retrieval", "It is down."))
    html = RENDERER.steps(fold_all(log), "en")
    assert "nothing found" in html
    assert "It is down." in html


def test_passages_lead_to_their_cards_under_the_numbers_of_the_answer() -> None:
    html = RENDERER.steps(fold_all(TWO_SEARCHES), "en")
    second = html.split("bees</q>")[1].split("</p>")[0]
    assert "2 passages" in second
    assert 'data-n="2"' in second
    assert 'data-n="3" aria-label="Source 3: Rust"' in second


def test_however_much_happens_a_trace_stays_small() -> None:
    log = at((0, Step("think")), *((n, Thought("word " * 10)) for n in range(500)))
    [stage] = fold_all(log).trace
    [said] = stage.lines
    assert isinstance(said, Said)
    assert (len(said.text), said.more) == (THOUGHT_CHARS, 500 * 50 - THOUGHT_CHARS)
    assert "and 21,000 more characters" in RENDERER.steps(fold_all(log), "en")
    endless = at(*((n, event) for n in range(3 * MAX_STAGES) for event in (Step("retrieve"), Searched("x" * 5000))))
    state = fold_all(endless)
    assert len(state.trace) == MAX_STAGES
    assert max(len(stage.lines) for stage in state.trace) == MAX_LINES
    assert state.searches == 3 * MAX_STAGES


def test_nothing_that_models_or_documents_say_becomes_html() -> None:
    odd = Passage("p", HOSTILE, HOSTILE, 1.0, "demo")
    log = at(
        (1, Step(HOSTILE, HOSTILE)),
        (2, Thought(HOSTILE)),
        (3, Searched(HOSTILE)),
        (4, Retrieved((odd,), 1)),
        (5, Degraded("mine", HOSTILE)),
    )
    html = RENDERER.answer(fold_all(log), ORIGIN, "en")
    assert "<img" not in html
    assert "\u202e" not in html


def drawn(patches: list[dict[str, object]]) -> dict[int, str]:
    """The steps that a browser holds after these patches."""
    held: dict[int, str] = {}
    for patch in patches:
        steps = patch.get("steps", {})
        assert isinstance(steps, dict)
        held |= steps
    return held


def test_live_steps_come_one_by_one_and_are_those_of_the_whole_log() -> None:
    for lang in ("en", "zh"):
        painter = Painter(RENDERER, ORIGIN, lang)
        painter.snapshot([])
        patches = [painter.patch([recorded], n * 1.0) for n, recorded in enumerate(TWO_SEARCHES[:-1])]
        state = fold_all(TWO_SEARCHES[:-1])
        assert drawn(patches) == {n: RENDERER.step(state, stage, lang) for n, stage in enumerate(state.trace)}
        assert "steps" not in patches[-1], "a token of the answer changes no step"


def test_a_thought_that_grows_is_sent_again_only_now_and_then() -> None:
    painter = Painter(RENDERER, ORIGIN, "en")
    painter.snapshot(at((0, Step("think"))))
    tick = TRACE_S / 10
    patches = [painter.patch(at((n, Thought("on and on "))), n * tick) for n in range(100)]
    assert sum("steps" in patch for patch in patches) <= 11
    assert "on and on" in drawn([painter.patch([], 100 * tick + TRACE_S)])[0]


def stored(lang: Lang) -> str:
    live = fold_all(TWO_SEARCHES)
    read = ViewState(
        phase="done",
        search_query="bees",
        searches=2,
        passages=live.passages,
        text=live.text,
        usage=live.usage,
        timings_ms=live.timings_ms,
    )
    return RENDERER.answer(read, ORIGIN, lang)


def test_a_finished_answer_is_the_same_with_and_without_its_log() -> None:
    for lang in ("en", "zh"):
        assert RENDERER.answer(fold_all(TWO_SEARCHES), ORIGIN, lang) == stored(lang)
    assert 'data-g="g1"' in stored("en"), "its steps are fetched when they are unfolded"


def test_a_rate_is_said_only_where_the_time_of_writing_is_known() -> None:
    plain = {"rewrite": 500.0, "retrieve": 20.0, "first_token": 80.0, "decode": 500.0, "total": 1100.0}
    told = timeline(plain, Usage(50, 0, 30, 2))
    assert told is not None
    assert told.rate == 30
    judged = timeline(plain | {"judge": 900.0, "mode": 0.1}, Usage(50, 0, 300, 9))
    assert judged is not None
    assert judged.rate is None
    assert [bar.stage for bar in judged.bars] == ["rewrite", "retrieve", "judge", "first_token", "decode"]
