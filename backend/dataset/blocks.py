"""Texts for pretraining put together into sequences of one length, so that next to nothing of them is padding.

Best fit decreasing: the longest text first, each into the fullest sequence that still has room for it, so that no text
is cut that fits into a sequence ("Fewer Truncations Improve Language Modeling", Ding et al. 2024).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence


def cut_texts(lengths: Iterable[int], size: int) -> list[int]:
    """The lengths of the texts' parts, in order: one that is longer than a sequence fills whole ones, and a rest."""
    parts: list[int] = []
    for length in lengths:
        whole, rest = divmod(length, size)
        parts += [size] * whole
        if rest:
            parts.append(rest)
    return parts


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Which parts share a sequence: their places in `lengths`, each once, none of them longer than `size`.

    A pure function: a resumed run has the same sequences. Parts keep their order within a sequence, and sequences that
    of their first parts.
    """
    blocks: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    rooms: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        length = lengths[place]
        found = bisect_left(rooms, length)
        if found == len(rooms):
            block, room = len(blocks), size
            blocks.append([])
        else:
            room = rooms[found]
            block = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[found]
        blocks[block].append(place)
        if room > length:
            if room - length not in with_room:
                insort(rooms, room - length)
            with_room.setdefault(room - length, []).append(block)
    return sorted(sorted(block) for block in blocks)
