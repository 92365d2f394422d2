"""A step's memory as a formula in its rows, their length and the adapter's rank, worked out once for all their values.

Every size in a step is a polynomial with whole coefficients in these. The step is run once with powers of two in their
place, so far apart that the digits of a size, in that base, are its coefficients (Kronecker's substitution).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from finetty.backend.memory.job import Job
from finetty.backend.memory.shapes import around, known_shape, layer_shape
from finetty.backend.memory.step import Step, chunk_rows
from finetty.backend.models.facts import ModelFacts

DIGIT = 60
"""Bits of a coefficient: no size in bytes needs the highest of them."""
LENGTH, ROWS, RANK, CHUNK = (1 << DIGIT * power for power in (1, 2, 5, 9))

DIGITS = 10
MASK = (1 << DIGIT) - 1
HIGHEST_BITS = sum(1 << DIGIT * place + DIGIT - 1 for place in range(DIGITS))

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
    found = one_row if _is_one_row(job) else several
    found += [rank * one for one in found[:4]]
    return [*found, chunk_rows(job, model.vocabulary or 1, model.hidden_size or 1)]


def formula_of(job: Job, model: ModelFacts) -> Formula | None:
    """None where the model's shape is not known."""
    if not known_shape(model):
        return None
    return _worked_out(_one_of_its_kind(job), model)


def _one_of_its_kind(job: Job) -> Job:
    """The job that stands for all with the same formula: what a step's memory does not depend on is the same in all."""
    return replace(
        job,
        length=LENGTH,
        micro_batch=1 if _is_one_row(job) else ROWS,
        rank=RANK if job.method == "lora" else job.rank,
        attention="fa2" if job.attention.startswith("fa") else job.attention,
        optimizer="adamw",
        dora=False,
        double_quantization=True,
        loads_on_card=True,
    )


def _is_one_row(job: Job) -> bool:
    """One row is no different from several but where these come with a mask, or are laid out for the product."""
    return job.micro_batch == 1 and not job.attention.startswith("fa")


@lru_cache(maxsize=512)
def _worked_out(job: Job, model: ModelFacts) -> Formula:
    step = Step(job, layer_shape(job, model), around(job, model), rows_of_chunk=CHUNK)
    tape = step.run()
    sizes = [size for _, size in tape.events if size]  # by the storage's number
    places = {size: place for place, size in enumerate(dict.fromkeys(sizes))}
    place_of = [places[size] for size in sizes]
    events = tuple([(number, place_of[number] if size else -1) for number, size in tape.events])
    peaks = tuple((_terms(most), place) for most, place in _peaks(tape.events, sizes))
    return Formula(tuple(map(_terms, places)), events, tuple(tape.parts), peaks, step.turned)


def _peaks(events: Sequence[tuple[int, int]], sizes: Sequence[int]) -> list[tuple[int, int]]:
    """What can be the most for some values, with the number of events up to there."""
    front: list[tuple[int, int]] = []
    live, rising = 0, False
    for place, (number, size) in enumerate(events):
        if size:
            live += size
            rising = True
            continue
        if rising:
            _consider(front, live, place)
            rising = False
        live -= sizes[number]
    if rising:
        _consider(front, live, len(events))
    return front


def _consider(front: list[tuple[int, int]], peak: int, place: int) -> None:
    """Keep a peak unless another is at least as high for all values; drop those that it is above in that way.

    No coefficient is greater in the lower where no digit of the difference borrows the highest bit that is lent to it.
    """
    lent = HIGHEST_BITS - peak
    for number, (other, _) in enumerate(front):
        if (other + lent) & HIGHEST_BITS == HIGHEST_BITS:
            front.insert(0, front.pop(number))  # it will most likely be above the next one too
            return
    lent = HIGHEST_BITS + peak
    front[:] = [(peak, place), *(one for one in front if (lent - one[0]) & HIGHEST_BITS != HIGHEST_BITS)]


def _terms(number: int) -> Terms:
    """The coefficients, which are the number's digits."""
    found, place = [], 0
    while number:
        if digit := number & MASK:
            found.append((place, digit))
        number >>= DIGIT
        place += 1
    return tuple(found)


def _worth(terms: Terms, values: list[int]) -> int:
    return sum(digit * values[place] for place, digit in terms)
