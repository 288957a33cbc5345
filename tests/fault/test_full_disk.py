"""A disk that takes no more, as the kernel tells it: a limit on the size of files, which is how a quota shows."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fault.test_processes import ask, lines_of, program

pytestmark = pytest.mark.process


@contextmanager
def no_more(pid: int) -> Iterator[None]:
    """The process can write to no file inside."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_where_nothing_can_be_written_answers_end_and_are_saved_when_there_is_room(tmp_path: Path) -> None:
    """What is new is refused with the reason; what was acknowledged is read to its end, and kept."""
    with program(tmp_path) as (process, client):
        generation = ask(client)
        lines = lines_of(client, generation)
        next(line for line in lines if line == "event: token")
        with no_more(process.pid):
            told = [line for line in lines if line.startswith("event:")]
            assert (told[-1], told.count("event: degraded")) == ("event: done", 1)
            refused = client.post("/api/conversations")
            assert (refused.status_code, refused.json()["error"]["code"]) == (500, "store_error")
            assert "the disk takes no more" in refused.json()["error"]["message"]
            assert client.get("/api/conversations").status_code == 200
        until = time.monotonic() + 30
        while (stored := client.get(f"/api/generations/{generation}").json())["status"] != "done":
            assert time.monotonic() < until
            time.sleep(0.1)
        assert stored["answer"]
        assert client.post("/api/conversations").status_code == 201
