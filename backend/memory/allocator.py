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
    __slots__ = ("address", "after", "before", "free", "size")

    def __init__(self, address: int, size: int) -> None:
        self.address, self.size, self.free = address, size, False
        self.before: _Block | None = None
        self.after: _Block | None = None


Free = list[tuple[int, int, _Block]]
"""Free blocks by size, then address."""


class CachingAllocator:
    """`reserved`: bytes of all segments; without pressure none is ever returned. Sizes are multiples of 512."""

    def __init__(self, reserved: int = 0, holes: Iterable[int] = ()) -> None:
        """`holes`: sizes of free blocks of the large pool between blocks that are never given back."""
        self.reserved = reserved
        self._taken: dict[int, tuple[_Block, Free]] = {}
        self._small: Free = []
        self._large: Free = []
        self._end = 0
        for size in holes:
            self._put_back(_Block(self._end, size), self._large)
            self._end += size + 1

    def holes(self) -> tuple[int, ...]:
        """Sizes of the large pool's free blocks."""
        return tuple(size for size, _, _ in self._large)

    def replay(self, events: Iterable[tuple[int, int]]) -> None:
        take, give, taken = self.take, self.give, self._taken
        for number, size in events:
            if size:
                take(number, size)
            elif number in taken:
                give(number)

    def take(self, number: int, size: int) -> int:
        """`size` is a multiple of 512. Returns the block's, larger where the rest was not worth splitting off."""
        small = size <= SMALL
        pool = self._small if small else self._large
        place = bisect_left(pool, (size,))
        block = pool.pop(place)[2] if place < len(pool) else self._segment(size)
        block.free = False
        self._taken[number] = block, pool
        if block.size - size > (511 if small else SMALL):
            self._split(block, size, pool)
        return block.size

    def _segment(self, size: int) -> _Block:
        if size <= SMALL:
            whole = SMALL_SEGMENT
        else:
            whole = MEDIUM_SEGMENT if size < MEDIUM else -(-size // ROUND_LARGE) * ROUND_LARGE
        block = _Block(self._end, whole)
        self._end += whole + 1
        self.reserved += whole
        return block

    def _split(self, block: _Block, size: int, pool: Free) -> None:
        rest, after = _Block(block.address + size, block.size - size), block.after
        rest.before, rest.after = block, after
        if after is not None:
            after.before = rest
        block.after, block.size = rest, size
        self._put_back(rest, pool)

    def give(self, number: int) -> None:
        block, pool = self._taken.pop(number)
        before, after = block.before, block.after
        if before is not None and before.free:
            del pool[bisect_left(pool, (before.size, before.address))]
            self._join(before, block)
            block = before
        if after is not None and after.free:
            del pool[bisect_left(pool, (after.size, after.address))]
            self._join(block, after)
        self._put_back(block, pool)

    def _put_back(self, block: _Block, pool: Free) -> None:
        block.free = True
        insort(pool, (block.size, block.address, block))

    def _join(self, block: _Block, following: _Block) -> None:
        block.size += following.size
        block.after = following.after
        if following.after is not None:
            following.after.before = block
