"""What differs between the columns of a comparison, drawn: what they say, what they found, what they cost, how they
were made.

Invariant: only answers that have ended are compared, and only when there are at least two.
"""

from __future__ import annotations

from app.backend.comparing import compare_answers, compare_params, compare_passages
from app.backend.records import LIVE, Comparison
from app.ui import columns, i18n
from app.ui.i18n import Lang
from app.ui.render import Renderer
from app.ui.view import of_generation

FEWEST = 2


def below(renderer: Renderer, comparison: Comparison, lang: Lang) -> str:
    """What stands below the columns."""
    ended = [c for c in comparison.columns if c.generation.status not in LIVE and c.generation.answer]
    if len(ended) < FEWEST:
        return ""
    made = [column.generation for column in ended]
    said = compare_answers([(g.answer, g.citations) for g in made])
    found = compare_passages([g.passages for g in made])
    cited = [frozenset(citation.n for citation in g.citations) for g in made]
    settings = compare_params(made)

    def title(name: object) -> str:
        info = renderer.pipelines.get(str(name))
        return i18n.known(lang, f"pipeline.{name}", info.title if info else str(name))

    return renderer.page(
        "compare_below",
        lang,
        letters=[column.letter for column in ended],
        titles=[title(g.pipeline) for g in made],
        said=[(row, columns.change(row), columns.wording(row)) for row in said],
        told_said=_told(lang, "said", [columns.change(row) for row in said]),
        ranks=columns.ranks(found, cited),
        row_px=columns.ROW_PX,
        told_found=_told(lang, "found", [row.change for row in found]),
        cost=_cost(lang, [columns.figures(of_generation(g)) for g in made]),
        differing=[row for row in settings if row.differs],
        equal=[row for row in settings if not row.differs],
        pipeline_title=title,
    )


def _told(lang: Lang, what: str, changes: list[str]) -> str:
    """How many rows changed in which way, in one line."""
    counted = [(change, changes.count(change)) for change in ("same", "changed", "moved", "some", "only")]
    told = [i18n.text(lang, f"cmp.{what}_{change}", n=n) for change, n in counted if n]
    return " · ".join(told)


def _cost(lang: Lang, told: list[columns.Figures | None]) -> list[tuple[str, object, tuple[columns.Bar, ...]]]:
    """A row for each figure: its name, how to write one, and the bars."""

    def time(ms: float) -> str:
        return i18n.duration(lang, ms)

    def number(n: float) -> str:
        return i18n.number(round(n))

    rows = (
        ("cmp.first", time, [f.first_ms if f else None for f in told]),
        ("cmp.total", time, [f.total_ms if f else None for f in told]),
        ("cmp.engine", time, [f.engine_ms if f else None for f in told]),
        ("cmp.read", number, [f.read if f else None for f in told]),
        ("cmp.written", number, [f.written if f else None for f in told]),
        ("cmp.calls", number, [f.calls if f else None for f in told]),
    )
    return [(key, write, columns.bars(values)) for key, write, values in rows]
