"""A step's memory as a formula in its rows, their length and the adapter's rank, worked out once for all their values.

Every size in a step is a polynomial with whole coefficients in these. The step is run once with powers of two in their
place, so far apart that the digits of a size, in that base, are its coefficients (Kronecker's substitution).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from finetty.backend.memory.job import Job
from finetty.backend.memory.shapes import around, known_shape, layer_shape
from finetty.backend.memory.step import Step, chunk_rows
from finetty.backend.models.facts import ModelFacts

DIGIT = 60
"""Bits of a coefficient: no size in bytes has more."""
LENGTH, ROWS, RANK, CHUNK = (1 << DIGIT * power for power in (1, 2, 5, 9))

Terms = tuple[tuple[int, int], ...]
"""A polynomial: (place of the product of variables, coefficient), zeros left out."""


@dataclass(frozen=True)
class Formula:
    """`events`: (storage's number, place in `sizes`) where it is taken, (number, -1) where it is given back.

    `peaks`: what can be the most that is taken at once, for some values, each with the number of events up to there;
    `turned`: the number of events up to where the last layer is through with its backward pass.
    """

    sizes: tuple[Terms, ...]
    events: tuple[tuple[int, int], ...]
    parts: tuple[str, ...]
    peaks: tuple[tuple[Terms, int], ...]
    turned: int

    def peak(self, values: list[int]) -> tuple[int, int]:
        """Bytes at the peak, and the number of events up to it."""
        return max((_worth(terms, values), place) for terms, place in self.peaks)

    def storages(self, values: list[int], until: int | None = None) -> list[tuple[int, int]]:
        """The events with sizes in bytes; 0 where a storage is given back."""
        sizes = [_worth(terms, values) for terms in self.sizes]
        sizes.append(0)
        return [(number, sizes[place]) for number, place in self.events[:until]]

    def by_part(self, values: list[int], until: int) -> dict[str, int]:
        """Bytes of each part that are taken after so many events."""
        sizes = [_worth(terms, values) for terms in self.sizes]
        taken: dict[int, int] = {}
        for number, place in self.events[:until]:
            if place < 0:
                del taken[number]
            else:
                taken[number] = sizes[place]
        found: dict[str, int] = {}
        for number, size in taken.items():
            part = self.parts[number]
            found[part] = found.get(part, 0) + size
        return found


def values_of(job: Job, model: ModelFacts) -> list[int]:
    """What the products of variables come to, by their place: length, rows, rank, rows of a chunk of the loss."""
    length, rows, rank = job.length, job.micro_batch, job.rank
    one_row, several = [1, length, length**2, 0, 0], [1, length, rows, rows * length, rows * length**2]
    found = one_row if rows == 1 else several
    found += [rank * one for one in found[:4]]
    return [*found, chunk_rows(job.tokens, model.vocabulary or 1, model.hidden_size or 1)]


def formula_of(job: Job, model: ModelFacts) -> Formula | None:
    """None where the model's shape is not known."""
    if not known_shape(model):
        return None
    rows = 1 if job.micro_batch == 1 else ROWS
    rank = RANK if job.method == "lora" else job.rank
    return _worked_out(replace(job, length=LENGTH, micro_batch=rows, rank=rank), model)


@lru_cache(maxsize=128)
def _worked_out(job: Job, model: ModelFacts) -> Formula:
    step = Step(job, layer_shape(job, model), around(job, model), rows_of_chunk=CHUNK)
    tape = step.run()
    places: dict[int, int] = {}
    events: list[tuple[int, int]] = []
    size_of: dict[int, int] = {}
    front: list[tuple[list[int], int]] = []
    live, rising = 0, False
    for number, size in tape.events:
        if size:
            live += size
            size_of[number] = size
            events.append((number, places.setdefault(size, len(places))))
        else:
            if rising:
                _consider(front, _digits(live), len(events))
            live -= size_of[number]
            events.append((number, -1))
        rising = bool(size)
    if rising:
        _consider(front, _digits(live), len(events))
    peaks = tuple((_terms(digits), place) for digits, place in front)
    return Formula(
        tuple(_terms(_digits(size)) for size in places), tuple(events), tuple(tape.parts), peaks, step.turned
    )


def _consider(front: list[tuple[list[int], int]], digits: list[int], place: int) -> None:
    """Keep a peak unless another is at least as high for all values; drop those that it is above in that way."""
    width = len(digits)
    for other, _ in front:
        if len(other) >= width and all(map(int.__le__, digits, other)):
            return
    front[:] = [one for one in front if len(one[0]) > width or not all(map(int.__le__, one[0], digits))]
    front.append((digits, place))


def _digits(number: int) -> list[int]:
    found = []
    while number:
        found.append(number & ((1 << DIGIT) - 1))
        number >>= DIGIT
    return found


def _terms(digits: list[int]) -> Terms:
    return tuple((place, digit) for place, digit in enumerate(digits) if digit)


def _worth(terms: Terms, values: list[int]) -> int:
    return sum(digit * values[place] for place, digit in terms)
