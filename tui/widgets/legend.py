"""The lines over a chart that name its curves, with their newest values or those under the cursor."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from finetty.tui.language import _
from finetty.tui.text import duration, short_count
from finetty.tui.widgets.axis import Measure
from finetty.tui.widgets.plot import LETTERS, Ink, Line, View

Row = list[tuple[str, Ink]]
CELLS_OF_A_NAME = 28
BETWEEN = 3
"""How many cells lie between two items."""


def legend(lines: Sequence[Line], view: View, words: str, width: int) -> list[Row]:
    """The run's own curves with `words` behind them, then other runs: as many a row as there is room for."""
    place: Row = [] if view.cursor is None else [(place_words(view.cursor, view.measure), "cursor")]
    own = [_item(line, view, line.name) for line in reversed(lines) if line.ink not in LETTERS]
    of_others = [
        [part for line in lines if line.ink == ink for part in _item(line, view, _fitting(line))] for ink in LETTERS
    ]
    return [*_flowing([place, *own, [(words, "axis")]], width), *_flowing(of_others, width)]


def _flowing(items: Sequence[Row], width: int) -> list[Row]:
    """Items beside one another, in a new row where there is no more room; empty ones are left out."""
    rows: list[Row] = []
    for item in items:
        if not _length(item):
            continue
        if rows and _length(rows[-1]) + BETWEEN + _length(item) <= width:
            rows[-1] += [(" " * BETWEEN, "axis"), *item]
        else:
            rows.append([*item])
    return rows


def place_words(place: float, measure: Measure) -> str:
    """A place of the x axis in words: step 120, 1.2M tokens, 2h 05m."""
    if measure == "step":
        return _("step {step}").format(step=f"{place:,.0f}")
    return duration(place / 1000) if measure == "time" else _("{count} tokens").format(count=short_count(round(place)))


def _item(line: Line, view: View, name: str) -> Row:
    """Of another run's held-out loss only the mark and the value: it stands behind the run's name."""
    value = line.value(view.cursor, view.measure)
    figure = "-" if value is None or math.isnan(value) else short(value)
    parts = [line.mark(ascii_only=view.ascii_only), name, figure]
    behind: Row = [("  ", line.ink)] if line.scattered and line.ink in LETTERS else []
    return [*behind, (" ".join(part for part in parts if part), line.ink)]


def _fitting(line: Line) -> str:
    if line.scattered:
        return ""
    return line.name if cell_len(line.name) <= CELLS_OF_A_NAME else set_cell_size(line.name, CELLS_OF_A_NAME).rstrip()


def _length(row: Row) -> int:
    return sum(cell_len(text) for text, _ink in row)


def short(value: float) -> str:
    """Four digits that count: 1.234, 0.01234, 2.0e-5, 1234."""
    if value and abs(value) < 1e-3:
        return f"{value:.2e}".replace("e-0", "e-")
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
