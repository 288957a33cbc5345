"""What cannot be served is one sentence that says the fix; a signal ends what runs and exits with 0."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.backend.errors import ColloquyError
from app.backend.storage import kept
from app.backend.storage.visit import visit
from app.settings import ServerSettings
from app.startup import address, claimed, elsewhere, listen, running

pytestmark = pytest.mark.process

SERVE = """
import sys
from app.server import serve
from app.configuration import load
data, port = sys.argv[1:]
flags = {"data": data, "server": {"port": int(port)}, "generation": {"grace_s": 60}}
sys.exit(serve(load(flags, profile="scripted")))
"""


@contextmanager
def program(data: Path, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    """`serve` in a process of its own."""
    command = [sys.executable, "-c", SERVE, str(data), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if " is at http" in line:
            return line.split(" is at ")[1].strip()
    raise AssertionError(process.communicate()[1])


def until_it_answers(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if " is at http" in line:
            return


def one_sentence(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=60)
    [line] = errors.splitlines()
    assert line.endswith(".")
    return line


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken, program(tmp_path, taken.getsockname()[1]) as process:
        assert "is in use" in (line := one_sentence(process))
        assert "--port" in line
        assert process.returncode == 1


def test_a_data_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with program(tmp_path / "file" / "data") as process:
        assert "--data" in one_sentence(process)
        assert process.returncode == 2


def test_a_data_folder_that_cannot_be_written_to_is_one_sentence() -> None:
    with program(Path("/proc/colloquy")) as process:
        assert "cannot be written to" in one_sentence(process)
        assert process.returncode == 1


def test_a_data_folder_that_others_can_read_is_told_and_a_new_one_is_closed(tmp_path: Path) -> None:
    for folder, told in ((tmp_path / "new", False), (tmp_path / "open", True)):
        if told:
            folder.mkdir()
            folder.chmod(0o755)
        with program(folder) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            process.terminate()
        assert ("Others on this machine can look into" in lines[1]) is told
        assert (folder.stat().st_mode & 0o077 != 0) is told


def test_a_start_says_that_questions_are_still_refused(tmp_path: Path) -> None:
    visit(tmp_path / "colloquy.db", lambda db: kept.set_drain(db, (1_790_000_000.0, "Root")))
    with program(tmp_path) as process:
        assert process.stdout is not None
        [said] = [line for line in until_it_answers(process.stdout) if "refused" in line]
    assert "since 2026-09-21 14:13 UTC" in said
    assert "/admin" in said


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.startup.MIN_FREE_BYTES", 1 << 80)
    with pytest.raises(ColloquyError, match="MiB left"), claimed(tmp_path):
        pass


def test_a_data_folder_is_used_by_one_server_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(ColloquyError, match="Another Colloquy"), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_one_sentence(host: str) -> None:
    with pytest.raises(ColloquyError, match="--host"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_the_address_is_one_a_browser_here_can_open(host: str, shown: str) -> None:
    try:
        listener = listen(host, 0)
    except ColloquyError:
        assert host == "::1"
        assert not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6")
        return
    with listener:
        assert address(listener).startswith(shown)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_gives_open_streams_their_last_event_and_exits_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with program(tmp_path) as process:
        with httpx.Client(base_url=url_of(process), timeout=30) as client:
            conversation = client.post("/api/conversations").json()["id"]
            asked = client.post(
                f"/api/conversations/{conversation}/ask", json={"question": "What is RAG?", "pipeline": "direct"}
            ).json()
            with client.stream("GET", f"/api/generations/{asked['generation_id']}/events") as response:
                lines = response.iter_lines()
                next(line for line in lines if line.startswith("event:"))
                process.send_signal(number)
                kinds = [line for line in lines if line.startswith("event:")]
        assert kinds[-1] in ("event: done", "event: stopped")
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        assert "stopped" in output
    assert (tmp_path / "colloquy.db").exists()


def test_log_lines_are_one_json_object_each(tmp_path: Path) -> None:
    with program(tmp_path) as process:
        url = url_of(process)
        httpx.get(f"{url}/api/no%0asuch%1b[31m", timeout=30)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    records = [json.loads(line) for line in errors.splitlines()]
    assert [record["status"] for record in records if record["event"] == "request refused"] == [404]


def test_the_port_answers_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    """How long that takes is measured by benchmarks/startup.py."""
    with program(tmp_path) as process:
        url = url_of(process)
        assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 503


def test_a_server_is_found_from_when_it_answers_until_it_ends(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    with claimed(tmp_path) as answers_at:
        assert running(tmp_path) is None
        answers_at("http://127.0.0.1:1", "http://192.0.2.7:1")
        found = running(tmp_path)
        assert found is not None and (found.pid, found.url) == (os.getpid(), "http://127.0.0.1:1")
        assert found.elsewhere == "http://192.0.2.7:1"
    assert running(tmp_path) is None
    with claimed(tmp_path):
        assert running(tmp_path) is None


@pytest.mark.parametrize(
    ("server", "found"),
    [
        ({}, ""),
        ({"hosts": ("chat.example.org",)}, "https://chat.example.org"),
        ({"host": "192.0.2.7"}, "http://192.0.2.7:81"),
        ({"host": "0.0.0.0", "hosts": ("chat.example.org",)}, "http://chat.example.org:81"),
    ],
)
def test_other_machines_are_told_an_address_where_there_is_one(server: dict[str, Any], found: str) -> None:
    assert elsewhere(ServerSettings(**server), 81) == found
    assert "0.0.0.0" not in elsewhere(ServerSettings(host="0.0.0.0"), 81)
