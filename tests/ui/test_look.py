"""The look: readable contrast in light and dark, system fonts, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.settings import ASSETS
from app.ui import render

TEMPLATES = Path(render.__file__).parent / "templates"
CSS = (ASSETS / "style.css").read_text(encoding="utf-8")
TEXT = [(ink, ground) for ink in ("ink", "soft", "faint") for ground in ("paper", "surface", "sunk", "hover")]
PAIRS = [
    *TEXT,
    *[("accent", ground) for ground in ("paper", "surface", "sunk", "accent-soft")],
    *[
        ("on-accent", "accent"),
        ("warn-ink", "warn"),
        ("danger", "paper"),
        ("danger", "surface"),
        ("ink", "mark"),
        ("ink", "mark-strong"),
    ],
    ("paper", "ink"),
]


def variables(theme: str) -> dict[str, str]:
    light, dark = re.findall(r"^(?::root|\[data-theme=\"dark\"\]) \{(.*?)^\}", CSS, re.MULTILINE | re.DOTALL)[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", light))
    return found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", dark)) if theme == "dark" else found


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_has_the_contrast_of_wcag_aa(theme: str, ink: str, ground: str) -> None:
    colours = variables(theme)
    low, high = sorted((luminance(colours[ink]), luminance(colours[ground])))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in (*ASSETS.glob("*.css"), *ASSETS.glob("*.js"), *ASSETS.glob("*.svg")):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://|@import|@font-face|url\((?!\"data:)", text) == [], path.name


def parts(template: Path) -> set[str]:
    """The templates that a page is put together from."""
    named = re.findall(r'{% (?:include|extends) "([^"]+)"', template.read_text(encoding="utf-8"))
    return {template.name}.union(*(parts(TEMPLATES / name) for name in named))


def test_every_page_looks_as_the_system_does_by_the_same_script() -> None:
    pages = [
        path
        for path in TEMPLATES.glob("*.html")
        if "<body" in "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in parts(path))
    ]
    assert len(pages) > 10
    assert [page.name for page in pages if "theme.html" not in parts(page)] == []
    elsewhere = [
        path.name
        for path in (*TEMPLATES.iterdir(), *ASSETS.glob("*.js"))
        if "prefers-color" in path.read_text(encoding="utf-8")
    ]
    assert elsewhere == ["theme.html"]
