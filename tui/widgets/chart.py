"""The chart: curves over steps, tokens or time, zoomed and panned, sending to the terminal only cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from finetty.tui.actions import bindings
from finetty.tui.language import _
from finetty.tui.widgets.axis import LEAST, Measure
from finetty.tui.widgets.figures import ascii_only
from finetty.tui.widgets.legend import Row, legend
from finetty.tui.widgets.plot import LETTERS, Line, Picture, View, draw
from finetty.tui.widgets.window import Span, Window, holding, panned, seen, zoomed

MEASURES: tuple[Measure, ...] = ("step", "tokens", "time")


@dataclass(frozen=True)
class Look:
    """How a chart is looked at: along which measure, at which part of it, and which place is read.

    Without a `window` the whole is in sight, without a `cursor` the newest values are read.
    """

    measure: Measure = "step"
    window: Window | None = None
    cursor: float | None = None
    log: bool = False


class Chart(Widget, can_focus=True):
    """Draws `lines` below a legend with their newest values, or with those under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chart--{ink}" for ink in ("axis", "active", "raw", "smoothed", "points", "cursor", *LETTERS)
    }
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        .chart--axis { color: $foreground-muted; }
        .chart--active { color: $text; }
        .chart--raw { color: $primary-darken-1; }
        .chart--smoothed { color: $text-primary; text-style: bold; }
        .chart--points { color: $text-warning; text-style: bold; }
        .chart--cursor { color: $text; text-style: reverse; }
        .chart--b { color: $text-success; }
        .chart--c { color: $text-error; }
        .chart--d { color: $text-secondary; }
        .chart--e { color: $text-accent; }
        .chart--f { color: $text; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("chart")

    # Its watcher repaints the cells that change; Textual itself would send the whole chart for each key.
    look: reactive[Look] = reactive(Look(), repaint=False)

    class Looked(Message):
        """The chart is looked at in another way."""

        def __init__(self, chart: Chart, look: Look) -> None:
            super().__init__()
            self.chart, self.look = chart, look

    def __init__(self, widget_id: str, *, empty: str = "") -> None:
        """`empty` stands in place of the curves until there is a point."""
        super().__init__(id=widget_id)
        self.lines: Sequence[Line] = ()
        self.empty, self.ascii_only = empty, ascii_only()
        self._strips: list[Strip] = []
        self._picture: Picture | None = None

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these curves from now on."""
        self.lines = lines
        self.redraw()

    def redraw(self) -> None:
        """Look at the curves again and repaint the cells that are different."""
        width, height = self.size
        if not width or not height:
            return
        above, picture = self._drawn(width, height)
        stale, before = self._strips, self._picture
        fresh = [self._strip(row, width) for row in above]
        if len(stale) != height or before is None or picture.height != before.height or picture.width != before.width:
            changes = [(y, 0, width) for y in range(picture.height)]
            stale = [Strip.blank(0)] * height
        else:
            changes = picture.changes(before)
        changed = [region for y in range(len(fresh)) if (region := _difference(stale[y], fresh[y], y))]
        changed += [Region(x, len(fresh) + y, cells, 1) for y, x, cells in changes]
        fresh += stale[len(fresh) :]
        for y, _x, _cells_of_it in changes:
            fresh[len(above) + y] = self._row(picture, y)
        self._strips, self._picture = fresh, picture
        if changed:
            self.refresh(*changed)

    @property
    def whole(self) -> Span | None:
        """From the first to the newest point along the measure."""
        spans = [span for line in self.lines if (span := line.span(self.look.measure))]
        return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None

    def span(self) -> Span | None:
        """From where to where is drawn."""
        return None if self.whole is None else seen(self.look.window, self.whole, LEAST[self.look.measure])

    def render_line(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def on_resize(self, _event: events.Resize) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = []
        self.redraw()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Only the axis shows it. Textual would work out all styles anew."""
        picture = self._picture
        if picture is not None and len(self._strips) > picture.height:
            above = len(self._strips) - picture.height
            self._strips[above:] = [self._row(picture, y) for y in range(picture.height)]
            self.refresh()

    def watch_look(self) -> None:
        self.redraw()
        self.post_message(self.Looked(self, self.look))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where there is nothing to let go of, Esc means what it means to the screen."""
        return action != "let_go" or self.look.cursor is not None or self.look.window is not None

    def action_cursor_left(self) -> None:
        self._move_cursor(-1)

    def action_cursor_right(self) -> None:
        self._move_cursor(1)

    def action_cursor_first(self) -> None:
        if self.whole:
            self._put_cursor(self.whole[0])

    def action_no_cursor(self) -> None:
        self.look = replace(self.look, cursor=None)

    def action_let_go(self) -> None:
        if self.look.cursor is not None:
            self.action_no_cursor()
        else:
            self.action_show_all()

    def action_zoom_in(self) -> None:
        self._zoom(0.5)

    def action_zoom_out(self) -> None:
        self._zoom(2.0)

    def action_show_all(self) -> None:
        self.look = replace(self.look, window=None)

    def action_pan_left(self) -> None:
        self._pan(-0.5)

    def action_pan_right(self) -> None:
        self._pan(0.5)

    def action_log_scale(self) -> None:
        self.look = replace(self.look, log=not self.look.log)

    def action_measure(self) -> None:
        """On to the next measure that any of the curves knows; a place along it is another one."""
        at = MEASURES.index(self.look.measure)
        following = (*MEASURES[at + 1 :], *MEASURES[:at])
        known = (measure for measure in following if any(line.span(measure) for line in self.lines))
        self.look = Look(next(known, self.look.measure), log=self.look.log)

    def _move_cursor(self, columns: int) -> None:
        """Move by columns of the chart, and at least by a step, so that a held key crosses a long run."""
        whole, span = self.whole, self.span()
        if whole is None or span is None:
            return
        pace = max(1.0, (span[1] - span[0]) / max(1, self.size.width))
        here = whole[1] if self.look.cursor is None else self.look.cursor
        moved = min(max(round(here + columns * pace), whole[0]), whole[1])
        if moved >= whole[1] and columns > 0:
            self.action_no_cursor()
        else:
            self._put_cursor(moved)

    def _put_cursor(self, place: float) -> None:
        if self.whole:
            window = holding(self.look.window, self.whole, LEAST[self.look.measure], place)
            self.look = replace(self.look, window=window, cursor=place)

    def _zoom(self, factor: float) -> None:
        if self.whole:
            look = self.look
            window = zoomed(look.window, self.whole, LEAST[look.measure], factor, look.cursor)
            self.look = replace(look, window=window)

    def _pan(self, share: float) -> None:
        if self.whole:
            window = panned(self.look.window, self.whole, LEAST[self.look.measure], share)
            self.look = replace(self.look, window=window)

    def _drawn(self, width: int, height: int) -> tuple[Sequence[Row], Picture]:
        """The lines of text at the top, and the picture below them; without a point a line of text in the middle."""
        span = self.span()
        if span is None:
            blank: list[Row] = [[] for _ in range(height // 2)]
            return [*blank, [(self.empty, "axis")]], Picture(width, height - height // 2 - 1)
        look = self.look
        view = View(*span, look.log, self.ascii_only, look.cursor, look.measure)
        above = legend(self.lines, view, self._words(), width)[: max(1, height // 3)]
        return above, draw(self.lines, width, height - len(above), view)

    def _words(self) -> str:
        """What is special about the drawing."""
        window = self.look.window
        said = (
            _("log") if self.look.log else "",
            {"step": "", "tokens": _("by tokens"), "time": _("by time")}[self.look.measure],
            "" if window is None else _("zoomed, follows") if window.follows else _("zoomed"),
        )
        return "  ".join(one for one in said if one)

    def _strip(self, row: Sequence[tuple[str, str]], width: int) -> Strip:
        return Strip([Segment(text, self._style(ink)) for text, ink in row]).adjust_cell_length(width, self.rich_style)

    def _row(self, picture: Picture, y: int) -> Strip:
        return Strip([Segment(text, self._style(ink)) for text, ink in picture.row(y)], picture.width)

    def _style(self, ink: str) -> Style:
        ink = "active" if ink == "axis" and self.has_focus else ink
        return self.get_component_rich_style(f"chart--{ink}")


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
