"""`python launch.py score`, run the way a user runs it but in this process."""

import json
from pathlib import Path

import pytest

from app import cli

ITEM = {"id": "1", "question": "Who?", "golden_answers": ["Ada Lovelace"], "pred": "Ada Lovelace"}
SAVED_BY_FLASHRAG = [
    {
        "id": "1",
        "question": "Who?",
        "golden_answers": ["Ada Lovelace"],
        "output": {"pred": "Ada", "retrieval_result": [{"id": "7", "contents": "Ada Lovelace\nShe wrote."}]},
    }
]


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.run(["score", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def lines(path: Path, *records: object) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def test_the_last_line_is_one_json_object_with_each_metric(tmp_path, capsys):
    file = lines(tmp_path / "p.jsonl", ITEM, ITEM | {"pred": "Ada"})
    code, out, _ = run(capsys, "--predictions", file, "--metrics", "em, F1", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == {"n": 2, "em": 0.5, "f1": pytest.approx((1 + 2 / 3) / 2)}


def test_intermediate_data_of_flashrag_is_read_as_it_is(tmp_path, capsys):
    file = tmp_path / "intermediate_data.json"
    file.write_text(json.dumps(SAVED_BY_FLASHRAG, indent=4), encoding="utf-8")
    code, out, _ = run(capsys, "--predictions", file, "--metrics", "recall,retrieval_recall", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == {"n": 1, "recall": 0.5, "retrieval_recall": 1.0}


def test_golden_answers_of_multiple_choice_are_positions(tmp_path, capsys):
    item = ITEM | {"choices": ["Ada", "Grace"], "golden_answers": [1], "pred": "grace"}
    code, out, _ = run(capsys, "--predictions", lines(tmp_path / "p.jsonl", item), "--metrics", "em", "--json")
    assert (code, json.loads(out.splitlines()[-1])["em"]) == (0, 1.0)


def test_scores_are_saved_as_flashrag_saves_them_and_by_item(tmp_path, capsys):
    file = lines(tmp_path / "p.jsonl", ITEM, ITEM | {"pred": "Bob"})
    run(capsys, "--predictions", file, "--metrics", "em", "--save", tmp_path / "out")
    assert (tmp_path / "out" / "metric_score.txt").read_text() == "em: 0.5\n"
    rows = (tmp_path / "out" / "item_scores.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [{"em": 1.0}, {"em": 0.0}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no items"),
        ('{"question": "a"}', "line 1 has no text `pred`"),
        ('{"pred": "a"}', "line 1 has no `golden_answers`"),
        ('\n{"pred": "a", "golden_answers": ["b"]}\n{broken', "line 3 is not valid JSON"),
        ("[1]", "item 1 is no object"),
        ("[1", "not valid JSON"),
        ('{"pred": "a", "golden_answers": [4], "choices": ["x"]}', "positions in `choices`"),
        ('{"pred": "a", "golden_answers": ["b"], "retrieval_result": ["x"]}', "list of passages"),
    ],
)
def test_a_file_that_cannot_be_scored_gets_one_sentence(tmp_path, capsys, content, said):
    file = tmp_path / "p.jsonl"
    file.write_text(content, encoding="utf-8")
    code, out, err = run(capsys, "--predictions", file)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_file_that_is_not_there_gets_one_sentence(tmp_path, capsys):
    code, _, err = run(capsys, "--predictions", tmp_path / "none.jsonl")
    assert code == 2
    assert "cannot be read" in err
