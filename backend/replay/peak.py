"""The most that a trace takes at once, and what is in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from finetty.backend.memory.allocator import CachingAllocator
from finetty.backend.replay.events import Event, Trace


@dataclass(frozen=True)
class Peak:
    """Bytes. `components`: by part, at the moment of the peak."""

    allocated: int
    reserved: int
    components: dict[str, int]


def peak_of(trace: Trace, *, caching: bool) -> Peak:
    """With `caching`, as PyTorch's allocator for cards counts: blocks that were not worth splitting count whole."""
    allocator = CachingAllocator() if caching else None
    sizes: dict[int, int] = {}
    live = most = at = 0
    for place, (number, size, _) in enumerate(trace.events):
        if size:
            if allocator is not None:
                size = allocator.take(number, size)
            sizes[number] = size
            live += size
            if live > most:
                most, at = live, place
        elif number in sizes:
            live -= sizes.pop(number)
            if allocator is not None:
                allocator.give(number)
    reserved = allocator.reserved if allocator is not None else most
    return Peak(most, reserved, _parts(trace.events[: at + 1], trace.parts))


def _parts(events: list[Event], parts: dict[int, str]) -> dict[str, int]:
    sizes: dict[int, int] = {}
    for number, size, _ in events:
        if size:
            sizes[number] = size
        else:
            sizes.pop(number, None)
    found: Counter[str] = Counter()
    for number, size in sizes.items():
        found[parts[number]] += size
    return dict(found)
