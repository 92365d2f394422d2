"""Drawing curves as text: dots in braille cells or in ASCII, axes with round numbers, and which ink each cell has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetty.tui.widgets.curve import Columns, Curve

Ink = Literal["axis", "raw", "smoothed", "points", "cursor"]

_BRAILLE_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_BRAILLE_BLANK = 0x2800
MARKS: dict[Ink, tuple[str, str]] = {"raw": ("⠒", "."), "smoothed": ("━", "*"), "points": ("◆", "o")}
"""How a line looks in the legend, in braille and in ASCII; the ASCII mark is also what draws it."""


@dataclass(frozen=True)
class Line:
    """A curve to draw. Where lines cross, the later one is on top. "points" are drawn as marks, the others as lines."""

    curve: Curve
    name: str
    ink: Literal["raw", "smoothed", "points"]


@dataclass(frozen=True)
class Scale:
    """The values from the bottom to the top of a plot; with `log` equal factors are equal heights."""

    low: float
    high: float
    log: bool = False

    def share(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """How far up each value is: 0 at the bottom, 1 at the top, beyond them outside; NaN stays."""
        low, high, placed = float(self.low), float(self.high), values.astype(np.float64)
        if self.log:
            low, high = math.log10(low), math.log10(high)
            placed = np.log10(np.where(placed > 0, placed, np.nan))
        return (placed - low) / (high - low)


@dataclass(frozen=True)
class View:
    """What part of the curves is drawn and how. `first` and `last` are steps."""

    first: float
    last: float
    log: bool = False
    ascii_only: bool = False
    cursor: float | None = None


class Picture:
    """A grid of cells, each a character with an ink."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.characters = np.full((height, width), " ", "<U1")
        self.inks = np.full((height, width), "axis", "<U8")

    def write(self, x: int, y: int, text: str, ink: Ink = "axis") -> None:
        """Write from a cell on; what would stand outside is left out."""
        for offset, character in enumerate(text):
            if 0 <= x + offset < self.width and 0 <= y < self.height:
                self.characters[y, x + offset] = character
                self.inks[y, x + offset] = ink

    def row(self, y: int) -> list[tuple[str, str]]:
        """A row as runs of text with one ink each; a blank shows no ink and takes that of the run before."""
        inks = self.inks[y].tolist()
        for x in range(1, self.width):
            if self.characters[y, x] == " " and inks[x] == "axis" and inks[x - 1] != "cursor":
                inks[x] = inks[x - 1]
        cells = zip(self.characters[y].tolist(), inks, strict=True)
        return [("".join(cell[0] for cell in run), ink) for ink, run in groupby(cells, key=lambda cell: cell[1])]

    def text(self) -> str:
        return "\n".join("".join(row).rstrip() for row in self.characters.tolist())


def draw(lines: Sequence[Line], width: int, height: int, view: View) -> Picture:
    """The lines with their axes in `width` x `height` cells: labels and axis left and below, curves in the rest."""
    picture = Picture(width, height)
    across = 1 if view.ascii_only else 2
    seen = [line.curve.columns(view.first, view.last, max(1, width)) for line in lines]
    scale = scale_of(seen, view.log)
    if scale is None or width < 12 or height < 4:
        return picture
    labels = _labels(scale, height - 2)
    gutter = max((len(label) for label in labels.values()), default=0) + 1
    plot_width, plot_height = width - gutter - 1, height - 2
    _draw_axes(picture, labels, gutter, view)
    for line in lines:
        if line.ink == "points":
            _draw_points(picture, line, scale, view, gutter + 1)
        else:
            columns = line.curve.columns(view.first, view.last, plot_width * across)
            _draw_line(picture, line, dots(columns, scale, plot_height * (1 if view.ascii_only else 4)), gutter + 1)
    if view.cursor is not None:
        _draw_cursor(picture, gutter + 1 + _cell_of(view.cursor, view, plot_width), view)
    return picture


