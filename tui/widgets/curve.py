"""A curve of any length that answers "least and greatest value in each column" as fast for a million points as for ten.

The values are kept with a pyramid of pairwise minima and maxima over them, extended as points arrive. A column of a
chart is a range of points, and any range is the union of at most two nodes of each level, so a redraw costs
O(columns × log points) and is exact: no point, however narrow a spike, is ever lost to the drawing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indexes = NDArray[np.intp]
Number = TypeVar("Number", np.int64, np.float32)
Strength = Literal["light", "usual", "strong"]
STRENGTHS: dict[Strength, tuple[int, int, int]] = {"light": (32, 2, 12), "usual": (8, 4, 50), "strong": (3, 8, 500)}
"""How strongly a curve is smoothed: over which part of the points so far, and over how many at least and at most."""


@dataclass(frozen=True)
class Columns:
    """A curve as the columns of a chart. `lows` and `highs` are NaN where there is nothing to draw: a gap, or no data.

    Columns that lie between two points (there are fewer points than columns) hold the straight line between them; next
    to a gap they hold the point as far as half of the way, so that a gap is as wide as what is missing.
    """

    lows: Floats
    highs: Floats

    @property
    def empty(self) -> bool:
        return bool(np.isnan(self.lows).all())


class Curve:
    """Points (step, value) in the order of their steps; a value that is None or not finite is a gap.

    One thread may extend it while another reads it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps = np.empty(0, np.int64)
        self._lows: list[Floats] = [np.empty(0, np.float32)]
        self._highs: list[Floats] = self._lows[:]
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def last_step(self) -> int | None:
        return int(self._steps[self._length - 1]) if self._length else None

    def extend(self, steps: Sequence[int], values: Sequence[float | None]) -> None:
        """Append points. Steps must not go back (`truncate` first). A step that comes again adds a point beside it."""
        if not steps:
            return
        with np.errstate(over="ignore"):
            fresh = np.array([np.nan if value is None else value for value in values], np.float64).astype(np.float32)
        fresh[~np.isfinite(fresh)] = np.nan
        with self._lock:
            start, end = self._length, self._length + len(steps)
            self._make_room(end)
            self._steps[start:end] = steps
            self._lows[0][start:end] = fresh
            self._raise_pyramid(start, end)
            self._length = end

    def truncate(self, step: int) -> None:
        """Forget every point after `step`."""
        with self._lock:
            self._length = int(np.searchsorted(self._steps[: self._length], step, "right"))

    def span(self) -> tuple[int, int] | None:
        """First and last step, None without points."""
        with self._lock:
            return (int(self._steps[0]), int(self._steps[self._length - 1])) if self._length else None

    def nearest(self, step: float) -> tuple[int, float] | None:
        """The point whose step is nearest; its value may be NaN. None without points."""
        with self._lock:
            if not self._length:
                return None
            after = int(np.searchsorted(self._steps[: self._length], step))
            around = [index for index in (after - 1, after) if 0 <= index < self._length]
            index = min(around, key=lambda at: abs(int(self._steps[at]) - step))
            return int(self._steps[index]), float(self._lows[0][index])

    def points(self, first: float, last: float, most: int) -> tuple[NDArray[np.int64], Floats]:
        """Steps and values of the points from `first` to `last` inclusive, evenly thinned to at most `most`."""
        with self._lock:
            steps = self._steps[: self._length]
            bounds = _whole(np.array((first, np.nextafter(last, np.inf))))
            start, end = (int(index) for index in np.searchsorted(steps, bounds))
            every = slice(start, end, max(1, -(-(end - start) // most)))
            return self._steps[every].copy(), self._lows[0][every].copy()

    def columns(self, first: float, last: float, count: int) -> Columns:
        """Least and greatest value in each of `count` equal columns over the steps from `first` to `last` inclusive."""
        return self.between(np.linspace(first, last, count + 1))

    def between(self, edges: NDArray[np.float64]) -> Columns:
        """Least and greatest value between each two of these steps, which rise; the last one is inclusive."""
        edges = np.append(edges[:-1], np.nextafter(edges[-1], np.inf))
        with self._lock:
            steps = self._steps[: self._length]
            bounds = np.searchsorted(steps, _whole(edges))
            lows = self._fold(self._lows, bounds, np.fmin)
            highs = self._fold(self._highs, bounds, np.fmax)
            self._fill_between_points(lows, highs, edges, bounds)
        return Columns(lows, highs)

    def _make_room(self, length: int) -> None:
        if length <= len(self._steps):
            return
        room = max(1024, 1 << (length - 1).bit_length())
        self._steps = _grown(self._steps, room)
        values = _grown(self._lows[0], room)
        sizes = [room >> level for level in range(1, room.bit_length())]
        self._lows = [values, *(_grown(old, size) for old, size in _paired(self._lows[1:], sizes))]
        self._highs = [values, *(_grown(old, size) for old, size in _paired(self._highs[1:], sizes))]

    def _raise_pyramid(self, start: int, end: int) -> None:
        """Recompute the nodes over the points from `start` to `end`. One that is not full yet is never asked for."""
        for below in range(len(self._lows) - 1):
            start, end = start >> 1, (end + 1) >> 1
            for levels, least_or_greatest in ((self._lows, np.fmin), (self._highs, np.fmax)):
                pairs = levels[below][2 * start : 2 * end]
                levels[below + 1][start:end] = least_or_greatest(pairs[::2], pairs[1::2])

    def _fold(self, levels: list[Floats], bounds: Indexes, least_or_greatest: np.ufunc) -> Floats:
        """Fold each range of points, climbing the pyramid from both of its ends; NaN for an empty range."""
        left, right = bounds[:-1].copy(), bounds[1:].copy()
        folded = np.full(len(left), np.nan, np.float32)
        for values in levels:
            open_ranges = left < right
            if not open_ranges.any():
                break
            odd_left = open_ranges & (left & 1 == 1)
            folded[odd_left] = least_or_greatest(folded[odd_left], values[left[odd_left]])
            left[odd_left] += 1
            odd_right = (left < right) & (right & 1 == 1)
            right[odd_right] -= 1
            folded[odd_right] = least_or_greatest(folded[odd_right], values[right[odd_right]])
            left, right = left >> 1, right >> 1
        return folded

    def _fill_between_points(self, lows: Floats, highs: Floats, edges: NDArray[np.float64], bounds: Indexes) -> None:
        between = (bounds[:-1] == bounds[1:]) & (bounds[:-1] > 0) & (bounds[:-1] < self._length)
        if not between.any():
            return
        after = bounds[:-1][between]
        middles = ((edges[:-1] + edges[1:]) / 2)[between]
        values = self._lows[0]
        start, end = self._steps[after - 1], self._steps[after]
        share = (middles - start) / (end - start)
        line = values[after - 1] * (1 - share) + values[after] * share
        nearer = np.where(share < 0.5, values[after - 1], values[after])
        lows[between] = highs[between] = np.where(np.isnan(line), nearer, line)


def smoothed(
    values: Sequence[float | None], before: float | None, count: int, strength: Strength = "usual"
) -> list[float | None]:
    """An exponential mean over a share of the points so far; the usual one over the last eighth, 4 to 50 of them.

    So it is as smooth to the eye in a short run as in a long one, and lags behind neither. `before` is the last
    smoothed value and `count` the number of points before these. A gap stays a gap; the mean goes on behind it.
    """
    part, least, most = STRENGTHS[strength]
    means: list[float | None] = []
    for number, value in enumerate(values, count + 1):
        if value is None or not math.isfinite(value):
            means.append(None)
            continue
        span = min(number, max(least, min(number // part, most)))
        before = value if before is None else before + (value - before) / span
        means.append(before)
    return means


def _whole(edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The least steps not below these: numpy would turn all steps into floats to compare them with floats."""
    return np.ceil(edges).astype(np.int64)


def _grown(array: NDArray[Number], size: int) -> NDArray[Number]:
    grown = np.zeros(size, array.dtype) if array.dtype.kind == "i" else np.full(size, np.nan, array.dtype)
    grown[: len(array)] = array
    return grown


def _paired(levels: list[Floats], sizes: list[int]) -> list[tuple[Floats, int]]:
    missing = [np.empty(0, np.float32)] * (len(sizes) - len(levels))
    return list(zip([*levels, *missing], sizes, strict=True))
