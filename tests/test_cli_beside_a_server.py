"""Commands on a data folder that a running server holds: they find the server and work with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.test_cli import ROOT, last_object, launch

pytestmark = pytest.mark.process


@dataclass(frozen=True)
class Server:
    url: str
    data: Path

    def launch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return launch(*arguments, "--profile", "scripted", "--data", self.data, cwd=self.data.parent)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("served") / "data"
    command = [sys.executable, ROOT / "launch.py", "serve", "--profile", "scripted", "--port", "0", "--data", data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if " is at http" in line)
        yield Server(url, data)
        process.terminate()
        process.stdout.read()


def test_ask_asks_the_running_server(server: Server) -> None:
    done = server.launch("ask", "What is reciprocal rank fusion?", "--json", "--param", "retrieval_topk=2")
    assert done.returncode == 0, done.stderr
    assert server.url in done.stderr
    result = last_object(done.stdout)
    assert (result["status"], result["model"]) == ("done", "scripted")
    assert len(result["passages"]) == 2
    assert str(result["answer"]) in done.stdout.rpartition("{")[0]
    assert result["passages"]


def test_what_the_server_refuses_is_one_line_and_code_2(server: Server) -> None:
    done = server.launch("ask", "Where?", "--corpus", "atlantis")
    assert done.returncode == 2
    assert "atlantis" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_engine_of_its_own_is_not_to_be_had_beside_a_server(server: Server) -> None:
    done = server.launch("ask", "Where?", "--engine", "scripted")
    assert done.returncode == 2
    assert "its own model" in done.stderr


def test_ingest_says_that_the_server_takes_the_corpus_and_it_does(server: Server) -> None:
    (server.data.parent / "birds.jsonl").write_text(json.dumps({"id": "1", "contents": "Owl\nOwls hunt at night."}))
    done = server.launch("ingest", "birds.jsonl", "--corpus", "birds")
    assert server.url in done.stderr
    found = httpx.post(f"{server.url}/v1/retrieve", json={"query": "owls", "corpus": "birds"}).json()
    assert found["results"][0][0]["title"] == "Owl"


def test_doctor_tells_where_the_server_is(server: Server) -> None:
    findings = {f["what"]: f for f in last_object(server.launch("doctor", "--json").stdout)["findings"]}  # type: ignore[attr-defined]
    assert server.url in findings["server"]["found"]


def test_doctor_breaks_no_path(server: Server) -> None:
    assert f"({sys.executable})" in server.launch("doctor").stdout
