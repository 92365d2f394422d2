"""Where the steps of a run lie on another axis than that of steps: tokens seen, or milliseconds of training."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.float64]


class Ruler:
    """Pairs of a step and its place, both rising from (0, 0); straight lines between them.

    One thread may extend it while another reads it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps, self._places = np.zeros(1024), np.zeros(1024)
        self._length = 1

    @property
    def known(self) -> bool:
        """Whether any step has a place."""
        return self._length > 1

    def extend(self, steps: Sequence[int], places: Sequence[float | None]) -> None:
        """Append pairs; a step whose place is None is passed over, and a place never goes back."""
        pairs = [(step, place) for step, place in zip(steps, places, strict=True) if place is not None]
        if not pairs:
            return
        with self._lock:
            start, end = self._length, self._length + len(pairs)
            if end > len(self._steps):
                room = 1 << (end - 1).bit_length()
                self._steps, self._places = np.resize(self._steps, room), np.resize(self._places, room)
            self._steps[start:end], self._places[start:end] = np.array(pairs, np.float64).T
            self._places[start - 1 : end] = np.maximum.accumulate(self._places[start - 1 : end])
            self._length = end

    def truncate(self, step: int) -> None:
        """Forget the places of all steps after `step`."""
        with self._lock:
            self._length = max(1, int(np.searchsorted(self._steps[: self._length], step, "right")))

    def places(self, steps: Sequence[float] | Places) -> Places:
        """Where these steps lie; of steps after the last known one, its own place."""
        with self._lock:
            return np.interp(steps, self._steps[: self._length], self._places[: self._length])

    def steps(self, places: Sequence[float] | Places) -> Places:
        """Which steps, with their fractions, lie at these places; beyond the end at the pace of the whole."""
        with self._lock:
            last_step, last_place = self._steps[self._length - 1], self._places[self._length - 1]
            found = np.interp(places, self._places[: self._length], self._steps[: self._length])
        pace = last_step / last_place if last_place else 1.0
        return np.asarray(found + np.maximum(0.0, np.asarray(places) - last_place) * pace)
