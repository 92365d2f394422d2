"""split_rows(): which rows are kept back to measure on. The same rows and seed give the same split everywhere."""

from __future__ import annotations

import hashlib

from finetty.backend.conversation.rows import Row
from finetty.backend.dataset.reading import fingerprint


def split_rows(rows: list[Row], validation_rows: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to train on and `validation_rows` to measure on, both in the files' order.

    A row is kept back by the hash of what it says and the seed: adding or moving rows moves few others across.
    """
    count = max(0, min(validation_rows, len(rows) - 1))
    ranked = sorted(range(len(rows)), key=lambda index: (_rank(rows[index], seed), index))
    kept_back = set(ranked[:count])
    training = [row for index, row in enumerate(rows) if index not in kept_back]
    return training, [rows[index] for index in sorted(kept_back)]


def _rank(row: Row, seed: int) -> bytes:
    return hashlib.sha256(seed.to_bytes(8, "big") + fingerprint(row)).digest()
