"""Axes: from the least to the greatest value with round numbers, and the three measures that a run is drawn along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetty.tui.widgets.curve import Columns, Floats

Measure = Literal["step", "tokens", "time"]
"""What the x axis counts: optimizer steps, tokens seen, or milliseconds of training."""
LEAST: dict[Measure, float] = {"step": 10, "tokens": 1000, "time": 10_000}
"""The least that a chart spans, so that the first points are not stretched over its whole width."""

_SECONDS = (1, 2, 5, 10, 15, 30)
_HOURS = (1, 2, 3, 6, 12, 24, 48, 120, 240, 480)
_ROUND_TIMES = [1000 * one for one in (*_SECONDS, *(60 * one for one in _SECONDS), *(3600 * one for one in _HOURS))]


@dataclass(frozen=True)
class Scale:
    """The values from the bottom to the top of a plot; with `log` equal factors are equal heights."""

    low: float
    high: float
    log: bool = False

    def share(self, values: Floats) -> NDArray[np.float64]:
        """How far up each value is: 0 at the bottom, 1 at the top, beyond them outside; NaN stays."""
        low, high, placed = float(self.low), float(self.high), values.astype(np.float64)
        if self.log:
            low, high = math.log10(low), math.log10(high)
            placed = np.log10(np.where(placed > 0, placed, np.nan))
        return (placed - low) / (high - low)


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


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most `most` of them."""
    if most < 1 or not high > low:
        return []
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    return _multiples(low, high, most, [power * factor for factor in (1, 2, 5, 10, 20)])


def time_ticks(low: float, high: float, most: int) -> list[float]:
    """The same for milliseconds: whole seconds, minutes or hours apart, in the numbers that clocks have."""
    return _multiples(low, high, most, _ROUND_TIMES)


def _multiples(low: float, high: float, most: int, steps: Sequence[float]) -> list[float]:
    """The multiples of the first of these steps that are few enough."""
    for step in steps:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [number * step for number in range(first, last + 1)]
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


def place_number(value: float, step: float, measure: Measure) -> str:
    """A tick of the x axis: 12345, 50k, 1.2M; a time as 45s or 2h30m."""
    if measure == "time":
        return _time(round(value / 1000))
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if value >= size and step >= size / 100:
            return f"{value / size:g}{letter}"
    return f"{value / 1000:g}k" if value >= 10_000 and step >= 1000 else f"{value:.{0 if step >= 1 else 1}f}"


def roomy(last: float, width: float) -> float:
    """Where an axis of this width ends: a little beyond `last`, so that the next points leave all others in place."""
    step = max(1, round(round_up(width / 20)))
    return -(-last // step) * step


def _time(seconds: int) -> str:
    minutes, left = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if value]
    return "".join(parts) or "0s"


def _sorted(values: Floats) -> Floats:
    return np.sort(values[~np.isnan(values)])


def _kept(columns: Columns) -> int:
    seen = int((~np.isnan(columns.highs)).sum())
    return seen - seen // 50
