"""Several sets mixed by weight: which rows are seen how often, the same everywhere for the same rows and seed."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stretch:
    """The rows from `start` to `end`, the end not included, of one entry of the recipe, and its weight."""

    start: int
    end: int
    weight: float


def mixed(stretches: Sequence[Stretch], mark: Callable[[int], bytes], seed: int) -> array[int]:
    """The places of the rows that an epoch sees. Each row is seen as often as the whole part of its weight says.

    For the rest of the weight the rows with the lowest hash of seed and mark are seen once more: adding rows changes
    that for few others. An entry never loses its last row.
    """
    places = array("Q")
    for stretch in stretches:
        rows = range(stretch.start, stretch.end)
        passes = int(stretch.weight)
        for _ in range(passes):
            places.extend(rows)
        more = round((stretch.weight - passes) * len(rows))
        if rows and not passes:
            more = max(1, more)
        if more:
            ranked = sorted(rows, key=lambda place: (_rank(mark(place), seed), place))
            places.extend(sorted(ranked[:more]))
    return places


def _rank(mark: bytes, seed: int) -> bytes:
    return hashlib.sha256(b"mix" + seed.to_bytes(8, "big") + mark).digest()
