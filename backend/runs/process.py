"""Which process a pid means: pids are used again, also after a boot and on another host of a shared disk."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """`start` is the start time: clock ticks since boot on Linux, else seconds since 1970. None: no such process."""

    pid: int
    start: float | None
    boot_id: str
    host: str


def identity_of(pid: int) -> ProcessIdentity:
    """The process that has this pid now, on this host."""
    return ProcessIdentity(pid, _start(pid), boot_id(), host())


@cache
def boot_id() -> str:
    """Different after each boot of this host."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        import psutil

        return f"{psutil.boot_time():.0f}"


@cache
def host() -> str:
    return socket.gethostname()


def _start(pid: int) -> float | None:
    if not Path("/proc/self/stat").exists():
        return _start_elsewhere(pid)
    try:
        line = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The name is in brackets and may hold spaces and brackets itself; start time is the 20th field after it.
    fields = line.rpartition(")")[2].split()
    dead = fields[0] in ("Z", "X")
    return None if dead else float(fields[19])


def _start_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
