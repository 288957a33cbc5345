"""A benchmark says whether its targets were met, and ends with 1 when one was not."""

from __future__ import annotations

import argparse
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
GOOD = {
    "dense_hit@1_ratio": 1.0,
    "dense_hit@5_ratio": 1.0,
    "bm25_hit@1_ratio": 1.0,
    "hybrid_hit@1_ratio_to_better_part": 1.01,
}
STREAM = {"tokens_per_s_ratio": 0.94, "added_ms": 14.0, "own_ms": 9.0}
PAIR = {"uncached": 1.08, "embeddings": 1.0, "searches": 1.0}
START = {"first_line_s": 0.9, "port_s": 1.7, "page_over_import_gradio": 1.2}


@pytest.mark.parametrize(
    ("name", "found", "missed"),
    [
        ("retrieval", {"quality": {"en": GOOD, "zh": GOOD}, "speed": {"batching_gain": 3.3}}, set()),
        (
            "retrieval",
            {"quality": {"en": GOOD, "zh": GOOD | {"dense_hit@5_ratio": 0.99}}, "speed": {"batching_gain": 2.9}},
            {"dense_hit@5_ratio", "batching_gain"},
        ),
        ("chat", [STREAM, STREAM], set()),
        ("chat", [STREAM, STREAM | {"added_ms": 15.1}], {"first_token_added"}),
        ("chat", [STREAM | {"tokens_per_s_ratio": 0.89, "own_ms": 16.0}], {"tokens_per_s", "first_token_own"}),
        ("compare", {"shared": [PAIR, PAIR | {"uncached": 2.0, "not_judged": "It reads another prompt."}]}, set()),
        ("compare", {"shared": [PAIR, PAIR | {"uncached": 1.7}]}, {"shared"}),
        ("startup", START, set()),
        (
            "startup",
            START | {"first_line_s": 1.1, "port_s": 2.1, "page_over_import_gradio": 1.6},
            {"first_line", "port", "page"},
        ),
    ],
)
def test_a_missed_target_is_named_and_is_the_exit_code(
    name: str, found: Any, missed: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    program = runpy.run_path(str(BENCHMARKS / f"{name}.py"))
    report = runpy.run_path(str(BENCHMARKS / "crowd.py"))["report"]
    status = report(name, program["targets"](found), found, argparse.Namespace(json=True))
    said = json.loads(capsys.readouterr().out)
    assert {target for target, met in said["targets"].items() if not met} == missed
    assert (status, said["passed"]) == (1 if missed else 0, not missed)
