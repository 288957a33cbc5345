"""`user ...` and the doors that a start refuses to open."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from app import cli
from app.backend.accounts import membership
from app.backend.storage import oversight
from app.backend.storage.visit import visit
from app.startup import claimed

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *words: str, stdin: str = "") -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    return cli.run([*words, "--profile", "scripted"])


def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert run(monkeypatch, "user", "list", "--json") == 0
    return {user["name"]: user for user in json.loads(capsys.readouterr().out.splitlines()[-1])["users"]}


def test_an_account_is_made_disabled_and_enabled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "user", "add", "root", "--admin", "--password-stdin", stdin=f"{PASSWORD}\n") == 0
    assert run(monkeypatch, "user", "add", "Ann", "--password-stdin", stdin=PASSWORD) == 0
    found = listed(monkeypatch, capsys)
    assert {name: (user["role"], user["ready"]) for name, user in found.items()} == {
        "root": ("admin", True),
        "Ann": ("user", True),
    }
    assert run(monkeypatch, "user", "disable", "ann") == 0
    assert listed(monkeypatch, capsys)["Ann"]["disabled"] is True
    assert run(monkeypatch, "user", "enable", "ann") == 0
    assert listed(monkeypatch, capsys)["Ann"]["disabled"] is False


def test_a_link_lets_the_user_choose_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "user", "add", "ann", "--link", "--json") == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["path"].startswith("/join?code=")
    assert "url" not in made, "no server runs and no host is named"
    assert listed(monkeypatch, capsys)["ann"]["ready"] is False
    with claimed(Path("data").absolute()) as answers_at:
        answers_at("http://127.0.0.1:1", "http://192.0.2.7:1")
        assert run(monkeypatch, "user", "password", "ann", "--link") == 0
        assert "http://192.0.2.7:1/join?code=" in capsys.readouterr().out
    assert run(monkeypatch, "user", "password", "ann", "--password-stdin", stdin=PASSWORD) == 0
    assert listed(monkeypatch, capsys)["ann"]["ready"] is True


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("add", "ann"), "", "--password-stdin, or --link"),
        (("add", "ann", "--password-stdin"), "short", "at least 10"),
        (("add", "a b", "--link"), "", "A name has"),
        (("disable", "nobody"), "", "There is no account 'nobody'"),
        (("disable", "root"), "", "only admin"),
        (("add", "ROOT", "--link"), "", "already"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(
    words: tuple[str, ...], stdin: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    membership.add(Path("data/colloquy.db").absolute(), "root", "admin", PASSWORD)
    assert run(monkeypatch, "user", *words, stdin=stdin) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("serve", "--host", "0.0.0.0"), {}, "user add NAME --admin"),
        (("serve", "--host", "0.0.0.0"), {}, "--allow-guests"),
        (("serve",), {"COLLOQUY_SERVER__HOSTS": '["chat.example.org"]'}, "As chat.example.org anybody"),
        (("serve", "--accounts"), {}, "There is no admin yet"),
        (("retrieval", "--host", "0.0.0.0"), {}, "--allow-guests"),
    ],
)
def test_a_server_does_not_start_with_its_doors_open_by_accident(
    words: tuple[str, ...],
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, *words, "--port", "0") == 2
    assert said in capsys.readouterr().err


def test_a_password_that_is_no_text_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for errors in ("strict", "surrogateescape"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe pass word\n"), "utf-8", errors))
        assert cli.run(["user", "add", "Ann", "--password-stdin", "--profile", "scripted"]) == 2
        assert "not UTF-8" in capsys.readouterr().err


def test_the_list_of_a_damaged_database_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "user", "add", "Ann", "--password-stdin", stdin=PASSWORD) == 0
    [file] = Path.cwd().rglob("colloquy.db")
    for leftover in file.parent.glob("colloquy.db-*"):
        leftover.unlink()
    file.write_bytes(b"damaged" * 1000)
    capsys.readouterr()
    assert run(monkeypatch, "user", "list") == 1
    said = capsys.readouterr().err
    assert "damaged" in said
    assert "saved" not in said


def test_what_is_done_to_accounts_here_is_in_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "user", "add", "Ann", "--password-stdin", stdin=PASSWORD) == 0
    assert run(monkeypatch, "user", "password", "ann", "--password-stdin", stdin=PASSWORD) == 0
    assert run(monkeypatch, "user", "disable", "ANN") == run(monkeypatch, "user", "enable", "Ann") == 0
    assert run(monkeypatch, "user", "add", "ann", "--password-stdin", stdin=PASSWORD) == 2, "nothing happened"
    [file] = Path.cwd().rglob("colloquy.db")
    lines = visit(file, lambda db: oversight.audit(db, None, 10))
    done = [(line.operator, line.deed, line.detail) for line in reversed(lines)]
    assert done == [("command-line", deed, "Ann") for deed in ("account", "password", "ban", "unban")]
