"""The command line: what is printed, and how it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app import cli
from app.backend.errors import Unavailable
from app.commands.ingest import _bars as progress_bars

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parent.parent


def launch(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLLOQUY_")}
    command = [sys.executable, ROOT / "launch.py", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=180, check=False)


def last_object(stdout: str) -> dict[str, object]:
    found = json.loads(stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_a_wrong_option_is_named_in_a_sentence_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--prot", "1"]) == 2
    said = capsys.readouterr().err
    assert "--prot" in said
    assert said.endswith(". See `python launch.py doctor --help`.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "99999"],
        ["--port", "many"],
        ["serve", "--prot", "1"],
        ["ask"],
        ["nonsense"],
        ["serve", "--profile", "tpu"],
        ["serve", "--config", "nowhere.yaml"],
        ["serve", "--profile", "cpu", "--model", "./nowhere"],
        ["serve", "--profile", "cpu", "--model", "what is this"],
        ["serve", "--profile", "cpu", "--encoder", "package:no-such-package"],
    ],
)
def test_wrong_input_ends_with_one_line_and_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_a_failure_ends_with_its_sentence_and_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("The moon is down.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.doctor.examine", fail)
    assert cli.run(["doctor", "--profile", "scripted"]) == 1
    assert capsys.readouterr().err == "The moon is down.\n"


def test_an_error_nobody_foresaw_is_one_line_and_a_file_with_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("app.doctor.examine", explode)
    assert cli.run(["doctor", "--profile", "scripted"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "secret detail" not in error
    (report,) = tmp_path.glob("colloquy-*/error-*.log")
    assert str(report) in error
    assert "secret detail" in report.read_text()
    assert report.parent.stat().st_mode & 0o077 == 0


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("serve", "ingest", "ask", "retrieval", "doctor", "check", "test"))


def test_ask_answers_without_any_model(tmp_path: Path) -> None:
    done = launch("ask", "What is reciprocal rank fusion?", "--profile", "scripted", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = last_object(done.stdout)
    assert result["status"] == "done"
    assert result["answer"]
    assert str(result["answer"]) in done.stdout.rpartition("{")[0] + str(result["answer"])
    assert result["passages"]
    assert (tmp_path / "data/colloquy.db").exists()


def test_ask_refuses_an_empty_question_before_anything_is_made(tmp_path: Path) -> None:
    done = launch("ask", " \n", "--profile", "scripted", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "empty" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ask_refuses_an_unknown_corpus(tmp_path: Path) -> None:
    done = launch("ask", "Where?", "--profile", "scripted", "--corpus", "atlantis", cwd=tmp_path)
    assert done.returncode == 2
    assert "atlantis" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_ingest_builds_a_corpus_and_reports_what_it_left_out(tmp_path: Path) -> None:
    lines = (
        '{"id": "1", "contents": "Owl\\nOwls hunt at night."}',
        "{broken",
        '{"id": "2", "contents": "Kea\\nA parrot."}',
    )
    (tmp_path / "birds.jsonl").write_text("\n".join(lines))
    flags = ("--profile", "scripted", "--corpus", "birds")
    done = launch("ingest", "birds.jsonl", *flags, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "birds.jsonl:2" in done.stderr
    result = last_object(done.stdout)
    assert (result["passages"], result["skipped"]) == (2, 1)
    strict = launch("ingest", "birds.jsonl", *flags, "--strict", cwd=tmp_path)
    assert strict.returncode == 2
    assert "birds.jsonl:2" in strict.stderr.splitlines()[-1]
    asked = launch("ask", "When do owls hunt?", *flags, "--json", cwd=tmp_path)
    assert "night" in str(last_object(asked.stdout)["passages"])


def test_doctor_finds_a_port_in_use_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (tmp_path / "colloquy.yaml").write_text(f"profile: scripted\nserver: {{port: {port}}}")
        done = launch("doctor", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in last_object(done.stdout)["findings"]}  # type: ignore[attr-defined]
    assert done.returncode == 1
    assert findings["port"]["level"] == "problem"
    assert "--port" in findings["port"]["fix"]
    assert {"Python", "platform", "GPU", "memory", "disk", "packages", "SQLite", "browser"} <= set(findings)


def test_doctor_changes_nothing(tmp_path: Path) -> None:
    launch("doctor", "--profile", "cpu", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_phase_of_a_progress_bar_begins_in_the_same_column(capsys: pytest.CaptureFixture[str]) -> None:
    def column(*phases: str) -> int:
        with progress_bars() as show:
            for phase in phases:
                show(phase, 1, 1)
        return capsys.readouterr().err.splitlines()[0].index("━")

    assert column("read") == column("read", "load encoder")


TERMINATED = """
import os, signal, sys
from unittest import mock
from app import cli

terminate = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
with mock.patch(sys.argv[1], terminate):
    sys.exit(cli.run(["serve", "--profile", "scripted", "--port", "0", "--json"]))
"""


@pytest.mark.parametrize(
    "place", ["app.commands.serve.read_settings", "app.server.claimed", "app.backend.service.Backend.open"]
)
def test_serve_ends_well_also_when_it_is_terminated_before_it_serves(place: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLLOQUY_")}
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED, place],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Colloquy has stopped." in done.stdout
    assert last_object(done.stdout) == {"exit_code": 0}


def test_scoring_chinese_leaves_nothing_in_the_shared_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    monkeypatch.setenv("TMPDIR", str(shared))
    item = {"question": "谁?", "golden_answers": ["牛顿发现了万有引力"], "pred": "牛顿发现万有引力"}
    (tmp_path / "p.jsonl").write_text(json.dumps(item), encoding="utf-8")
    done = launch("score", "--predictions", "p.jsonl", "--metrics", "zh_rouge-1", "--json", cwd=tmp_path)
    assert 0 < last_object(done.stdout)["zh_rouge-1"] < 1
    assert done.stderr == "1 item\n"
    assert list(shared.iterdir()) == []
