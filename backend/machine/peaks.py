"""What runs on this machine's cards really took beside what was predicted: kept, and read again for later plans."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from finetty.backend.files import write_whole
from finetty.backend.folders import state_root

KEPT = 200
"""Records, the newest; a card's correction needs few."""


@dataclass(frozen=True)
class Peak:
    """One run's peak on one card, in bytes; None where it was not measured. `way` is what was trained and how."""

    card: str
    uuid: str | None
    driver: str | None
    torch: str | None
    way: str
    predicted_allocated: int
    predicted_reserved: int
    predicted_process: int
    allocated: int | None
    reserved: int | None
    process: int | None
    """As NVML shows the whole process."""
    date: float = 0.0


def peaks_file() -> Path:
    return state_root() / "finetty" / "peaks.jsonl"


def stored_peaks() -> tuple[Peak, ...]:
    """The records, oldest first; a line that is none is passed over. Never raises."""
    try:
        lines = peaks_file().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(peak for line in lines[-KEPT:] if (peak := _peak(line)) is not None)


def store_peak(peak: Peak) -> None:
    """Add a record, in one write. A disk that cannot take it costs only the record."""
    path = peaks_file()
    line = json.dumps(asdict(peak)) + "\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > 2 * KEPT * len(line):
            _keep_newest(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError:
        return


def _keep_newest(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    write_whole(path, b"".join(lines[-KEPT:]))


def _peak(line: str) -> Peak | None:
    try:
        found: Any = json.loads(line)
        known = {field.name: found[field.name] for field in fields(Peak)}
    except (ValueError, TypeError, KeyError):
        return None
    hints = get_type_hints(Peak)
    for name, value in known.items():
        allowed = get_args(hints[name]) or (hints[name],)
        if not isinstance(value, (*allowed, int) if hints[name] is float else allowed) or isinstance(value, bool):
            return None
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
            return None
    return Peak(**known)
