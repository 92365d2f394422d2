"""Whether a model's files are still those that a run began with, without reading all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from finetty.backend.models.weights import weight_files

PIECES = 64
PIECE_BYTES = 1 << 16
"""Of each weight file: spread evenly from its first byte to its last, 4 MiB in all."""


def fingerprint(folder: Path) -> str:
    """SHA-256 over the configuration and the names, sizes, headers and samples of the weights. Raises Refusal, OSError.

    Training or converting a model changes nearly every weight, so samples tell; a few changed bytes may go unseen.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        last = max(0, size - PIECE_BYTES)
        with path.open("rb") as file:
            for place in sorted({last * piece // (PIECES - 1) for piece in range(PIECES)}):
                file.seek(place)
                digest.update(file.read(PIECE_BYTES))
    return digest.hexdigest()
