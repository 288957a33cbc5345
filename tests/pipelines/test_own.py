"""Methods of the user's own: what the page in the docs shows runs, and each mistake in a file is one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.backend.errors import BadInput
from app.backend.events import Done, Searched, Step, Thought
from app.backend.pipelines.registry import create_registry
from app.backend.protocols import Tools
from app.backend.types import Exchange, Query
from app.configuration import load
from app.settings import Settings
from tests.pipelines.doubles import Shelf, engine

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
MINIMAL = """
from app.backend.events import Done
from app.backend.pipelines.params import Entry, GenerationParams

async def run(query, tools):
    yield Done("mine")

ENTRY = Entry("basic", "Mine", "Says so.", "", False, GenerationParams, run)
"""


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "mine.py").write_text(text, encoding="utf-8")
        return tmp_path / "mine.py"

    return write


async def test_the_method_of_the_docs_runs_as_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keywords.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "colloquy.yaml").write_text(block("yaml"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    registry = create_registry(load(profile="scripted"))
    info = registry.info("keywords")
    assert (info.family, info.title) == ("own", "Key words")
    with pytest.raises(BadInput, match="keyword_num must be a whole number from 1 to 20"):
        registry.validate("keywords", {"keyword_num": 0})
    query = Query("Who explained the tides?", "demo", (), registry.validate("keywords", {"keyword_num": 2}))
    scripted = await engine(["tides Moon"], ["Newton did [1]."])
    shelf = Shelf()
    events = [event async for event in registry.run("keywords", query, Tools(scripted, shelf, "g1"))]
    assert "Name the 2 key words" in str(scripted.calls[0].messages[0].content)
    assert [text for text, *_ in shelf.searches] == ["tides Moon"]
    assert Thought("tides Moon") in events
    assert Searched("tides Moon") in events
    assert isinstance(events[-1], Done)
    assert events[-1].answer == "Newton did [1]."
    assert events[-1].citations


async def test_a_follow_up_question_stands_alone_before_an_own_method_runs(file: Callable[[str], Path]) -> None:
    path = file(block("python"))
    registry = create_registry(Settings(pipelines={"keywords": path}))
    history = (Exchange("Who explained the tides?", "Newton did."),)
    query = Query("When did he?", "demo", history, registry.validate("keywords", {}))
    scripted = await engine(["When did Newton explain the tides?"], [""], ["In 1687 [1]."])
    shelf = Shelf()
    events = [event async for event in registry.run("keywords", query, Tools(scripted, shelf, "g1"))]
    assert events[0] == Step("rewrite")
    assert scripted.calls[1].messages[-1].content == "When did Newton explain the tides?"
    assert [text for text, *_ in shelf.searches] == ["When did Newton explain the tides?"]
    assert scripted.calls[2].messages[-1].content.endswith("When did he?")


def test_the_printed_method_has_the_lines_that_the_docs_say() -> None:
    lines = block("python").split("class KeywordParams")[1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 30


def test_an_own_method_is_in_its_own_family_whatever_it_says(file: Callable[[str], Path]) -> None:
    assert create_registry(Settings(pipelines={"mine": file(MINIMAL)})).info("mine").family == "own"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "Not A Name",
            MINIMAL,
            "The pipeline name 'Not A Name' must be lower-case letters, digits and single hyphens.",
        ),
        ("naive", MINIMAL, "The pipeline name 'naive' is taken by a method that comes with Colloquy; choose another."),
        ("mine", "x = (", "The pipeline file {} has a syntax error in line 1: '(' was never closed."),
        ("mine", "import math\n\n1 / 0", "The pipeline file {} fails in line 3: ZeroDivisionError: division by zero."),
        (
            "mine",
            "import nowhere",
            "The pipeline file {} fails in line 1: ModuleNotFoundError: No module named 'nowhere'.",
        ),
        ("mine", "raise SystemExit(3)", "The pipeline file {} fails in line 1: SystemExit: 3."),
        ("mine", "x = 1", "The pipeline file {} must define ENTRY = Entry(...); docs/methods.md shows a whole one."),
        (
            "mine",
            MINIMAL.replace('yield Done("mine")', "pass"),
            "The pipeline file {} must give ENTRY a run that is an `async def` with `yield`.",
        ),
        (
            "mine",
            MINIMAL.replace("False, GenerationParams", "False, dict"),
            "The pipeline file {} must give ENTRY params that extend GenerationParams.",
        ),
    ],
)
def test_each_mistake_is_one_sentence(file: Callable[[str], Path], name: str, text: str, sentence: str) -> None:
    path = file(text)
    with pytest.raises(BadInput) as refused:
        create_registry(Settings(pipelines={name: path}))
    assert refused.value.message == sentence.replace("{}", str(path))


def test_a_file_that_is_not_there_or_not_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"names the file .*gone\.py, which does not exist"):
        create_registry(Settings(pipelines={"mine": tmp_path / "gone.py"}))
    (tmp_path / "mine.txt").write_text(MINIMAL, encoding="utf-8")
    with pytest.raises(BadInput, match=r"mine\.txt must be a Python file"):
        create_registry(Settings(pipelines={"mine": tmp_path / "mine.txt"}))


@pytest.mark.parametrize("wrong", ["mine.py", "{mine: 3}", "{mine: }"])
def test_settings_that_name_no_files_are_refused_with_an_example(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "c.yaml").write_text(f"pipelines: {wrong}", encoding="utf-8")
    with pytest.raises(
        BadInput, match=r"^pipelines \(from c\.yaml\) must name files, such as `pipelines: \{mine: mine"
    ):
        load(profile="scripted", config=tmp_path / "c.yaml")


def test_a_default_out_of_range_is_refused_at_the_start(file: Callable[[str], Path]) -> None:
    text = MINIMAL.replace("ENTRY =", "class P(GenerationParams):\n    max_tokens: int = 'many'\n\nENTRY =")
    with pytest.raises(BadInput, match="max_tokens must be"):
        create_registry(Settings(pipelines={"mine": file(text.replace("False, GenerationParams", "False, P"))}))
