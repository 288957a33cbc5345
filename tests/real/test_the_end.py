"""Runs last in this folder: kills the shared server in the middle of ten answers."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.real.conftest import Server

pytestmark = pytest.mark.engine


def test_killed_in_the_middle_of_ten_answers_nothing_acknowledged_is_lost(server: Server, data: Path) -> None:
    visitors = [server.visitor() for _ in range(10)]
    asked = [
        v.ask(f"Tell a long story about the number {n}.", pipeline="direct", params={"max_tokens": 2000})
        for n, v in enumerate(visitors)
    ]
    seen: dict[str, str] = dict.fromkeys(asked, "")

    def follow(n: int) -> None:
        with suppress(httpx.HTTPError):
            for _, kind, event in visitors[n].events(asked[n]):
                if kind == "token":
                    seen[asked[n]] += str(event["text"])

    with ThreadPoolExecutor(10) as pool:
        following = [pool.submit(follow, n) for n in range(10)]
        until = time.monotonic() + 60
        while not all(len(text) > 40 for text in seen.values()):
            assert time.monotonic() < until, seen
            time.sleep(0.05)
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert any("VLLM" in " ".join(child.cmdline()) for child in children)
        server.kill()
        wait(following)

    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, "engine processes outlived the server"

    again = Server(data, "--profile", "scripted")
    try:
        again.wait_ready()
        with sqlite3.connect(f"file:{data}/colloquy.db?mode=ro", uri=True) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for n, visitor in enumerate(visitors):
            cookies = httpx.Cookies(visitor.http.cookies)
            with httpx.Client(base_url=again.url, cookies=cookies, timeout=60) as http:
                generation = http.get(f"/api/generations/{asked[n]}").raise_for_status().json()
                assert generation["status"] == "interrupted"
                partial = generation["answer"]
                assert partial
                assert seen[asked[n]].startswith(partial[: len(seen[asked[n]])])
                conversation = http.get(f"/api/conversations/{visitor.conversations[-1]}").raise_for_status().json()
                assert f"the number {n}" in str(conversation)
    finally:
        assert again.stop() == 0
