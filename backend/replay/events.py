"""What was taken from memory and given back, in order, and the layer that it was for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

ROUNDED_TO = 512


class Event(NamedTuple):
    """A storage is taken (`size` bytes, above 0) or given back (0). `layer`: of those that were run; None: of none."""

    number: int
    size: int
    layer: int | None


@dataclass
class Trace:
    """`parts`: what each storage belongs to, by its number; `outside`: bytes that torch's allocator never sees."""

    events: list[Event] = field(default_factory=list)
    parts: dict[int, str] = field(default_factory=dict)
    outside: int = 0


class NotSteady(Exception):
    """Layers that look alike did not take memory alike, so one cannot stand for the others."""


@dataclass(frozen=True)
class Stretch:
    """Like layers of which few were run: `first` is the place of the unit to repeat, `period` its layers.

    The units before and after it were run too and are like it; `copies` is how many there are in its place.
    """

    first: int
    period: int
    copies: int


def repeated(trace: Trace, stretch: Stretch) -> Trace:
    """The trace with the stretch at its whole length. Raises NotSteady."""
    return _Repetition(trace, stretch).trace()


class _Repetition:
    def __init__(self, trace: Trace, stretch: Stretch) -> None:
        self._trace, self._stretch = trace, stretch
        self._owner: dict[int, tuple[int, int]] = {}
        """Of each storage of the three units: the unit, -1, 0 or 1, and which of its storages it is."""
        self._taken: dict[int, list[int]] = {-1: [], 0: [], 1: []}
        self._next = max(trace.parts, default=0) + 1
        self._copies: dict[tuple[int, int], int] = {}
        self._made = Trace(parts=dict(trace.parts), outside=trace.outside)

    def trace(self) -> Trace:
        self._number_storages()
        run: list[Event] = []
        before: int | None = None
        for event in self._trace.events:
            if self._unit(event.layer) == 0:
                run.append(event)
                continue
            if run:
                self._repeat(run, descending=self._after(before, event.layer))
                run = []
            before = event.layer
            self._made.events.append(Event(self._seen_outside(event), event.size, event.layer))
        if run:
            self._repeat(run, descending=False)
        return self._made

    def _unit(self, layer: int | None) -> int | None:
        if layer is None:
            return None
        unit = (layer - self._stretch.first) // self._stretch.period
        return unit if -1 <= unit <= 1 else None

    def _number_storages(self) -> None:
        shapes: dict[int, list[int]] = {-1: [], 0: [], 1: []}
        for event in self._trace.events:
            unit = self._unit(event.layer)
            if unit is None:
                continue
            shapes[unit].append(event.size)
            if event.size:
                self._owner[event.number] = unit, len(self._taken[unit])
                self._taken[unit].append(event.number)
        taken = [[size for size in shapes[unit] if size] for unit in (-1, 0, 1)]
        # What the layers at the ends leave behind is given back within the unit beside them.
        if not taken[0] == taken[1] == taken[2] or shapes[0] not in (shapes[-1], shapes[1]):
            raise NotSteady

    def _after(self, before: int | None, after: int | None) -> bool:
        """Whether the layers come from the last to the first here."""
        first = self._stretch.first
        return (before is not None and before > first) or (after is not None and before is None and after < first)

    def _repeat(self, run: Sequence[Event], *, descending: bool) -> None:
        copies = range(self._stretch.copies)
        for copy in reversed(copies) if descending else copies:
            for event in run:
                self._made.events.append(Event(self._seen_within(event, copy), event.size, event.layer))

    def _seen_within(self, event: Event, copy: int) -> int:
        owner = self._owner.get(event.number)
        if owner is None:
            raise NotSteady
        unit, place = owner
        if not 0 <= copy + unit < self._stretch.copies:
            return event.number
        return self._copy_of(self._taken[0][place], copy + unit)

    def _seen_outside(self, event: Event) -> int:
        unit, _ = self._owner.get(event.number, (None, 0))
        if unit != 0 or event.layer is None:
            return event.number
        last = event.layer > self._stretch.first
        return self._copy_of(event.number, self._stretch.copies - 1 if last else 0)

    def _copy_of(self, number: int, copy: int) -> int:
        if copy == 0:
            return number
        found = self._copies.get((number, copy))
        if found is None:
            found = self._copies[number, copy] = self._next
            self._made.parts[found] = self._made.parts[number]
            self._next += 1
        return found
