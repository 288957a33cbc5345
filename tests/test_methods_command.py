"""The methods on the command line: what it lists is what the pipelines declare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli
from app.backend.pipelines.registry import PIPELINES

PAGE = Path(__file__).resolve().parent.parent / "docs/parameters.md"


def test_the_page_of_parameters_is_what_the_pipelines_declare(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", "--markdown"]) == 0
    assert capsys.readouterr().out == PAGE.read_text("utf-8"), (
        "python launch.py methods --markdown > docs/parameters.md"
    )


def test_every_method_is_listed_and_each_tells_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["methods", "--profile", "scripted"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PIPELINES)
    assert cli.run(["methods", "ircot", "--profile", "scripted", "--json"]) == 0
    out = capsys.readouterr().out
    (ircot,) = json.loads(out.splitlines()[-1])["pipelines"]
    assert all(f"{param['name']}=" in out for param in ircot["params"])
    assert cli.run(["methods", "ircott", "--profile", "scripted"]) == 2
    assert "ircot" in capsys.readouterr().err


def test_ask_takes_parameters_and_says_which_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asking = ["ask", "What is rank fusion?", "--profile", "scripted", "--json"]
    wrong = {"max_tokens": "NAME=VALUE", "max_tokens=many": "whole number", "max_token=3": "no parameter"}
    for pair, sentence in wrong.items():
        assert cli.run([*asking, "--param", pair]) == 2
        assert sentence in capsys.readouterr().err
    assert cli.run([*asking, "--param", "max_tokens=7", "--param", "retriever=bm25"]) == 0
    params = json.loads(capsys.readouterr().out.splitlines()[-1])["params"]
    assert (params["max_tokens"], params["retriever"]) == (7, "bm25")
