"""One process from its start to its end: its wall time, its processor time and its peak of memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spent:
    """Of a process and those it waited for: seconds by the clock, seconds of a processor, and bytes at the peak."""

    wall: float
    processor: float
    peak: int


def spent_by(command: Sequence[str], *, log: Path, **environment: str) -> Spent:
    """Run it to its end; what it says goes to `log`. Raises SystemExit with the end of that where it fails."""
    began = time.perf_counter()
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed:\n{log.read_text(errors='replace')[-3000:]}")
    return Spent(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
