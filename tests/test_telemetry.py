"""Operators see how it goes and find each event again, and nothing that anybody said."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from app.backend.engines.scripted import Crash
from app.backend.telemetry import configure_logging
from app.backend.types import Principal
from tests.api.house import error_of, events_of
from tests.fault.house import House, Shelf, ended_once, house, scripted, until
from tests.retrieval.conftest import World

pytestmark = pytest.mark.anyio
MARK = "zebra-crossing-4711"
NASTY = f"What is {MARK}?\n\x1b[31m2026 forged line\r\n"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the program would write to stderr, with everything turned on."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging(quiet=False)
    structlog.configure(cache_logger_on_first_use=False)  # or loggers would keep this configuration for good
    yield written
    structlog.reset_defaults()


def records(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


async def metrics(served: House) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    text = (await served.guest.get("/metrics")).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_an_answer_leaves_its_three_lines_and_none_of_its_words(tmp_path: Path, lines: io.StringIO) -> None:
    """Case 24."""
    async with house(tmp_path, scripted([f"About {MARK}."], [Crash("It failed.")])) as served:
        ids = []
        for _ in range(2):
            conversation = (await served.guest.post("/api/conversations")).json()["id"]
            await served.guest.patch(f"/api/conversations/{conversation}", json={"title": NASTY})
            asked = await served.guest.post(
                f"/api/conversations/{conversation}/ask", json={"question": NASTY, "pipeline": "naive"}
            )
            ids.append(asked.json()["generation_id"])
            await events_of(served.guest, ids[-1])
        await served.guest.get("/api/conversations", params={"q": MARK})
        await served.guest.post("/api/conversations/none/ask", json={"question": NASTY, "bad": MARK})
        await served.guest.get("/api/no%0asuch%1b[31m")
        cookies = list(served.guest.cookies.values())
    written = lines.getvalue()
    told = records(lines)
    for gid in ids:
        assert [r["event"] for r in told if r.get("generation_id") == gid] == ["asked", "admitted", "ended"]
    assert [r["status"] for r in told if r["event"] == "ended"] == ["done", "failed"]
    for secret in (MARK, "forged", "\x1b", Shelf().passages[0].text, *cookies):
        assert secret not in written


async def test_every_error_that_is_shown_has_an_id_in_the_log(tmp_path: Path, lines: io.StringIO) -> None:
    async with house(tmp_path, scripted([Crash()], ["x"])) as served:
        end = ended_once(await events_of(served.guest, await served.ask()))
        refused = error_of(await served.guest.get("/api/conversations/none"))
    ids = {value for record in records(lines) for value in record.values() if isinstance(value, str)}
    assert end.data["id"] in ids
    assert refused["id"] in ids


async def test_a_part_that_goes_and_comes_back_is_told_once_each_time(tmp_path: Path, lines: io.StringIO) -> None:
    engine = scripted()
    async with house(tmp_path, engine):
        await until(lambda: "ready" in [r["state"] for r in records(lines) if r.get("part") == "engine"])
        engine.die()
        await until(lambda: "down" in [r["state"] for r in records(lines) if r.get("part") == "engine"])
        engine.revive()
        await until(lambda: [r["state"] for r in records(lines) if r.get("part") == "engine"][-1] == "ready")
    told = [(r["state"], r["level"]) for r in records(lines) if r["event"] == "part" and r["part"] == "engine"]
    assert told == [("ready", "info"), ("down", "warning"), ("ready", "info")]


async def test_what_is_not_there_yet_is_no_error_of_ours(tmp_path: Path, lines: io.StringIO) -> None:
    from app.api.errors import HttpError, error_response

    error_response(HttpError(503, "starting", "Soon."), {"method": "GET", "path": "/"})
    error_response(HttpError(500, "error", "Bad."), {"method": "GET", "path": "/"})
    assert [record["level"] for record in records(lines)] == ["info", "error"]


async def test_an_answer_is_counted_from_its_wait_to_its_last_token(tmp_path: Path) -> None:
    async with house(tmp_path, scripted(["One", " two", " three"])) as served:
        await events_of(served.guest, await served.ask())
        async with asyncio.timeout(30):  # the loop's lag is measured now and then
            while not (now := await metrics(served))["colloquy_event_loop_lag_seconds_count",]:
                await asyncio.sleep(0.05)
    assert now["colloquy_wait_seconds_count", "chat"] == 1
    assert now["colloquy_first_token_seconds_count", "direct"] == 1
    assert now["colloquy_inter_token_seconds_count",] >= 2
    assert now["colloquy_tokens_total", "completion"] == 3
    for lane in ("chat", "compare", "demo", "experiment"):
        assert now["colloquy_queue_waiting", lane] == 0
        assert now["colloquy_queue_running", lane] == 0


async def test_refusals_are_counted_by_reason_and_names_of_users_are_no_labels(tmp_path: Path) -> None:
    gate = asyncio.Event()
    quota = {"running": 1, "queued": 1, "per_minute": 99, "per_day": 99}
    async with house(tmp_path, scripted([gate]), quotas={"local": quota}) as served:
        await served.ask()
        for _ in range(3):
            conversation = (await served.guest.post("/api/conversations")).json()["id"]
            await served.guest.post(f"/api/conversations/{conversation}/ask", json={"question": "x"})
        now = await metrics(served)
        assert sum(value for (name, *_), value in now.items() if name == "colloquy_refusals_total") == 2
        assert now["colloquy_queue_running", "chat"] == 1
        assert now["colloquy_queue_waiting", "chat"] == 1
        assert "guest-" not in (await served.guest.get("/metrics")).text
        gate.set()


async def test_refusals_are_counted_wherever_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = {"mode": "accounts", "allow_guests": True}
    async with house(tmp_path, scripted(), server=doors, quotas={"address": {"per_day": 2}}) as served:
        backend = served.backend

        conversations = [(await served.guest.post("/api/conversations")) for _ in range(3)]
        assert [answer.status_code for answer in conversations] == [201, 201, 429]
        for _ in range(11):
            await served.guest.post("/login", data={"name": "Ann", "password": "a long guess"})
        await backend.operations.drain(Principal("user-root", "admin", "Root"), True)
        url = f"/api/conversations/{conversations[0].json()['id']}/ask"
        assert (await served.guest.post(url, json={"question": "Why?"})).status_code == 503
        monkeypatch.setattr("app.crowd.ONE_NETWORKS", 0)
        assert (await served.guest.get("/api/conversations")).status_code == 429
        families = text_string_to_metric_families(backend.telemetry.render().decode())
        (counted,) = (family for family in families if family.name == "colloquy_refusals")
        assert {one.labels["reason"]: one.value for one in counted.samples if one.name.endswith("_total")} == {
            "conversations": 1,
            "password": 10,
            "log_in": 1,
            "draining": 1,
            "open_requests": 1,
        }


async def test_searches_are_counted_with_their_batches_and_the_cache(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    from app.backend.retrieval.local import LocalRetriever

    world = World(tmp_path)
    world.build()
    registry = CollectorRegistry()
    retriever = LocalRetriever(
        world.settings.retrieval, world.corpora, lambda ref: ref, load=lambda *_: world.encoder, registry=registry
    )
    await retriever.start()
    for _ in range(2):
        await retriever.search("apples", corpus="small", top_k=1, retriever="hybrid")
    await retriever.aclose()
    text = generate_latest(registry).decode()
    assert 'colloquy_retrieval_cache_lookups_total{result="hit"} 1.0' in text
    assert 'colloquy_retrieval_cache_lookups_total{result="miss"} 1.0' in text
    for index in ("dense", "lexical"):
        assert f'colloquy_retrieval_batch_queries_count{{index="{index}"}} 1.0' in text


async def test_what_the_engines_library_counts_is_passed_through(tmp_path: Path) -> None:
    from prometheus_client import REGISTRY, Gauge

    gauge = Gauge("vllm:num_requests_running", "As vLLM registers it")
    try:
        async with house(tmp_path, scripted()) as served:
            assert ("vllm:num_requests_running",) in await metrics(served)
    finally:
        REGISTRY.unregister(gauge)
