"""console.log: what libraries print while a run goes on, kept to a size."""

from __future__ import annotations

from pathlib import Path

LARGEST = 32 << 20
KEPT_HEAD = 1 << 20
KEPT_TAIL = 8 << 20

_CUT = b"\n[... finetty cut this log here, to keep it small ...]\n"


def trim_console(path: Path) -> bool:
    """Cut the middle out of a log that has grown beyond LARGEST bytes; False when it has not.

    Whoever writes to it has it open for appending, and so goes on at its new end. Raises OSError.
    """
    if not path.is_file() or path.stat().st_size <= LARGEST:
        return False
    with path.open("r+b") as file:
        file.seek(-KEPT_TAIL, 2)
        tail = file.read(KEPT_TAIL)
        file.truncate(KEPT_HEAD)
        file.seek(KEPT_HEAD)
        file.write(_CUT + tail)
    return True
