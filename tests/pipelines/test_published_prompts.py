"""Published prompts are sent letter by letter, and ours that sorts questions too: a changed word is another method."""

from __future__ import annotations

from hashlib import sha256

import pytest

from app.backend.pipelines import (
    adaptive,
    autorefine,
    corag,
    ircot_prompts,
    o2_searcher,
    prompts,
    r1_searcher,
    rearag,
    search_r1,
    selfask_prompts,
    simpledeepsearcher,
    sure,
    trace_prompts,
)

PUBLISHED = {
    "search_r1.ASKED": (search_r1.ASKED, "325187b4e28848fc"),
    "autorefine.ASKED": (autorefine.ASKED, "dd18f27fd90cf9f6"),
    "r1_searcher.ASKED": (r1_searcher.ASKED, "335758c4e59260db"),
    "simpledeepsearcher.ASKED": (simpledeepsearcher.ASKED, "01715d89c1b75a99"),
    "o2_searcher.SYSTEM": (o2_searcher.SYSTEM, "f22251aba0ac2435"),
    "o2_searcher.ASKED": (o2_searcher.ASKED, "644edce2debdeb89"),
    "o2_searcher.LEARNED": (o2_searcher.LEARNED, "a20ae56fd5ae5bed"),
    "o2_searcher.INVALID": (o2_searcher.INVALID, "e507d8a4f640a841"),
    "corag.SUB_QUERY": (corag.SUB_QUERY, "08172587569b67e5"),
    "corag.SUB_ANSWER": (corag.SUB_ANSWER, "68c0b70e736cce24"),
    "corag.ANSWER": (corag.ANSWER, "73dde3234b150ec5"),
    "rearag.SYSTEM": (rearag.SYSTEM, "1162c3b40fd317b8"),
    "rearag.OBSERVED": (rearag.OBSERVED, "bf7ac5d0eb0d7480"),
    "rearag.SHORT": (rearag.SHORT, "33352c21222f02c4"),
    "selfask_prompts.SINGLE_HOP": (selfask_prompts.SINGLE_HOP, "0537f68518347f63"),
    "selfask_prompts.MULTI_HOP": (selfask_prompts.MULTI_HOP, "8bc8253c4cc3fb0d"),
    "ircot_prompts.SYSTEM": (ircot_prompts.SYSTEM, "67719b94ec236193"),
    "ircot_prompts.FLASHRAG": (ircot_prompts.FLASHRAG, "7215ad6178f08ae9"),
    "prompts.GIVEN": (prompts.GIVEN, "8b854225e15c722d"),
    "prompts.UNAIDED": (prompts.UNAIDED, "2d8212c759578cee"),
    "sure.CANDIDATES": (sure.CANDIDATES, "448dd168efb52294"),
    "sure.SUMMARY": (sure.SUMMARY, "9fb996c21ef2a6e5"),
    "sure.VALID": (sure.VALID, "c52b93b99b053a99"),
    "sure.BETTER": (sure.BETTER, "bf84c1ee48dd0631"),
    "trace_prompts.EXTRACT": (trace_prompts.EXTRACT, "f0caebe1e7fe74ef"),
    "trace_prompts.CHOOSE": (trace_prompts.CHOOSE, "36bc0442d76799ce"),
    "trace_prompts.SHOWN": (trace_prompts.SHOWN, "5a70da8643b93525"),
    "trace_prompts.ENOUGH": (trace_prompts.ENOUGH, "052d2e13a4d1519b"),
    "trace_prompts.NEXT": (trace_prompts.NEXT, "4b50d0faa0bab7bc"),
    "adaptive.CLASSES": (adaptive.CLASSES, "bf41398fada01a78"),
}


@pytest.mark.parametrize("prompt", PUBLISHED)
def test_a_published_prompt_is_as_it_was_published(prompt: str) -> None:
    text, digest = PUBLISHED[prompt]
    assert sha256(text.encode()).hexdigest()[:16] == digest, f"{prompt} was {text!r}"
