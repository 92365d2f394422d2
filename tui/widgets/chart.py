"""The chart: curves over steps, redrawn when told to, sending to the terminal only the rows that changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from finetty.tui.language import _
from finetty.tui.widgets.plot import MARKS, Line, View, draw, round_up

LEAST_STEPS = 10
"""The least number of steps that a chart spans, so that the first points are not stretched over its whole width."""


class Chart(Widget, can_focus=True):
    """Draws `lines` below a legend with their newest values, or with those under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--axis",
        "chart--raw",
        "chart--smoothed",
        "chart--points",
        "chart--cursor",
    }
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        .chart--axis { color: $foreground-muted; }
        .chart--raw { color: $primary-darken-1; }
        .chart--smoothed { color: $text-primary; text-style: bold; }
        .chart--points { color: $text-warning; text-style: bold; }
        .chart--cursor { color: $text; text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move_cursor(-1)", show=False),
        Binding("right", "move_cursor(1)", show=False),
        Binding("home", "move_cursor(-100000)", show=False),
        Binding("end", "no_cursor", show=False),
        Binding("escape", "no_cursor", show=False),
    ]

    log_scale: reactive[bool] = reactive(False)
    ascii_only: reactive[bool] = reactive(False)
    cursor: reactive[float | None] = reactive(None)
    """The step under the cursor, None where the newest values are read."""

    def __init__(self, widget_id: str, *, empty: str = "") -> None:
        """`empty` stands in place of the curves until there is a point."""
        super().__init__(id=widget_id)
        self.lines: Sequence[Line] = ()
        self.empty = empty
        self._strips: list[Strip] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these curves from now on."""
        self.lines = lines
        self.redraw()

    def redraw(self) -> None:
        """Look at the curves again and repaint the cells that are different."""
        width, height = self.size
        if not width or not height:
            return
        fresh = self._drawn(width, height)
        stale = self._strips if len(self._strips) == height else [Strip.blank(0)] * height
        self._strips = fresh
        changed = [region for y in range(height) if (region := _difference(stale[y], fresh[y], y))]
        if changed:
            self.refresh(*changed)

    def span(self) -> tuple[int, int] | None:
        """The first and the last step that is drawn."""
        spans = [span for line in self.lines if (span := line.curve.span())]
        if not spans:
            return None
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        return first, roomy(max(last, first + LEAST_STEPS))

    def render_line(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def on_resize(self, _event: events.Resize) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = []
        self.redraw()

    def watch_log_scale(self) -> None:
        self.redraw()

    def watch_ascii_only(self) -> None:
        self.redraw()

    def watch_cursor(self) -> None:
        self.redraw()

    def action_move_cursor(self, columns: int) -> None:
        """Move by columns of the chart, and at least by a step, so that a held key crosses a long run."""
        span = self.span()
        if span is None:
            return
        first, last = span
        pace = max(1.0, (last - first) / max(1, self.size.width))
        here = self.cursor if self.cursor is not None else float(last)
        moved = min(max(round(here + columns * pace), first), last)
        self.cursor = None if moved >= last and columns > 0 else moved

    def action_no_cursor(self) -> None:
        self.cursor = None

    def _drawn(self, width: int, height: int) -> list[Strip]:
        span = self.span()
        if span is None:
            blank = Strip.blank(width, self.rich_style)
            text = Strip([Segment(self.empty, self._style("axis"))]).adjust_cell_length(width, self.rich_style)
            return [text if y == height // 2 else blank for y in range(height)]
        view = View(*span, self.log_scale, self.ascii_only, self.cursor)
        picture = draw(self.lines, width, height - 1, view)
        rows = [self._legend(), *(picture.row(y) for y in range(height - 1))]
        return [self._strip(row, width) for row in rows]

    def _strip(self, row: list[tuple[str, str]], width: int) -> Strip:
        return Strip([Segment(text, self._style(ink)) for text, ink in row]).adjust_cell_length(width, self.rich_style)

    def _style(self, ink: str) -> Style:
        return self.get_component_rich_style(f"chart--{ink}")

    def _legend(self) -> list[tuple[str, str]]:
        row: list[tuple[str, str]] = []
        if self.cursor is not None:
            row.append((_("step {step}").format(step=f"{self.cursor:,.0f}") + "  ", "cursor"))
        for line in reversed(self.lines):
            last = line.curve.last_step
            point = None if last is None else line.curve.nearest(last if self.cursor is None else self.cursor)
            value = "-" if point is None or math.isnan(point[1]) else _short(point[1])
            row.append((f"{MARKS[line.ink][1 if self.ascii_only else 0]} {line.name} {value}", line.ink))
            row.append(("   ", "axis"))
        if self.log_scale:
            row.append((_("log"), "axis"))
        return row


def roomy(last: int) -> int:
    """The step at the right edge: a little beyond the last one, so that the next ones leave all others in place."""
    step = max(1, round(round_up(last / 20)))
    return -(-last // step) * step


def _difference(stale: Strip, fresh: Strip, y: int) -> Region | None:
    """The cells of a row from the first to the last that is different; None where the rows are the same."""
    if stale == fresh:
        return None
    before, after = _cells(stale), _cells(fresh)
    if len(before) != len(after):
        return Region(0, y, len(after), 1)
    different = [x for x, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return Region(different[0], y, different[-1] - different[0] + 1, 1) if different else None


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """Each cell with its style; a blank shows its style where that is reversed, and a wide character's end is empty."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _control in strip:
        for character in text:
            cells.append((character, None if character == " " and not (style and style.reverse) else style))
            cells += [("", style)] * (cell_len(character) - 1)
    return cells


def _short(value: float) -> str:
    """Four digits that count: 1.234, 0.01234, 2.0e-5, 1234."""
    if value and abs(value) < 1e-3:
        return f"{value:.2e}".replace("e-0", "e-")
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
