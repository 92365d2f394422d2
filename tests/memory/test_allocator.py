"""The replayed caching allocator, by the rules of PyTorch's."""

from __future__ import annotations

from finetty.backend.memory.allocator import MIB, CachingAllocator


def reserved(*events: tuple[int, int]) -> int:
    allocator = CachingAllocator()
    allocator.replay(events)
    return allocator.reserved


def test_small_blocks_share_a_segment_of_2_mib() -> None:
    assert reserved((1, 512), (2, MIB), (3, 512)) == 2 * MIB
    assert reserved((1, MIB), (2, MIB), (3, 512)) == 4 * MIB


def test_blocks_below_10_mib_share_a_segment_of_20() -> None:
    assert reserved((1, 8 * MIB), (2, 8 * MIB)) == 20 * MIB
    assert reserved((1, 8 * MIB), (2, 8 * MIB), (3, 8 * MIB)) == 40 * MIB


def test_large_blocks_have_segments_of_their_own_in_steps_of_2_mib() -> None:
    assert reserved((1, 11 * MIB)) == 12 * MIB


def test_what_is_given_back_is_taken_again() -> None:
    assert reserved((1, 100 * MIB), (1, 0), (2, 60 * MIB), (3, 40 * MIB)) == 100 * MIB


def test_neighbours_that_are_free_become_one() -> None:
    parts = ((1, 100 * MIB), (1, 0), (2, 50 * MIB), (3, 50 * MIB))
    assert reserved(*parts, (2, 0), (3, 0), (4, 100 * MIB)) == 100 * MIB
    assert reserved(*parts, (2, 0), (4, 100 * MIB)) == 200 * MIB


def test_a_block_in_use_splits_the_room_for_a_larger_one() -> None:
    """Fragmentation: 80 MiB are free in all, and none of it takes 60."""
    events = ((1, 100 * MIB), (1, 0), (2, 40 * MIB), (3, 20 * MIB), (4, 40 * MIB), (2, 0), (4, 0))
    assert reserved(*events, (5, 60 * MIB)) == 160 * MIB
