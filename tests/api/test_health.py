"""Health answers at once and honestly: alive is not ready, and what is missing is named."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.house import Served, events_of, serving

pytestmark = pytest.mark.anyio


async def test_alive_before_ready_and_ready_when_the_parts_are(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, gate=gate) as served:
        assert (await served.guest.get("/healthz")).status_code == 200
        assert (await served.guest.head("/healthz")).status_code == 200
        waiting = await served.guest.get("/readyz")
        assert waiting.status_code == 503
        assert waiting.json()["engine"] == "starting"
        gate.set()
        await ready(served)


async def test_an_engine_that_dies_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await ready(served)
        served.engine.die("The engine ran out of memory.")
        response = await served.guest.get("/readyz")
        assert response.status_code == 503
        assert {name: response.json()[name] for name in ("engine", "retriever")} == {
            "engine": "down",
            "retriever": "ready",
        }
        assert response.json()["parts"]["engine"]["detail"] == "The engine ran out of memory."
        assert (await served.guest.get("/healthz")).status_code == 200


async def test_a_question_asked_before_the_engine_is_up_waits_and_is_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [["At last."]], gate=gate) as served:
        generation = await served.ask()
        reading = asyncio.create_task(events_of(served.guest, generation))
        assert (await served.guest.get("/readyz")).status_code == 503
        gate.set()
        events = await reading
    assert events[0].kind == "queued"
    assert events[-1].data["answer"] == "At last."


async def test_metrics_are_prometheus_text_with_the_parts_and_the_requests(served: Served) -> None:
    await ready(served)
    await served.guest.get("/api/no-such")
    response = await served.guest.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["colloquy_part_ready", "engine"] == 1
    assert samples["colloquy_part_ready", "retriever"] == 1
    assert samples["colloquy_http_requests_total", "404", "GET"] == 1
    assert samples["colloquy_tasks",] > 1
    assert samples["colloquy_memory_blocks",] > 10_000


async def test_an_ended_answer_is_counted_with_its_tokens(tmp_path: Path) -> None:
    async with serving(tmp_path, [["One", " two"]]) as served:
        await events_of(served.guest, await served.ask())
        metrics = (await served.guest.get("/metrics")).text
    assert 'colloquy_generations_total{outcome="done",pipeline="direct"} 1.0' in metrics
    assert 'colloquy_tokens_total{kind="completion"} 2.0' in metrics
    assert 'colloquy_generation_seconds_count{pipeline="direct"} 1.0' in metrics


async def test_a_made_up_method_is_counted_under_one_name(served: Served) -> None:
    for method in ("PUT", "TRACE", "PROPFIND"):
        await served.guest.request(method, "/api/conversations")
    metrics = (await served.guest.get("/metrics")).text
    assert "PROPFIND" not in metrics
    assert 'colloquy_http_requests_total{method="other",status="405"} 3.0' in metrics


async def ready(served: Served) -> None:
    async with asyncio.timeout(30):
        while (await served.guest.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
