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


class Value:
    """A tensor of `count` numbers of `each` bytes, and its gradient once there is one. Views are the value itself.

    Storages, and the gradient's, are named by their numbers: a step has hundreds, and plan() no time for objects.
    """

    __slots__ = ("count", "each", "gradient", "learns", "storage")

    def __init__(self, storage: int, count: int, each: int, *, learns: bool) -> None:
        self.storage, self.count, self.each, self.learns = storage, count, each, learns
        self.gradient: int | None = None

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
    saved: list[int]
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
        self._holders: list[int] = []
        """How many hold each of them."""
        self._graph: list[Operation] = []

    def take(self, size: int) -> int:
        if not size:
            return NOTHING
        number = len(self.parts)
        self.parts.append(self.part)
        self._holders.append(1)
        self.events.append((number, size))
        return number

    def hold(self, storage: int) -> None:
        """Once more: it is given back when each of its holders has given it."""
        if storage != NOTHING:
            self._holders[storage] += 1

    def give(self, storage: int) -> None:
        if storage != NOTHING:
            self._holders[storage] = left = self._holders[storage] - 1
            if not left:
                self.events.append((storage, 0))

    def take_all(self, sizes: Sequence[int]) -> range:
        """One storage of each size, none of which is 0; their numbers, for `give_all`."""
        numbers = range(len(self.parts), len(self.parts) + len(sizes))
        self.parts += [self.part] * len(sizes)
        self._holders += [1] * len(sizes)
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
        held = [self.take(one) for one in within if one] if within else ()
        learns = bool(keeps)
        for value in inputs:
            learns = learns or value.learns
        output = Value(self.take(count * each), count, each, learns=learns)
        for one in held:
            self.give(one)
        if not (self.saving and output.learns):
            return output
        saved = [value.storage for value in saves]
        if saves_own:
            saved.append(output.storage)
        for storage in saved:
            self.hold(storage)
        if extra:
            saved.append(self.take(extra))
        self._graph.append(Operation(output, inputs, saved, back_within, keeps, manner))
        return output

    def cast(self, value: Value, each: int) -> Value:
        """In another format; the value itself, once more held, where it has that already."""
        if value.each == each:
            self.hold(value.storage)
            return value
        return self.apply(value.count, each, value)

    def add(self, *inputs: Value) -> Value:
        """A sum, in the wider format."""
        return self.apply(inputs[0].count, max(one.each for one in inputs), *inputs, manner="passes")

    def split(self, whole: Value, counts: Sequence[int]) -> list[Value]:
        """Views of parts of a value, which takes their name's place; their gradients are put together again."""
        parts = [Value(whole.storage, count, whole.each, learns=whole.learns) for count in counts]
        for _ in parts[1:]:
            self.hold(whole.storage)
        if self.saving and whole.learns:
            self._graph.append(Operation(parts[0], [whole], [], others=parts[1:]))
        return parts

    def mark(self) -> int:
        """A place in the graph, for `backward` to stop at."""
        return len(self._graph)

    def backward(self, output: Value, gradient: int | None, until: int = 0) -> None:
        """From `output`, whose gradient is handed over, back to `until`."""
        output.gradient = self.take(output.size) if gradient is None else gradient
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

    def _one_back(self, operation: Operation, arrived: int) -> None:
        held = [self.take(one) for one in operation.within if one] if operation.within else ()
        for size in operation.keeps:
            self.keep(size)
        written = iter(operation.saved)
        for one in operation.inputs:
            if one.learns:
                if operation.manner == "passes" and one.each == operation.output.each:
                    self.hold(arrived)
                    self._gather(one, arrived)
                elif operation.manner == "replaces" and (over := next(written, None)) is not None:
                    self.hold(over)
                    self._gather(one, over)
                else:
                    self._gather(one, self.take(one.size))
        for storage in held:
            self.give(storage)

    def _gather(self, value: Value, gradient: int) -> None:
        """A second gradient is added into the first."""
        if value.gradient is None:
            value.gradient = gradient
        else:
            self.give(gradient)
