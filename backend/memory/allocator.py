"""PyTorch's caching allocator with its defaults, replayed: how much it reserves for what a tape takes and gives back.

Sizes and rules are those of c10/cuda/CUDACachingAllocator.cpp: blocks of up to 1 MiB come from segments of 2 MiB, those
under 10 MiB from segments of 20 MiB, larger ones from segments of their own, rounded up to 2 MiB. The smallest free
block that is large enough is taken, and split where enough of it is left; neighbours that are free become one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

MIB = 1 << 20
ROUNDED_TO = 512
"""Blocks are whole multiples of it."""
SMALL, SMALL_SEGMENT, MEDIUM, MEDIUM_SEGMENT, ROUND_LARGE = MIB, 2 * MIB, 10 * MIB, 20 * MIB, 2 * MIB


class _Block:
    __slots__ = ("address", "after", "before", "free", "size", "small")

    def __init__(self, address: int, size: int, *, small: bool) -> None:
        self.address, self.size, self.small, self.free = address, size, small, False
        self.before: _Block | None = None
        self.after: _Block | None = None


class CachingAllocator:
    """`reserved`: bytes of all segments; without pressure none is ever returned. Sizes are multiples of 512."""

    def __init__(self, reserved: int = 0, holes: Iterable[int] = ()) -> None:
        """`holes`: sizes of free blocks of the large pool between blocks that are never given back."""
        self.reserved = reserved
        self._taken: dict[int, _Block] = {}
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._at: dict[int, _Block] = {}
        self._end = 0
        for size in holes:
            hole = _Block(self._end, size, small=False)
            hole.free = True
            self._end += size + 1
            self._at[hole.address] = hole
            insort(self._free[False], (size, hole.address))

    def holes(self) -> tuple[int, ...]:
        """Sizes of the large pool's free blocks."""
        return tuple(size for size, _ in self._free[False])

    def replay(self, events: Iterable[tuple[int, int]]) -> None:
        for number, size in events:
            if size:
                self.take(number, size)
            elif number in self._taken:
                self.give(number)

    def take(self, number: int, size: int) -> None:
        """`size` is a multiple of 512."""
        small = size <= SMALL
        free = self._free[small]
        place = bisect_left(free, (size, -1))
        block = self._at[free.pop(place)[1]] if place < len(free) else self._segment(size, small=small)
        left = block.size - size
        if left >= 512 if small else left > SMALL:
            self._split(block, size)
        block.free = False
        self._taken[number] = block

    def _segment(self, size: int, *, small: bool) -> _Block:
        whole = SMALL_SEGMENT if small else MEDIUM_SEGMENT if size < MEDIUM else -(-size // ROUND_LARGE) * ROUND_LARGE
        block = _Block(self._end, whole, small=small)
        self._end += whole + 1
        self._at[block.address] = block
        self.reserved += whole
        return block

    def _split(self, block: _Block, size: int) -> None:
        rest = _Block(block.address + size, block.size - size, small=block.small)
        rest.free, rest.before, rest.after = True, block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        self._at[rest.address] = rest
        insort(self._free[rest.small], (rest.size, rest.address))

    def give(self, number: int) -> None:
        block = self._taken.pop(number)
        before, after = block.before, block.after
        if before is not None and before.free:
            self._leave_free(before)
            self._join(before, block)
            block = before
        if after is not None and after.free:
            self._leave_free(after)
            self._join(block, after)
        block.free = True
        insort(self._free[block.small], (block.size, block.address))

    def _leave_free(self, block: _Block) -> None:
        free = self._free[block.small]
        free.pop(bisect_left(free, (block.size, block.address)))

    def _join(self, block: _Block, following: _Block) -> None:
        block.size += following.size
        block.after = following.after
        if following.after is not None:
            following.after.before = block
        del self._at[following.address]
