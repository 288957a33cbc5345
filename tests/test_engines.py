"""Several engines: a question or a column may name one, and whatever happens to it happens there alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.backend.demos.records import Setup
from app.backend.engines import create_engine, create_served
from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import NotFound
from app.backend.events import Done, Started, Stopped, Token
from app.backend.pipelines.registry import create_registry
from app.backend.records import Comparison, Side
from app.backend.service import Backend, Question
from app.backend.storage.database import Database
from app.backend.types import Principal
from app.server import create_app
from app.ui.pages.admin import Admin, Asked
from app.ui.pages.compare import Comparing
from app.ui.render import Renderer
from tests.api.house import a_page, on_loopback
from tests.asking import answer, ask, chat
from tests.doubles import Shelf, settings
from tests.engines.vllm_double import FakeServer, chunk, serving, silent_after_one, well
from tests.fault.house import until

pytestmark = pytest.mark.anyio

NOBODY = "http://127.0.0.1:9"


async def otherwise(server: FakeServer) -> AsyncIterator[str]:
    yield chunk("A lighthouse.")
    yield chunk("", "stop")
    yield "[DONE]"


def built(folder: Path, main: FakeServer, large: FakeServer, **groups: dict[str, object]) -> Backend:
    """A backend whose main engine is one server and whose engine `large` another; behind `gone` is nobody."""
    engines = {
        "large": {"urls": [large.url], "api_key": large.key or None},
        "gone": {"urls": [NOBODY], "start_expected_s": 0.001},
    }
    chosen = settings(folder, engine={"kind": "openai", "urls": [main.url]}, engines=engines, **groups)
    database, registry = Database(folder / "colloquy.db"), create_registry(chosen)
    return Backend(chosen, database, create_engine(chosen), Shelf(), registry, named=create_served(chosen.engines))


def told(backend: Backend) -> bool:
    """Whether it is known of every engine how it is."""
    return [info.health.state for info in backend.engines()] == ["ready", "ready", "down"]


@asynccontextmanager
async def two(folder: Path, main: FakeServer, large: FakeServer, **groups: dict[str, object]) -> AsyncIterator[Backend]:
    """As `built`, open and started."""
    async with serving(main, large):
        backend = built(folder, main, large, **groups)
        await backend.open()
        await backend.start()
        await until(lambda: told(backend))
        try:
            yield backend
        finally:
            await backend.aclose()


async def compared(backend: Backend, *sides: Side) -> Comparison:
    ticket = await backend.comparisons.begin("ann", "What is it?", sides)
    await asyncio.gather(*(answer(backend, generation) for generation in ticket.generation_ids))
    return await backend.comparisons.get("ann", ticket.comparison_id)


def models(server: FakeServer) -> Sequence[object]:
    return [request["model"] for request in server.requests]


async def test_a_question_is_answered_by_the_engine_it_names_which_is_written_down(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(otherwise, key="k2", model="big")
    async with two(tmp_path, main, large, server={"host": "0.0.0.0", "allow_guests": True}) as backend:
        done = (await ask(backend, "What is it?", pipeline="direct", engine="large"))[-1].event
        assert isinstance(done, Done)
        assert (done.answer, done.usage.engine_calls, done.usage.engine_ms > 0) == ("A lighthouse.", 1, True)
        assert (models(main), models(large)) == ([], ["big"])
        assert large.requests[0]["cache_salt"]
        (line,) = await backend.conversations("ann")
        (turn,) = (await backend.conversation("ann", line.id)).turns
        assert (turn.chosen.engine, turn.chosen.model) == ("large", "big")
        again = await backend.regenerate("ann", turn.chosen.id)
        await answer(backend, again.generation_id)
        assert (await backend.generation("ann", again.generation_id)).engine == "large"
        shared = await backend.shares.publish("ann", line.id)
        (shown,) = (await backend.shares.opened(shared.token)).snapshot.answers()
        assert (shown.engine, shown.model) == ("large", "big")
        copied = await backend.conversation("bob", await backend.shares.fork(shared.token, "bob"))
        assert copied.turns[0].chosen.engine == "large"


async def test_columns_on_two_engines_are_two_contenders_and_one_is_run_again_where_it_was(tmp_path: Path) -> None:
    main, large = FakeServer(well), FakeServer(otherwise, model="big")
    async with two(tmp_path, main, large) as backend:
        made = await compared(backend, Side("naive"), Side("naive", engine="large"))
        assert [column.generation.answer for column in made.columns] == ["A tower.", "A lighthouse."]
        assert (models(main), models(large)) == (["tiny"], ["big"])
        vote = (await backend.comparisons.vote("ann", made.id, "b")).vote
        assert vote is not None
        assert (vote.counted, vote.why_not) == (True, "")
        ticket = await backend.comparisons.again("ann", made.id, "b")
        await answer(backend, ticket.generation_id)
        assert (models(main), models(large)) == (["tiny"], ["big", "big"])


async def test_before_the_vote_a_blind_comparison_does_not_tell_its_engines(tmp_path: Path) -> None:
    async with two(tmp_path, FakeServer(well), FakeServer(otherwise, model="big")) as backend:
        sides = [Side("direct"), Side("direct", engine="large")]
        ticket = await backend.comparisons.begin("ann", "What is it?", sides, blind=True)
        await asyncio.gather(*(answer(backend, generation) for generation in ticket.generation_ids))
        hidden = await backend.comparisons.get("ann", ticket.comparison_id)
        assert {(c.generation.engine, c.generation.model, c.generation.usage.engine_ms) for c in hidden.columns} == {
            ("", "", 0.0)
        }
        shown = await backend.comparisons.vote("ann", ticket.comparison_id, "tie")
        assert {column.generation.engine for column in shown.columns} == {"", "large"}


async def test_an_engine_that_cannot_be_reached_fails_its_own_column_with_a_sentence(tmp_path: Path) -> None:
    async with two(tmp_path, FakeServer(well), FakeServer(otherwise, model="big")) as backend:
        made = await compared(backend, Side("direct"), Side("direct", engine="gone"), Side("direct", engine="large"))
        assert [column.generation.status for column in made.columns] == ["done", "failed", "done"]
        failed = made.columns[1].generation
        assert failed.error_code == "unavailable"
        assert failed.error_message.startswith(
            "The engine gone cannot be used now. The engine's server does not answer"
        )
        assert backend.engine_health().state == "ready"


async def test_a_named_engine_that_dies_in_an_answer_ends_that_answer_alone(tmp_path: Path) -> None:
    large = FakeServer(silent_after_one, model="big")
    async with two(tmp_path, FakeServer(well), large, generation={"stall_s": 0.3}) as backend:
        made = await compared(backend, Side("direct"), Side("direct", engine="large"))
        assert [column.generation.status for column in made.columns] == ["done", "failed"]
        assert made.columns[1].generation.answer == "A "


async def test_a_stop_goes_through_to_the_engine_that_was_named(tmp_path: Path) -> None:
    large = FakeServer(silent_after_one, model="big")
    async with two(tmp_path, FakeServer(well), large) as backend:
        ticket = await backend.ask("ann", await chat(backend), Question("Who?", "direct", engine="large"))
        events = backend.events("ann", ticket.generation_id)
        while not isinstance((await anext(events)).event, Token):
            pass
        await backend.stop("ann", ticket.generation_id)
        assert isinstance([r async for r in events][-1].event, Stopped)
        await asyncio.wait_for(large.hang_up.wait(), 30)


async def test_an_unknown_engine_is_refused_with_those_there_are_and_nothing_is_stored(tmp_path: Path) -> None:
    async with two(tmp_path, FakeServer(well), FakeServer(well)) as backend:
        with pytest.raises(NotFound, match="'huge'; name large or gone, or none for the main one"):
            await compared(backend, Side("direct"), Side("direct", engine="huge"))
        assert await backend.conversations("ann") == ()


async def test_a_question_for_an_engine_that_starts_waits_for_it(tmp_path: Path) -> None:
    gate = asyncio.Event()
    late = ScriptedEngine([["There."]], tokens_per_s=0, gate=gate)
    chosen, registry = settings(tmp_path), create_registry(settings(tmp_path))
    backend = Backend(
        chosen, Database(tmp_path / "colloquy.db"), ScriptedEngine(), Shelf(), registry, named={"late": late}
    )
    await backend.open()
    await backend.start()
    try:
        ticket = await backend.ask("ann", await chat(backend), Question("Who?", "direct", engine="late"))
        events = backend.events("ann", ticket.generation_id)
        while not isinstance((await anext(events)).event, Started):
            pass
        gate.set()
        assert [r.event.answer async for r in events if isinstance(r.event, Done)] == ["There."]
    finally:
        await backend.aclose()


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
