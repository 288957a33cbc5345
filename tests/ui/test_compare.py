"""What the page that compares may ask, and what it gets: masked until a blind vote, and only what is one's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.service import Backend
from app.settings import ServerSettings
from app.ui.actions import Actions, Reply
from app.ui.pages.compare import Asked, AskedSide, Comparing
from app.ui.render import Renderer
from app.ui.turn import LiveTurns
from tests.asking import answer
from tests.doubles import running

pytestmark = pytest.mark.anyio
ANN, BOB = "guest-ann", "guest-bob"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> [x](javascript:alert(3)) {{ 7 * 7 }}"
SIDES = [AskedSide(pipeline="naive", corpus="shelf"), AskedSide(pipeline="direct")]


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    script = [["It is 330 metres tall [1]."], ["It is rather tall."]]
    async with running(tmp_path, ScriptedEngine(script, tokens_per_s=0, model="Scripted-1B")) as backend:
        yield backend


@pytest.fixture
def renderer(backend: Backend) -> Renderer:
    return Renderer(backend.pipelines())


@pytest.fixture
def comparing(backend: Backend, renderer: Renderer) -> Comparing:
    return Comparing(backend, renderer, {"en": ("An example?",), "zh": ()})


async def compared(comparing: Comparing, backend: Backend, text: str = "How tall?", *, blind: bool = False) -> Reply:
    """A comparison of which all has ended."""
    reply = await comparing(ANN, Asked(do="begin", text=text, sides=SIDES, blind=blind), "")
    assert "error" not in reply, reply
    for column in reply["columns"]:  # type: ignore[attr-defined]
        await answer(backend, column["g"], ANN)
    return await comparing(ANN, Asked(do="open", c=str(reply["c"])), "")


async def test_answers_stand_beside_each_other_with_what_differs_below(comparing: Comparing, backend: Backend) -> None:
    reply = await compared(comparing, backend)
    first, second = reply["columns"]  # type: ignore[misc]
    assert [first["letter"], second["letter"]] == ["a", "b"]
    assert first["side"] == {"pipeline": "naive", "corpus": "shelf", "params": {}, "engine": ""}
    assert first["model"] == "Scripted-1B"
    for part in ("answer-diff", "passage-diff", "cost-diff", "param-diff"):
        assert f'data-testid="{part}"' in str(reply["below"])
    assert 'data-testid="vote-a"' in str(reply["ballot"])


async def test_before_a_blind_vote_nothing_tells_what_made_an_answer(
    comparing: Comparing, backend: Backend, renderer: Renderer
) -> None:
    reply = await compared(comparing, backend, blind=True)
    told = json.dumps({key: value for key, value in reply.items() if key != "question"})
    for name in ("naive", "Naive", '"direct', "Direct", "shelf<", "Scripted-1B", "stage-timeline", "figures", "bm25"):
        assert name not in told, name
    assert reply["below"] == ""
    live = LiveTurns(backend, renderer)
    acts = Actions(backend, renderer, {})
    for column in reply["columns"]:  # type: ignore[attr-defined]
        origin = await live.origin(ANN, column["g"])
        assert origin.hidden
        streamed = "".join([patch async for patch in live.stream(ANN, column["g"], origin, "en")])
        assert "naive" not in streamed.lower()
        assert "stage-timeline" not in streamed
        assert await acts(ANN, {"do": "trace", "g": column["g"]}) == {"steps": ""}


async def test_a_vote_reveals_and_marks_the_winner(comparing: Comparing, backend: Backend) -> None:
    reply = await compared(comparing, backend, blind=True)
    voted = await comparing(ANN, Asked(do="vote", c=str(reply["c"]), winner="b", tags=["correct"], comment=HOSTILE), "")
    assert [column["won"] for column in voted["columns"]] == [False, True]  # type: ignore[attr-defined]
    assert sorted(column["side"]["pipeline"] for column in voted["columns"]) == ["direct", "naive"]  # type: ignore[attr-defined]
    assert 'data-testid="param-diff"' in str(voted["below"])
    assert "more correct" in str(voted["ballot"])
    assert "<img" not in str(voted["ballot"])


async def test_the_ballot_does_not_promise_to_count_a_vote_on_a_copy(comparing: Comparing, backend: Backend) -> None:
    own = await compared(comparing, backend)
    token = (await backend.shares.publish(ANN, str(own["c"]))).token
    copy = await comparing(BOB, Asked(do="open", c=await backend.shares.fork(token, BOB)), "")
    assert "goes into the leaderboard" in str(own["ballot"])
    assert "goes into the leaderboard" not in str(copy["ballot"])
    assert "copied from a link" in str(copy["ballot"])


async def test_what_belongs_to_somebody_else_is_not_there(comparing: Comparing, backend: Backend) -> None:
    reply = await compared(comparing, backend)
    c, g = str(reply["c"]), reply["columns"][0]["g"]  # type: ignore[index]
    for asked in (
        Asked(do="open", c=c),
        Asked(do="again", c=c, letter="a"),
        Asked(do="vote", c=c, winner="a"),
        Asked(do="stop", g=g),
    ):
        refused = await comparing(BOB, asked, "")
        assert refused["error"]["code"] == "not_found"  # type: ignore[index]
        unknown = await comparing(BOB, asked.model_copy(update={"c": "0" * 32, "g": "0" * 32}), "")
        assert refused["error"]["text"] == unknown["error"]["text"]  # type: ignore[index]


async def test_hostile_text_stays_text(comparing: Comparing, backend: Backend) -> None:
    await compared(comparing, backend, HOSTILE)
    page = await comparing.page(ANN, "en", "v1", ServerSettings(default_corpus="shelf"))
    assert "<img" not in page
    assert "alert(2)</script>" not in page
    assert "{{ 7 * 7 }}" in page


async def test_the_chat_leads_to_the_comparison(comparing: Comparing, backend: Backend, renderer: Renderer) -> None:
    reply = await compared(comparing, backend)
    acts = Actions(backend, renderer, {})
    assert await acts(ANN, {"do": "open", "c": reply["c"]}) == {"goto": f"/compare?id={reply['c']}"}
    assert 'data-testid="comparison-mark"' in str((await acts(ANN, {"do": "list"}))["history"])


async def test_the_page_is_drawn_in_both_languages(comparing: Comparing) -> None:
    for lang, word in (("en", "Compare"), ("zh", "对比")):
        page = await comparing.page(ANN, lang, "v1", ServerSettings(default_corpus="shelf"))  # type: ignore[arg-type]
        assert f'lang="{lang}"' in page
        assert word in page