def scale_of(drawn: Sequence[Columns], log: bool) -> Scale | None:
    """A scale on which all the lines are seen; one column in fifty may stick out, so that a spike flattens nothing.

    Its ends are round, so that they stay where they are while the curve goes on, and little has to be repainted.
    """
    lows = np.concatenate([_sorted(columns.lows) for columns in drawn]) if drawn else np.empty(0, np.float32)
    highs = np.concatenate([_sorted(columns.highs)[: _kept(columns)] for columns in drawn]) if drawn else lows
    if log:
        lows, highs = lows[lows > 0], highs[highs > 0]
    if not len(lows) or not len(highs):
        return None
    low, high = float(lows.min()), float(max(highs.max(), lows.min()))
    if log:
        return Scale(low, high, log) if high > low else Scale(low / 2, high * 2, log)
    if high - low < 1e-6 * max(abs(high), 1e-30):
        margin = abs(high) / 2 or 1.0
        return Scale(low - margin, high + margin)
    step = round_up((high - low) / 12)
    return Scale(math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step)


def round_up(value: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


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


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most `most` of them."""
    if most < 1 or not high > low:
        return []
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20):
        first = math.ceil(low / (step * factor) - 1e-9)
        last = math.floor(high / (step * factor) + 1e-9)
        if last - first < most:
            return [number * step * factor for number in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`; only the powers where all would be more than `most`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in found if low <= value <= high]
        if 2 <= len(found) <= most:
            return found
    return [low, high]


def number(value: float, step: float) -> str:
    """A tick's value with the digits that tell it from its neighbour `step` away."""
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6 or 0 < abs(step) < 1e-4:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    if abs(value) >= 10_000 and step >= 1000:
        return f"{value / 1000:g}k"
    decimals = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 2
    return f"{value:.{decimals}f}"


def _sorted(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(values[~np.isnan(values)])


def _kept(columns: Columns) -> int:
    seen = int((~np.isnan(columns.highs)).sum())
    return seen - seen // 50


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
    values = ticks(view.first, view.last, max(2, plot_width // 12))
    step = values[1] - values[0] if len(values) > 1 else 1
    for value in values:
        at = gutter + 1 + _cell_of(value, view, plot_width)
        label = number(value, step)
        start = min(at - len(label) // 2, picture.width - len(label))
        if start >= taken:
            picture.write(at, plot_height, notch)
            picture.write(start, plot_height + 1, label)
            taken = start + len(label) + 1


def _cell_of(step: float, view: View, width: int) -> int:
    share = (step - view.first) / (view.last - view.first) if view.last > view.first else 0.0
    return min(max(int(share * width), 0), width - 1)


def _draw_line(picture: Picture, line: Line, covered: NDArray[np.bool_], left: int) -> None:
    """Put a line's dots on the picture. A cell shows one line alone: dots of two would be neither."""
    height = picture.height - 2
    if covered.shape[0] == height:
        cells = covered
        characters = np.where(cells, MARKS[line.ink][1], " ")
    else:
        blocks = covered.reshape(height, 4, -1, 2)
        bits = (blocks * _BRAILLE_BITS[None, :, None, :]).sum(axis=(1, 3))
        cells = bits > 0
        characters = (bits + _BRAILLE_BLANK).astype("<u4").view("<U1")
    area = (slice(0, height), slice(left, left + cells.shape[1]))
    picture.characters[area] = np.where(cells, characters, picture.characters[area])
    picture.inks[area] = np.where(cells, line.ink, picture.inks[area])


def _draw_points(picture: Picture, line: Line, scale: Scale, view: View, left: int) -> None:
    height, width = picture.height - 2, picture.width - left
    mark = MARKS[line.ink][1 if view.ascii_only else 0]
    steps, values = line.curve.points(view.first, view.last, width)
    rows = _cell_rows(values, scale, height)
    for step, row in zip(steps.tolist(), rows.tolist(), strict=True):
        if not math.isnan(row):
            picture.write(left + _cell_of(step, view, width), int(row), mark, line.ink)


def _draw_cursor(picture: Picture, x: int, view: View) -> None:
    for y in range(picture.height - 1):
        if picture.inks[y, x] == "axis":
            picture.write(x, y, "|" if view.ascii_only else "│")
        else:
            picture.inks[y, x] = "cursor"
