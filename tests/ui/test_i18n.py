"""Both languages say everything."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from app.backend.pipelines.registry import PIPELINES, Registry
from app.ui import i18n

UI = Path(i18n.__file__).parent
ASSETS = UI.parent.parent / "assets"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_no_string_is_missing_in_a_language() -> None:
    english = i18n.STRINGS["en"]
    for lang in i18n.LANGUAGES:
        assert i18n.STRINGS[lang].keys() == english.keys()
        for key, text in i18n.STRINGS[lang].items():
            assert text.strip(), key
            assert placeholders(text) == placeholders(english[key]), key


def test_chinese_is_chinese() -> None:
    same = {"top.language", "top.export_md", "top.export_json", "degraded.and"}
    for key, text in i18n.STRINGS["zh"].items():
        assert key in same or re.search(r"[\u4e00-\u9fff]", text), key


FILES = {path.name for path in ASSETS.iterdir()}


def used_keys() -> set[str]:
    found: set[str] = set()
    for path in (*UI.rglob("*.html"), *UI.rglob("*.py"), *ASSETS.glob("*.js")):
        if path.parent.name != "strings":
            found |= set(re.findall(r"""["']([a-z]+\.[a-z_]+)["']""", path.read_text(encoding="utf-8")))
    prefixes = {key.split(".")[0] for key in i18n.STRINGS["en"]}
    return {key for key in found if key.split(".")[0] in prefixes}


def test_what_is_said_of_methods_in_chinese_is_of_methods_that_there_are() -> None:
    known = i18n.METHODS["zh"]
    assert {key.removeprefix("summary.") for key in known if key.startswith("summary.")} <= PIPELINES.keys()
    assert all(re.search(r"[\u4e00-\u9fff]", text) for text in known.values())


def test_every_method_and_every_parameter_is_explained_in_chinese() -> None:
    known = i18n.METHODS["zh"]
    for info in Registry(PIPELINES, {}).infos():
        assert f"summary.{info.name}" in known
        assert {f"help.{param.name}" for param in info.params} - known.keys() == set(), info.name


def test_every_string_that_is_used_exists() -> None:
    assert used_keys() - i18n.STRINGS["en"].keys() - FILES == set()


def test_every_string_is_used() -> None:
    built = ("error.", "wrong.", "status.", "queue.", "degraded.", "time.", "engine.", "trace.", "tune.")
    built += ("age.", "backup.", "deed.", "lane.", "quota.", "role.", "stage.", "view.")  # the operators' page
    built += ("place.", "cmp.", "tag.", "setting.")  # the page that compares
    built += ("arena.",)  # the leaderboard
    built += ("batch.", "metric.")  # batches
    built += ("share.", "shared.")  # links
    built += ("state.", "phase.")  # demos
    built += ("family.", "step.")  # what methods say of themselves
    unused = {key for key in i18n.STRINGS["en"] if not key.startswith(built)} - used_keys()
    assert {key for key in unused if key.removesuffix("_one") not in used_keys()} == set()


def test_one_of_a_kind_is_said_in_the_singular_and_counts_are_written_alike() -> None:
    assert [i18n.text("en", "demos.visitors", n=n) for n in (0, 1, 1108)] == [
        "0 visitors",
        "1 visitor",
        "1,108 visitors",
    ]
    assert i18n.text("en", "time.tokens", read=1108, n=1) == "1,108 tokens read, 1 written"
    assert i18n.text("zh", "turn.sources_read", n=12, read=3) == "12 个来源，已读 3 个"


def test_whatever_has_a_singular_has_a_plural() -> None:
    for key in i18n.STRINGS["en"]:
        if key.endswith("_one") and key != "cmp.stop_one":
            assert key.removesuffix("_one") in i18n.STRINGS["en"], key


@pytest.mark.parametrize(
    ("wanted", "accept", "default", "expected"),
    [
        ("zh", "en", "auto", "zh"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "auto", "zh"),
        (None, "en-GB,en;q=0.9,zh;q=0.8", "auto", "en"),
        (None, "fr", "auto", "en"),
        (None, "en", "zh", "zh"),
        ("<script>", "en", "auto", "en"),
    ],
)
def test_the_language_is_the_users_then_the_sites_then_the_browsers(
    wanted: str | None, accept: str, default: str, expected: str
) -> None:
    assert i18n.pick(wanted, accept, default) == expected


@pytest.mark.parametrize(
    ("ms", "text"), [(0.4, "0 ms"), (87, "87 ms"), (2400, "2.4 s"), (35_000, "35 s"), (180_000, "3 min")]
)
def test_times_are_written_as_people_say_them(ms: float, text: str) -> None:
    assert i18n.duration("en", ms) == text
