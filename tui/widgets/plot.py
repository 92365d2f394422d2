"""Drawing curves as text: dots in braille cells or in ASCII, axes with round numbers, and which ink each cell has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetty.tui.widgets.axis import (
    Measure,
    Scale,
    log_ticks,
    number,
    place_number,
    scale_of,
    ticks,
    time_ticks,
)
from finetty.tui.widgets.curve import Columns, Curve
from finetty.tui.widgets.ruler import Ruler

Own = Literal["raw", "smoothed", "points"]
Letter = Literal["b", "c", "d", "e", "f"]
"""The ink of another run's lines: a letter that also stands on them, so that no colour is needed to tell them apart."""
Ink = Literal["axis", "cursor", "raw", "smoothed", "points", "b", "c", "d", "e", "f"]
LETTERS: tuple[Letter, ...] = ("b", "c", "d", "e", "f")
INKS: tuple[Ink, ...] = ("axis", "cursor", "raw", "smoothed", "points", *LETTERS)
_AXIS, _CURSOR = INKS.index("axis"), INKS.index("cursor")

_BRAILLE_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_BRAILLE_BLANK = 0x2800
_CELLS_BETWEEN_LETTERS = 12
_MARKS: dict[Own, tuple[str, str]] = {"raw": ("⠒", "."), "smoothed": ("━", "*"), "points": ("◆", "o")}
"""How a line of the run's own looks in the legend, in braille and in ASCII; the ASCII mark is also what draws it."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve to draw. Where lines cross, the later one is on top. `scattered` points are marks, not joined."""

    curve: Curve
    name: str
    ink: Own | Letter
    scattered: bool = False
    rulers: Mapping[Measure, Ruler] = field(default_factory=dict)
    """Where the curve's steps lie along the measures other than steps."""

    def mark(self, *, ascii_only: bool) -> str:
        """A letter is small on a line and a capital where points are marked."""
        if self.ink in _MARKS:
            return _MARKS[self.ink][ascii_only]
        return self.ink.upper() if self.scattered else self.ink

    def span(self, measure: Measure) -> tuple[float, float] | None:
        """From where to where it reaches along a measure; None without points, or where the measure is not known."""
        span = self.curve.span()
        if span is None or measure == "step":
            return span
        ruler = self.rulers.get(measure)
        if ruler is None or not ruler.known:
            return None
        first, last = ruler.places(span).tolist()
        return first, last

    def columns(self, first: float, last: float, count: int, measure: Measure) -> Columns:
        """Least and greatest value in `count` equal columns of a measure that the line has."""
        return self.curve.between(self._steps(np.linspace(first, last, count + 1), measure))

    def points(self, first: float, last: float, most: int, measure: Measure) -> tuple[list[float], NDArray[np.float32]]:
        """Places and values of the points from `first` to `last`, evenly thinned to at most `most`."""
        start, end = self._steps(np.array((first, last)), measure).tolist()
        steps, values = self.curve.points(start, end, most)
        return (steps if measure == "step" else self.rulers[measure].places(steps.astype(np.float64))).tolist(), values

    def value(self, place: float | None, measure: Measure) -> float | None:
        """The value nearest to a place, the newest without one; None where there is none, NaN in a gap."""
        span = self.span(measure)
        if span is None or (self.ink in LETTERS and place is not None and place > span[1]):
            return None
        step = self.curve.last_step if place is None else float(self._steps(np.array((place,)), measure)[0])
        nearest = None if step is None else self.curve.nearest(step)
        return None if nearest is None else nearest[1]

    def _steps(self, places: NDArray[np.float64], measure: Measure) -> NDArray[np.float64]:
        return places if measure == "step" else self.rulers[measure].steps(places)


@dataclass(frozen=True)
class View:
    """What part of the curves is drawn and how. `first`, `last` and `cursor` are places along the measure."""

    first: float
    last: float
    log: bool = False
    ascii_only: bool = False
    cursor: float | None = None
    measure: Measure = "step"


