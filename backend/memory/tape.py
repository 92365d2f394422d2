"""What a training step takes from memory and gives back, in order: every storage, from its making to its last use.

A step is written as operations on values. Each operation says what it makes, what autograd saves for it and what comes
and goes inside; `backward` walks them from the last to the first as autograd's engine does. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NOTHING = -1
"""The number of a storage without bytes."""


class Storage:
    """A piece of memory and the number of its holders."""

    __slots__ = ("holders", "number")

    def __init__(self, number: int) -> None:
        self.number, self.holders = number, 1


class Value:
    """A tensor of `count` numbers of `each` bytes, and its gradient once there is one. Views are the value itself."""

    __slots__ = ("count", "each", "gradient", "learns", "storage")

    def __init__(self, storage: Storage, count: int, each: int, *, learns: bool) -> None:
        self.storage, self.count, self.each, self.learns = storage, count, each, learns
        self.gradient: Storage | None = None

    @property
    def size(self) -> int:
        return self.count * self.each


@dataclass(slots=True)
class Operation:
    """One node of autograd's graph; `manner` is how its inputs' gradients come about.

    makes: new storages; passes: the arriving gradient is theirs too, where formats agree; replaces: they are written
    over what was saved.
    """

    output: Value
    inputs: Sequence[Value]
    saved: list[Storage]
    within: Sequence[int] = ()
    keeps: Sequence[int] = ()
    manner: Literal["makes", "passes", "replaces"] = "makes"
    others: Sequence[Value] = ()
    """Outputs beside the first."""


class Tape:
    """The events of a step.

    `gathers`: gradients of parameters are there already, and what comes is added to them.
    """

    def __init__(self, *, gathers: bool = False) -> None:
        self._gathers = gathers
        self.events: list[tuple[int, int]] = []
        """(storage's number, its size) where it is taken, (number, 0) where it is given back."""
        self.saving = True
        """Off while a checkpointed layer runs forward: its operations leave no graph."""
        self.part = "activations"
        """What the storages that are taken now belong to."""
        self.parts: list[str] = []
        """Of each storage, by its number."""
        self._graph: list[Operation] = []

    def take(self, size: int) -> Storage:
        if not size:
            return Storage(NOTHING)
        number = len(self.parts)
        self.parts.append(self.part)
        self.events.append((number, size))
        return Storage(number)

    def give(self, storage: Storage) -> None:
        storage.holders -= 1
        if storage.holders == 0 and storage.number != NOTHING:
            self.events.append((storage.number, 0))

    def take_all(self, sizes: Sequence[int]) -> range:
        """One storage of each size, none of which is 0; their numbers, for `give_all`."""
        numbers = range(len(self.parts), len(self.parts) + len(sizes))
        self.parts += [self.part] * len(sizes)
        self.events += zip(numbers, sizes, strict=True)
        return numbers

    def give_all(self, numbers: range) -> None:
        self.events += [(number, 0) for number in numbers]

    def passing(self, *sizes: int) -> None:
        """Storages that live together for a moment."""
        for storage in [self.take(size) for size in sizes if size]:
            self.give(storage)

    def keep(self, size: int, *, added: bool = False) -> None:
        """A parameter's gradient: it stays, or is added to the one that stays."""
        added = added or self._gathers
        self.part, part = "workspace" if added else "gradients", self.part
        gradient = self.take(size)
        if added:
            self.give(gradient)
        self.part = part

    def value(self, count: int, each: int, *, learns: bool = True) -> Value:
        return Value(self.take(count * each), count, each, learns=learns)

    def drop(self, *values: Value) -> None:
        """The program's own names for these values end here."""
        for value in values:
            self.give(value.storage)

    def apply(
        self,
        count: int,
        each: int,
        *inputs: Value,
        saves: Sequence[Value] = (),
        saves_own: bool = False,
        extra: int = 0,
        within: Sequence[int] = (),
        back_within: Sequence[int] = (),
        keeps: Sequence[int] = (),
        manner: Literal["makes", "passes", "replaces"] = "makes",
    ) -> Value:
        """A new value.

        `saves` and `saves_own`: inputs, and the output itself, that are saved for the backward pass; `extra`: bytes
        saved beside them; `within`, `back_within`: temporaries of the forward and the backward computation; `keeps`:
        gradients of parameters, which stay.
        """
        held = [self.take(one) for one in within if one]
        output = self.value(count, each, learns=any(one.learns for one in inputs) or bool(keeps))
        for one in held:
            self.give(one)
        if not (self.saving and output.learns):
            return output
        saved = [one.storage for one in saves]
        if saves_own:
            saved.append(output.storage)
        for storage in saved:
            storage.holders += 1
        if extra:
            saved.append(self.take(extra))
        self._graph.append(Operation(output, inputs, saved, back_within, keeps, manner))
        return output

    def cast(self, value: Value, each: int) -> Value:
        """In another format; the value itself, once more held, where it has that already."""
        if value.each == each:
            value.storage.holders += 1
            return value
        return self.apply(value.count, each, value)

    def add(self, *inputs: Value) -> Value:
        """A sum, in the wider format."""
        return self.apply(inputs[0].count, max(one.each for one in inputs), *inputs, manner="passes")

    def split(self, whole: Value, counts: Sequence[int]) -> list[Value]:
        """Views of parts of a value, which takes their name's place; their gradients are put together again."""
        parts = [Value(whole.storage, count, whole.each, learns=whole.learns) for count in counts]
        whole.storage.holders += len(parts) - 1
        if self.saving and whole.learns:
            self._graph.append(Operation(parts[0], [whole], [], others=parts[1:]))
        return parts

    def mark(self) -> int:
        """A place in the graph, for `backward` to stop at."""
        return len(self._graph)

    def backward(self, output: Value, gradient: Storage | None, until: int = 0) -> None:
        """From `output`, whose gradient is handed over, back to `until`."""
        output.gradient = gradient or self.take(output.size)
        while len(self._graph) > until:
            operation = self._graph.pop()
            arrived = operation.output.gradient
            if arrived is not None:
                self._one_back(operation, arrived)
                operation.output.gradient = None
                self.give(arrived)
            for one in operation.others:
                if one.gradient is not None:
                    self.give(one.gradient)
                    one.gradient = None
            for storage in operation.saved:
                self.give(storage)

    def _one_back(self, operation: Operation, arrived: Storage) -> None:
        held = [self.take(one) for one in operation.within if one]
        for size in operation.keeps:
            self.keep(size)
        written = iter(operation.saved)
        for one in operation.inputs:
            if one.learns:
                if operation.manner == "passes" and one.each == operation.output.each:
                    arrived.holders += 1
                    self._gather(one, arrived)
                elif operation.manner == "replaces" and (over := next(written, None)) is not None:
                    over.holders += 1
                    self._gather(one, over)
                else:
                    self._gather(one, self.take(one.size))
        for storage in held:
            self.give(storage)

    def _gather(self, value: Value, gradient: Storage) -> None:
        """A second gradient is added into the first."""
        if value.gradient is None:
            value.gradient = gradient
        else:
            self.give(gradient)
