"""Several engines, where they are told of: exports, batches, metrics, the page, answers from before there were any."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import httpx
import pytest

from app.backend.demos.records import Setup
from app.backend.engines.scripted import ScriptedEngine
from app.backend.events import Done
from app.backend.pipelines.registry import create_registry
from app.backend.records import Side
from app.backend.service import Backend, Question
from app.backend.storage.database import Database
from app.backend.types import Principal
from app.server import create_app
from app.ui.pages.admin import Admin, Asked
from app.ui.pages.compare import Comparing
from app.ui.render import Renderer
from tests.api.house import a_page, on_loopback
from tests.asking import answer, chat
from tests.doubles import Shelf, settings
from tests.engines.vllm_double import FakeServer, serving, well
from tests.fault.house import until
from tests.several_engines import built, models, otherwise, told, two

pytestmark = pytest.mark.anyio


async def test_over_http_a_side_names_its_engine_and_every_export_tells_it(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(otherwise, model="big")
    async with serving(main, large):
        backend = built(tmp_path, main, large)
        app = create_app(settings(tmp_path), backend=backend, mount=a_page)
        async with on_loopback(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as guest:
            await until(lambda: told(backend))
            ready = await guest.get("/readyz")
            assert (ready.status_code, set(ready.json()) & {"large", "gone"}) == (200, set())
            sides = [{"pipeline": "direct"}, {"pipeline": "direct", "engine": "large"}]
            asked = await guest.post("/api/compare", json={"question": "What is it?", "sides": sides})
            ticket = asked.json()
            for generation in ticket["generation_ids"]:
                await guest.get(f"/api/generations/{generation}/events")
            shown = (await guest.get(f"/api/comparisons/{ticket['comparison_id']}")).json()
            assert [column["generation"]["engine"] for column in shown["columns"]] == ["", "large"]
            rows = {row["name"]: row["values"] for row in shown["params"] if row["differs"]}
            assert (rows["engine"], rows["model"]) == (["main", "large"], ["tiny", "big"])
            assert all(column["engine_s"] > 0 for column in shown["columns"])
            kept = await guest.get(f"/api/comparisons/{ticket['comparison_id']}/export?format=md")
            assert "| engine | main | large |" in kept.text
            refused = await guest.post("/api/compare", json={"question": "?", "sides": [*sides, {"engine": "huge"}]})
            assert (refused.status_code, "large" in refused.json()["error"]["message"]) == (404, True)
            talk = (await guest.post("/api/conversations")).json()["id"]
            body = {"question": "What?", "pipeline": "direct", "engine": "large"}
            generation = (await guest.post(f"/api/conversations/{talk}/ask", json=body)).json()["generation_id"]
            await guest.get(f"/api/generations/{generation}/events")
            assert "engine large" in (await guest.get(f"/api/conversations/{talk}/export?format=md")).text


async def test_a_batch_and_a_demo_keep_the_engine_of_each_side(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(otherwise, model="big")
    sides = (Side("direct"), Side("direct", engine="large"))
    async with two(tmp_path, main, large) as backend:
        batch = await backend.batches.begin("ann", "two.txt", "Who?\nWhere?", sides)
        async with asyncio.timeout(60):
            while (batch := await backend.batches.get("ann", batch.id)).state == "running":
                await asyncio.sleep(0.02)
        assert [side.engine for side in batch.sides] == ["", "large"]
        assert (models(main), models(large)) == (["tiny"] * 2, ["big"] * 2)
        demo = await backend.demos.publish("ann", Setup("towers", "Towers", sides=sides[1:]))
        asked = await backend.demos.ask("towers", backend.demos.new_visitor(), "Who?")
        (generation_id,) = asked.generation_ids
        assert isinstance((await answer(backend, generation_id, demo.runs_as))[-1].event, Done)
        assert models(large) == ["big"] * 3


async def test_metrics_and_the_operators_page_show_every_engine(tmp_path: Path) -> None:
    backend = built(tmp_path, FakeServer(well), FakeServer(well))
    create_app(settings(tmp_path), backend=backend, mount=a_page)
    told = backend.telemetry.render().decode()
    assert all(
        f'colloquy_part_ready{{part="{part}"}} 0.0' in told for part in ("engine", "engine large", "engine gone")
    )
    page = await Admin(backend, Renderer(backend.pipelines()), True)._now(Asked(Principal("ann", "admin"), "en"))
    assert [f'data-testid="engine-{name}"' in page for name in ("large", "gone", "main")] == [True, True, False]


async def test_metrics_of_engine_servers_are_passed_on_and_a_bad_one_costs_only_its_own(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(well)
    running = '# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name="tiny"} %d\n'
    main.metrics = (
        running % 3 + "# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total 7.0\nprocess_open_fds 9.0\n"
    )
    async with two(tmp_path, main, large) as backend:
        for second, passed_on in ((running % 4, True), ("<html>{ no metrics", False)):
            large.metrics = second
            told = (await backend.metrics()).decode()
            [one, other] = (f'server="{server.url.removeprefix("http://")}"' for server in (main, large))
            assert f'vllm:num_requests_running{{model_name="tiny",{one}}} 3.0' in told
            assert f"vllm:prompt_tokens_total{{{one}}} 7.0" in told
            assert (f'vllm:num_requests_running{{model_name="tiny",{other}}} 4.0' in told) == passed_on
            assert told.count("# TYPE vllm:num_requests_running ") == 1
            assert f"process_open_fds{{{one}}}" not in told


async def test_an_engine_is_picked_where_there_are_several(tmp_path: Path) -> None:
    chosen, registry = settings(tmp_path), create_registry(settings(tmp_path))
    for named in ({}, {"large": ScriptedEngine(model="big")}):
        database = Database(tmp_path / "colloquy.db")
        backend = Backend(chosen, database, ScriptedEngine(), Shelf(), registry, named=named)
        await backend.open()
        page = await Comparing(backend, Renderer(backend.pipelines()), {}).page("ann", "en", "1", chosen.server)
        assert page.count('data-testid="engine-picker"') == len(named)
        assert ('<option value="large"><b>large</b><small>big</small></option>' in page) == bool(named)
        await backend.aclose()


async def test_answers_from_before_engines_were_metered_keep_the_cost_that_was_told_then(tmp_path: Path) -> None:
    def running() -> Backend:
        chosen = settings(tmp_path)
        database, registry = Database(tmp_path / "colloquy.db"), create_registry(chosen)
        return Backend(chosen, database, ScriptedEngine(tokens_per_s=0), Shelf(), registry)

    backend = running()
    await backend.open()
    await backend.start()
    ticket = await backend.ask("ann", await chat(backend), Question("What is it?", "naive"))
    await answer(backend, ticket.generation_id)
    await backend.aclose()
    stages = {
        "queue": 900,
        "retrieve": 50,
        "rewrite": 200,
        "first_token": 300,
        "decode": 500,
        "ttft": 550,
        "total": 2000,
    }
    with sqlite3.connect(tmp_path / "colloquy.db") as db:  # as it was before
        db.execute("DELETE FROM timings")
        db.executemany("INSERT INTO timings VALUES (?, ?, ?)", [(ticket.generation_id, *one) for one in stages.items()])
        db.execute("ALTER TABLE generations DROP COLUMN engine")
        db.execute("ALTER TABLE generations DROP COLUMN engine_ms")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm012_engines'")
    backend = running()
    await backend.open()
    told = await backend.generation("ann", ticket.generation_id)
    assert (told.engine, told.usage.engine_ms) == ("", 1000.0)
    await backend.aclose()