class Picture:
    """A grid of cells, each a character with an ink, as its place in INKS."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.characters = np.full((height, width), " ", "<U1")
        self.inks = np.full((height, width), _AXIS, np.int8)

    def write(self, x: int, y: int, text: str, ink: Ink = "axis") -> None:
        """Write from a cell on; what would stand outside is left out."""
        for offset, character in enumerate(text):
            if 0 <= x + offset < self.width and 0 <= y < self.height:
                self.characters[y, x + offset] = character
                self.inks[y, x + offset] = INKS.index(ink)

    def row(self, y: int) -> list[tuple[str, Ink]]:
        """A row as runs of text with one ink each; a blank shows no ink and takes that of the run before."""
        own = np.arange(self.width)
        blank = (self.characters[y] == " ") & (self.inks[y] == _AXIS)
        inks = self.inks[y][np.maximum.accumulate(np.where(blank, 0, own))]
        inks[blank & (inks == _CURSOR)] = _AXIS
        text = "".join(self.characters[y].tolist())
        starts = [0, *(np.flatnonzero(np.diff(inks)) + 1).tolist()]
        return [(text[start:end], INKS[inks[start]]) for start, end in zip(starts, [*starts[1:], None], strict=True)]

    def changes(self, before: Picture) -> list[tuple[int, int, int]]:
        """Row, first column and number of cells of what is different from a picture of the same size."""
        different = (self.characters != before.characters) | (self._seen() != before._seen())
        found = []
        for y in np.flatnonzero(different.any(axis=1)).tolist():
            columns = np.flatnonzero(different[y])
            found.append((y, int(columns[0]), int(columns[-1] - columns[0] + 1)))
        return found

    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.characters.tolist())

    def _seen(self) -> NDArray[np.int8]:
        """The inks, with those of blanks left out: only the cursor shows on them."""
        return np.where((self.characters == " ") & (self.inks != _CURSOR), np.int8(_AXIS), self.inks)


def draw(lines: Sequence[Line], width: int, height: int, view: View) -> Picture:
    """The lines with their axes in `width` x `height` cells: labels and axis left and below, curves in the rest."""
    picture = Picture(width, height)
    lines = [line for line in lines if line.span(view.measure) is not None]
    seen = [line.columns(view.first, view.last, max(1, width), view.measure) for line in lines]
    scale = scale_of(seen, view.log)
    if scale is None or width < 12 or height < 4:
        return picture
    labels = _labels(scale, height - 2)
    gutter = max((len(label) for label in labels.values()), default=0) + 1
    plot_width, plot_height = width - gutter - 1, height - 2
    _draw_axes(picture, labels, gutter, view)
    covered = {line: _covered(line, scale, view, plot_width, plot_height) for line in lines if not line.scattered}
    for line in lines:
        if line.scattered:
            _draw_points(picture, line, scale, view, gutter + 1)
        else:
            _draw_line(picture, line, covered[line], gutter + 1)
    for line in covered:
        if line.ink in LETTERS:
            _put_letters(picture, line, covered[line], gutter + 1)
    if view.cursor is not None and view.first <= view.cursor <= view.last:
        _draw_cursor(picture, gutter + 1 + _cell_of(view.cursor, view, plot_width), view)
    return picture


def dots(columns: Columns, scale: Scale, height: int) -> NDArray[np.bool_]:
    """Which dots a line covers, [height, columns], the top row first; neighbouring columns always touch."""
    tops = _dot_rows(columns.highs, scale, height)
    bottoms = _dot_rows(columns.lows, scale, height)
    joined_tops, joined_bottoms = tops.copy(), bottoms.copy()
    with np.errstate(invalid="ignore"):
        joined_tops[1:] = np.where(tops[1:] > bottoms[:-1] + 1, bottoms[:-1] + 1, tops[1:])
        joined_bottoms[1:] = np.where(bottoms[1:] < tops[:-1] - 1, tops[:-1] - 1, bottoms[1:])
        rows = np.arange(height)[:, None]
        return np.asarray((rows >= joined_tops) & (rows <= joined_bottoms))


def _dot_rows(values: NDArray[np.float32], scale: Scale, height: int) -> NDArray[np.float64]:
    return np.round((1 - np.clip(scale.share(values), 0, 1)) * (height - 1))


def _cell_rows(values: NDArray[np.float32], scale: Scale, height: int) -> NDArray[np.float64]:
    """The rows of cells in which the dots of these values stand, so that marks and numbers lie on the lines."""
    return np.floor(_dot_rows(values, scale, 4 * height) / 4)


def _labels(scale: Scale, height: int) -> dict[int, str]:
    """Row of the plot → the number that stands beside it."""
    most = max(min(height, 3), height // 3 + 1)
    values = log_ticks(scale.low, scale.high, most) if scale.log else ticks(scale.low, scale.high, most)
    rows = _cell_rows(np.array(values, np.float32), scale, height)
    step = abs(values[1] - values[0]) if len(values) > 1 else scale.high - scale.low
    return {
        int(row): number(value, min(step, abs(value)) if scale.log else step)
        for row, value in zip(rows.tolist(), values, strict=True)
    }


def _draw_axes(picture: Picture, labels: dict[int, str], gutter: int, view: View) -> None:
    upright, tick, corner, level, notch = "|++-+" if view.ascii_only else "│┤└─┴"
    plot_height, plot_width = picture.height - 2, picture.width - gutter - 1
    for y in range(plot_height):
        label = labels.get(y)
        picture.write(0, y, f"{label or '':>{gutter - 1}} {tick if label else upright}")
    picture.write(gutter, plot_height, corner + level * plot_width)
    taken = 0
    values = (time_ticks if view.measure == "time" else ticks)(view.first, view.last, max(2, plot_width // 12))
    step = values[1] - values[0] if len(values) > 1 else 1
    for value in values:
        at = gutter + 1 + _cell_of(value, view, plot_width)
        label = place_number(value, step, view.measure)
        start = min(at - len(label) // 2, picture.width - len(label))
        if start >= taken:
            picture.write(at, plot_height, notch)
            picture.write(start, plot_height + 1, label)
            taken = start + len(label) + 1


def _cell_of(place: float, view: View, width: int) -> int:
    share = (place - view.first) / (view.last - view.first) if view.last > view.first else 0.0
    return min(max(int(share * width), 0), width - 1)


def _covered(line: Line, scale: Scale, view: View, width: int, height: int) -> NDArray[np.bool_]:
    """The dots of a line: one a cell in ASCII, two by four in braille."""
    across, down = (1, 1) if view.ascii_only else (2, 4)
    return dots(line.columns(view.first, view.last, width * across, view.measure), scale, height * down)


def _draw_line(picture: Picture, line: Line, covered: NDArray[np.bool_], left: int) -> None:
    """Put a line's dots on the picture. A cell shows one line alone: dots of two would be neither."""
    height = picture.height - 2
    if covered.shape[0] == height:
        cells = covered
        characters = np.where(cells, line.mark(ascii_only=True), " ")
    else:
        blocks = covered.reshape(height, 4, -1, 2)
        bits = (blocks * _BRAILLE_BITS[None, :, None, :]).sum(axis=(1, 3))
        cells = bits > 0
        characters = (bits + _BRAILLE_BLANK).astype("<u4").view("<U1")
    area = (slice(0, height), slice(left, left + cells.shape[1]))
    picture.characters[area] = np.where(cells, characters, picture.characters[area])
    picture.inks[area] = np.where(cells, np.int8(INKS.index(line.ink)), picture.inks[area])


