"""split_rows(): which rows are kept back to measure on. The same rows and seed give the same split everywhere."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby

from finetty.backend.conversation.rows import Row
from finetty.backend.dataset.kept import KeptRows
from finetty.backend.dataset.reading import fingerprint


def split_rows(rows: Sequence[Row], validation_rows: int, seed: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """Rows to train on and `validation_rows` to measure on, both in the files' order.

    A row is kept back by the hash of what it says and the seed: adding or moving rows moves few others across. A row
    that is there more than once is on one side with all its copies, so that nothing learned is measured.
    """
    count = max(0, min(validation_rows, len(rows) - 1))
    marks = list(_marks(rows)) if count else []
    ranked = _ranked(marks, seed)
    kept_back = _first_whole_groups(ranked, marks, count)
    sides = [index for index in range(len(rows)) if index not in kept_back], sorted(kept_back)
    return _chosen(rows, sides[0]), _chosen(rows, sides[1])


def held_out_order(rows: Sequence[Row], seed: int) -> array[int]:
    """The rows' places in the order in which `split_rows` keeps them back; empty where a row is there twice."""
    marks = list(_marks(rows))
    return array("L", _ranked(marks, seed) if len(set(marks)) == len(marks) else ())


def _ranked(marks: Sequence[bytes], seed: int) -> list[int]:
    return sorted(range(len(marks)), key=lambda index: (_rank(marks[index], seed), index))


def _first_whole_groups(ranked: Sequence[int], marks: Sequence[bytes], count: int) -> set[int]:
    """The first `count` indices, or a few less: equal rows, which follow one another, are taken all or none."""
    taken: set[int] = set()
    for _, group in groupby(ranked, key=marks.__getitem__):
        copies = list(group)
        if len(taken) + len(copies) <= count:
            taken.update(copies)
        if len(taken) == count:
            break
    return taken


def _chosen(rows: Sequence[Row], indices: Sequence[int]) -> Sequence[Row]:
    return rows.chosen(indices) if isinstance(rows, KeptRows) else [rows[index] for index in indices]


def _marks(rows: Sequence[Row]) -> Iterable[bytes]:
    return rows.marks() if isinstance(rows, KeptRows) else map(fingerprint, rows)


def _rank(mark: bytes, seed: int) -> bytes:
    return hashlib.sha256(seed.to_bytes(8, "big") + mark).digest()
