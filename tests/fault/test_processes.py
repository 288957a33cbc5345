"""The server's own end, gentle or not: what was acknowledged is there afterwards, and no process or lock stays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api.test_startup import url_of

pytestmark = pytest.mark.process

SERVE = """
import sys
from app import server
from app.configuration import load
server._gradio = lambda *parts: lambda app: None  # the page takes seconds to load, and no part in this
flags = {"data": sys.argv[1], "server": {"port": 0}, "generation": {"grace_s": 60}}
sys.exit(server.serve(load(flags, profile="scripted")))
"""
QUESTION = "What is retrieval augmented generation, in all its glory?"


@contextmanager
def program(data: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    command = [sys.executable, "-c", SERVE, str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=url_of(process), timeout=30) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate()


def ask(client: httpx.Client) -> str:
    conversation = client.post("/api/conversations").raise_for_status().json()["id"]
    asked = {"question": QUESTION, "pipeline": "direct"}
    return str(
        client.post(f"/api/conversations/{conversation}/ask", json=asked).raise_for_status().json()["generation_id"]
    )


def lines_of(client: httpx.Client, generation: str) -> Iterator[str]:
    with client.stream("GET", f"/api/generations/{generation}/events") as response:
        yield from response.iter_lines()


def test_a_kill_in_the_middle_of_answers_loses_no_acknowledged_turn(tmp_path: Path) -> None:
    """P1, three times over on the same folder."""
    acknowledged: list[str] = []
    cookies = httpx.Cookies()
    for _ in range(3):
        with program(tmp_path) as (process, client):
            client.cookies = cookies
            for generation in acknowledged:
                answer = client.get(f"/api/generations/{generation}").raise_for_status().json()
                assert (answer["status"], answer["error_code"]) == ("interrupted", "interrupted")
                [end] = [line for line in lines_of(client, generation) if line == "event: failed"]
                assert end
            fresh = [ask(client) for _ in range(3)]
            next(line for line in lines_of(client, fresh[0]) if line == "event: token")
            process.send_signal(signal.SIGKILL)
            process.wait()
            acknowledged += fresh
            cookies = client.cookies


def test_a_signal_under_load_refuses_the_new_ends_the_running_and_exits_with_0(tmp_path: Path) -> None:
    """Case 44."""
    ends: dict[str, list[str]] = {}
    with program(tmp_path) as (process, client):
        running = [ask(client) for _ in range(8)]
        begun = threading.Barrier(len(running) + 1)

        def read(generation: str) -> None:
            with httpx.Client(base_url=client.base_url, cookies=client.cookies, timeout=30) as reader:
                lines = lines_of(reader, generation)
                next(line for line in lines if line == "event: token")
                begun.wait(60)
                ends[generation] = [line for line in lines if line.startswith("event:")]

        readers = [threading.Thread(target=read, args=(generation,)) for generation in running]
        for reader in readers:
            reader.start()
        begun.wait(60)
        process.send_signal(signal.SIGTERM)
        refused = 0
        while process.poll() is None:
            try:
                refused += client.post("/api/conversations").status_code in (500, 503)
            except httpx.HTTPError:
                refused += 1
                break
        for reader in readers:
            reader.join(30)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert refused
        assert {lines[-1] for lines in ends.values()} <= {"event: done", "event: stopped"}
        assert len(ends) == len(running)
        records = [json.loads(line) for line in errors.splitlines()]
        assert {r["generation_id"] for r in records if r["event"] == "ended"} == set(running)
        assert not [r for r in records if r["level"] in ("error", "critical")]