def _put_letters(picture: Picture, line: Line, covered: NDArray[np.bool_], left: int) -> None:
    """Let every so many cells of another run's line show its letter, those of each line at columns of their own."""
    height, width = picture.height - 2, picture.width - left
    cells = np.asarray(covered.reshape(height, covered.shape[0] // height, width, -1).any(axis=(1, 3)))
    for x in range(2 + 2 * "bcdef".index(line.ink), width, _CELLS_BETWEEN_LETTERS):
        rows = np.flatnonzero(cells[:, x])
        if len(rows):
            picture.write(left + x, int(rows[len(rows) // 2]), line.ink, line.ink)


def _draw_points(picture: Picture, line: Line, scale: Scale, view: View, left: int) -> None:
    height, width = picture.height - 2, picture.width - left
    mark = line.mark(ascii_only=view.ascii_only)
    places, values = line.points(view.first, view.last, width, view.measure)
    rows = _cell_rows(values, scale, height)
    for place, row in zip(places, rows.tolist(), strict=True):
        if not math.isnan(row):
            picture.write(left + _cell_of(place, view, width), int(row), mark, line.ink)


def _draw_cursor(picture: Picture, x: int, view: View) -> None:
    for y in range(picture.height - 1):
        if picture.inks[y, x] == _AXIS:
            picture.write(x, y, "|" if view.ascii_only else "│")
        else:
            picture.inks[y, x] = _CURSOR
