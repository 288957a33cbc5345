"""The fold: however a log is cut, the page shows the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from app.backend.digest import Digest
from app.backend.events import (
    Degraded,
    Done,
    Event,
    Failed,
    Queued,
    Recorded,
    Retrieved,
    Searched,
    Started,
    Step,
    Stopped,
    Thought,
    Token,
)
from app.backend.records import Generation
from app.backend.types import Citation, ParamInfo, Passage, PipelineInfo, Usage
from app.ui.blocks import Blocks
from app.ui.i18n import Lang
from app.ui.render import MAX_DOTS, Origin, Renderer
from app.ui.turn import Painter
from app.ui.view import ViewState, fold, fold_all, of_generation

PASSAGES = (Passage("p1", "Towers", "It is tall.", 2.0, "shelf"), Passage("p2", "Walls", "It is long.", 1.0, "shelf"))
ORIGIN = Origin("g1", "naive", "Naive RAG", "shelf", "model", True)
INFO = PipelineInfo("naive", "Naive RAG", "", "", True, (ParamInfo("retrieval_topk", "int", 5, "Passages."),))
RENDERER = Renderer([INFO])
TIMINGS = {"queue": 1.0, "retrieve": 20.0, "first_token": 80.0, "decode": 900.0, "cite": 3.0, "total": 1004.0}

words = st.text(alphabet="ab* `[]1.\n|-#>。字", max_size=12)


def numbered(*events: Event) -> list[Recorded]:
    """A log of these, a millisecond apart."""
    return [Recorded(n, float(n), event) for n, event in enumerate(events, 1)]


@st.composite
def logs(draw: st.DrawFn) -> list[Recorded]:
    """A whole generation, as the backend would log it."""
    tokens = draw(st.lists(words, max_size=25))
    answer = "".join(tokens)
    head: list[Event] = [Queued(2, 3.0, "1 ahead of you"), Started(), Step("retrieve"), Searched("how tall")]
    head += [Retrieved(PASSAGES, 20.0)] if draw(st.booleans()) else [Degraded("retrieval", "It is down.")]
    citations = (
        (Citation(1, "p1", ((0, 5),), (0, len(answer)), "alignment"),) if isinstance(head[-1], Retrieved) else ()
    )
    usage = Usage(100, 60, len(tokens), 1)
    end = draw(
        st.sampled_from(
            [
                Done(answer, citations, usage, TIMINGS),
                Stopped(answer, "user", usage, TIMINGS, citations),
                Failed("unavailable", "The engine died.", answer, citations=citations),
                Failed("interrupted", "The server stopped.", answer, citations=citations),
            ]
        )
    )
    return numbered(*head, Thought("hm"), Step("generate"), *map(Token, tokens), end)


@settings(deadline=None)
@given(logs(), st.data())
def test_any_split_of_the_events_gives_the_same_final_html(log: list[Recorded], data: st.DataObject) -> None:
    whole = RENDERER.answer(fold_all(log), ORIGIN, "en")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(log) - 1))))
    painter = Painter(RENDERER, ORIGIN, "en")
    parts = [log[a:b] for a, b in pairwise([0, *cuts, len(log)])]
    patches = [painter.snapshot(parts[0]), *(painter.patch(part, 10.0 * n) for n, part in enumerate(parts[1:], 1))]
    assert patches[-1]["html"] == whole
    assert patches[-1]["end"] == fold_all(log).phase


@settings(deadline=None)
@given(logs())
def test_folding_one_by_one_and_at_once_agree(log: list[Recorded]) -> None:
    state = ViewState()
    for recorded in log:
        state = fold(state, recorded)
    assert state == fold_all(log)


@settings(deadline=None)
@given(logs())
def test_a_stored_answer_looks_like_the_live_one(log: list[Recorded]) -> None:
    digest = Digest.of(log)
    assert digest.status is not None
    stored = Generation(
        "g1",
        "t1",
        "naive",
        "shelf",
        {},
        "model",
        digest.status,
        0.0,
        answer=digest.answer,
        search_query=digest.search_query,
        searches=sum(isinstance(recorded.event, Searched) for recorded in log),
        error_code=digest.error_code,
        error_message=digest.error_message,
        passages=digest.passages,
        degraded=digest.degraded,
        citations=digest.citations,
        usage=digest.usage,
        timings_ms=digest.timings_ms,
    )
    for name in ("trace", "notices", "body", "status", "foot", "sources"):
        live = RENDERER.region(name, fold_all(log), ORIGIN, "en")
        assert RENDERER.region(name, of_generation(stored), ORIGIN, "en") == live


@settings(deadline=None)
@given(st.lists(words, max_size=30), st.data())
def test_what_was_sent_as_text_is_the_answer_at_every_moment(tokens: list[str], data: st.DataObject) -> None:
    """A browser that holds closed blocks and the tail holds exactly what was written so far."""
    painter = Painter(RENDERER, ORIGIN, "en")
    painter.snapshot(numbered(Started(), Step("generate")))
    blocks, tail, closed = Blocks(), "", ""
    for n, token in enumerate(tokens):
        patch = painter.patch(numbered(Token(token)), float(n))
        done, _ = blocks.feed(token)
        closed += done
        if "tail" in patch:
            tail = str(patch["tail"]) if "blocks" in patch else tail + str(patch["tail"])
        assert closed + tail == "".join(tokens[: n + 1])


@settings(deadline=None)
@given(st.text(alphabet="ab\n `~#-|", max_size=200), st.data())
def test_blocks_neither_lose_nor_repeat(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    blocks, closed = Blocks(), ""
    for a, b in pairwise([0, *cuts, len(text)]):
        closed += blocks.feed(text[a:b])[0]
        assert closed + blocks.tail == text[:b]


def test_a_fence_stays_open_over_blank_lines() -> None:
    blocks = Blocks()
    assert blocks.feed("```python\na = 1\n\nb = 2\n")[0] == ""
    assert blocks.kind == "code"
    assert blocks.feed("```\nafter")[0].endswith("```\n")
    assert blocks.kind == "text"


def test_sentences_are_said_once() -> None:
    painter = Painter(RENDERER, ORIGIN, "en")
    painter.snapshot(numbered(Started(), Token("Not again. ")))
    said = [
        painter.patch(numbered(Token(text)), float(n)).get("say")
        for n, text in enumerate(["One sentence", ". And", " two。三", "个。"])
    ]
    assert said == [None, "One sentence.", "And two。", "三个。"]
    assert (
        painter.patch(numbered(Token("Rest"), Done("Not again. One sentence. And two。三个。Rest")), 9.0)["say"]
        == "Rest"
    )


def test_the_work_of_a_long_answer_grows_with_its_length_only() -> None:
    """Every character goes out a bounded number of times: once as tail, once as block, and at the end."""
    painter = Painter(RENDERER, ORIGIN, "en")
    painter.snapshot(numbered(Started(), Step("generate")))
    sent = 0
    for n in range(2000):
        text = "word " if n % 40 else "end.\n\n"
        sent += len(str(painter.patch(numbered(Token(text)), n / 15)))
    assert sent < 12 * 5 * 2000 + 2000 * 60


def queue(lang: Lang, **place: object) -> str:
    place = {"position": 3, "eta_s": 12.0, "reason": "two before you", "code": "ahead", "n": 2} | place
    return RENDERER.region("status", fold_all(numbered(Queued(**place))), ORIGIN, lang)  # type: ignore[arg-type]


def test_the_place_in_the_queue_is_said_in_the_readers_language_and_drawn() -> None:
    assert "2 ahead of you" in queue("en")
    assert "你前面还有 2 个问题" in queue("zh")
    assert queue("en").count("<i></i>") == 2
    own = queue("en", code="own_running", n=4, own=1)
    assert "You have 4 answers running; when one of them ends, this one can begin" in own
    assert "<i></i>" not in own
    assert "this is number 2 of your questions that wait" in queue("en", code="own_running", n=4, own=2)
    assert 'data-eta="12.0"' in queue("en")
    far = queue("en", position=31, n=30)
    assert far.count("<i></i>") == MAX_DOTS
    assert f"+{30 - MAX_DOTS}" in far


def test_a_reason_that_the_page_does_not_know_is_said_as_the_backend_says_it() -> None:
    assert "two before you" in queue("zh", code="brand_new")


def test_what_a_busy_server_left_out_is_one_sentence_in_the_readers_language() -> None:
    cuts = [Degraded("load", "Two of five.", "load_passages", 1), Degraded("load", "As it stands.", "load_rewrite")]
    state = fold_all(numbered(Started(), *cuts, Retrieved(PASSAGES, 1.0), Token("Yes."), Done("Yes.")))
    english, chinese = (RENDERER.answer(state, ORIGIN, lang) for lang in ("en", "zh"))
    assert "The server is busy: answered from fewer passages (1), searched with your words as they are." in english
    assert "服务器繁忙：回答所依据的段落较少（1 段），问题未经改写，按原文检索。" in chinese
    assert english.count('role="note"') == 1
    assert english.count("2 sources, 1 read") == 2  # on the button, and for pages that show them elsewhere


def test_what_the_model_cites_it_has_read_however_few_it_was_to_read() -> None:
    few = replace(ORIGIN, read=1)
    rows: list[Event] = [Searched("tall"), Retrieved(PASSAGES, 1.0), Token("Long [2]."), Done("Long [2].")]
    once, again = (fold_all(numbered(*first, *rows)) for first in ([], [Searched("long")]))
    assert 'data-testid="citation" data-n="2"' not in RENDERER.region("body", once, few, "en")
    assert 'data-testid="citation" data-n="2"' in RENDERER.region("body", again, few, "en")
    cited = replace(once, citations=(Citation(2, "p2", ((0, 5),), (0, 9), "model"),))
    assert 'data-testid="citation" data-n="2"' in RENDERER.region("body", cited, few, "en")


def test_that_an_answer_was_cut_is_said_where_its_text_ends_and_not_above_it() -> None:
    cut = Degraded("answer", "The answer was cut at max_tokens (5).")
    log = numbered(Started(), Degraded("retrieval", "It is down."), Token("It is"), cut, Done("It is"))
    above, below = (RENDERER.region(name, fold_all(log), ORIGIN, "en") for name in ("notices", "status"))
    assert "It is down." in above
    assert "cut" not in above
    assert cut.reason in below
    assert "data-quiet" not in below


def test_an_answer_that_never_began_offers_to_ask_again() -> None:
    never = RENDERER.answer(fold_all(numbered(Queued(1, 0.0, "next"), Stopped("", "user"))), ORIGIN, "en")
    assert "Stopped before the answer began." in never
    assert "Ask again" in never
    assert "stage-timeline" not in never
