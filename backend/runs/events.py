"""events.jsonl: what happened in a run, one JSON object a line, appended by the trainer and tailed by its viewers."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetty.backend.files import is_full

if TYPE_CHECKING:
    from finetty.backend.runs.directory import Run

Event = dict[str, Any]

LONGEST_LINE = 1 << 20
MOST_HELD_BACK = 8 << 20
"""Bytes of events that wait in memory for a full disk to have room again."""
_CHUNK = 1 << 16
_KINDS_OF_STEPS = ("step", "eval", "checkpoint", "sample")


class EventLog:
    """Appends events. Each is one write() on a file opened for appending, so lines of two threads never mix."""

    def __init__(self, run: Run) -> None:
        """Open the log. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(run.events_path, flags, 0o600)
        self._guard = threading.Lock()
        # A half line that a killed process left would swallow the next one: end it first.
        self._unwritten = bytearray(b"\n" if self._ends_torn() else b"")

    def append(self, kind: str, **values: Any) -> None:
        """Write one event. Numbers that are not finite become null, with `nonfinite` naming them.

        While the disk is full, events wait in memory and go out with the next one. Raises OSError for another fault, or
        when too many wait.
        """
        finite, nonfinite = _finite(values)
        event = {"time": time.time(), "kind": kind, **finite}
        if nonfinite:
            event["nonfinite"] = nonfinite
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        with self._guard:
            self._unwritten += line
            self._write()

    @property
    def held_back(self) -> bool:
        """Whether events wait for room on the disk."""
        return bool(self._unwritten)

    def sync(self) -> None:
        """Write what waits, and fsync, at each checkpoint. Raises OSError."""
        with self._guard:
            self._write()
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self) -> None:
        try:
            while self._unwritten:
                del self._unwritten[: os.write(self._descriptor, self._unwritten)]
        except OSError as error:
            if not is_full(error) or len(self._unwritten) > MOST_HELD_BACK:
                raise

    def _ends_torn(self) -> bool:
        size = os.fstat(self._descriptor).st_size
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"


class EventReader:
    """Reads a growing log bit by bit. A broken line is counted in `broken` and passed over, never an error."""

    def __init__(self, path: Path, start: int = 0) -> None:
        """`start` is the byte at which the first line to be read begins."""
        self.path = path
        self.broken = 0
        self._offset = start
        self._rest = b""
        self._file_id: tuple[int, int] | None = None
        self._skipping = False

    @property
    def offset(self) -> int:
        """Bytes of the log up to the end of the last line that was read."""
        return self._offset - len(self._rest)

    def read(self, max_events: int = 5000, max_seconds: float = 0.05) -> list[Event]:
        """The next events, at most so many and for about so long; empty when there is nothing new yet.

        A half-written last line waits for its end. A log that was replaced or cut short is read from its start.
        """
        until = time.monotonic() + max_seconds
        events: list[Event] = []
        try:
            with self.path.open("rb") as file:
                self._follow(os.fstat(file.fileno()))
                file.seek(self._offset)
                while self._take(events, max_events) or self._fill(file.read(_CHUNK)):
                    if len(events) >= max_events or time.monotonic() >= until:
                        break
        except OSError:
            pass  # not there yet, or on a disk that went away: there is nothing new
        return events

    def _follow(self, found: os.stat_result) -> None:
        file_id = (found.st_dev, found.st_ino)
        if self._file_id not in (None, file_id) or found.st_size < self._offset:
            self._offset, self._rest, self._skipping = 0, b"", False
        self._file_id = file_id

    def _fill(self, chunk: bytes) -> bool:
        """Take in more of the file; False at its end. A line without end is given up, and counted once."""
        self._offset += len(chunk)
        self._rest += chunk
        if len(self._rest) > LONGEST_LINE and b"\n" not in self._rest:
            self.broken += not self._skipping
            self._rest, self._skipping = b"", True
        return bool(chunk)

    def _take(self, events: list[Event], max_events: int) -> bool:
        """Move whole lines from the rest to `events`; False when there were none."""
        *lines, self._rest = self._rest.split(b"\n", max_events - len(events))
        for line in lines:
            event = None if self._skipping else _event(line)
            if event is not None:
                events.append(event)
            elif line.strip() and not self._skipping:
                self.broken += 1
            self._skipping = False
        return bool(lines)


def history(path: Path, kinds: Iterable[str] = ("step",)) -> list[Event]:
    """All events of these kinds, in order; a resume's `state {resumed_from: N}` voids what it goes over again."""
    wanted = frozenset(kinds)
    reader = EventReader(path)
    kept: list[Event] = []
    while events := reader.read(max_seconds=1.0):
        for event in events:
            kept = without_voided(kept, event)
            if event["kind"] in wanted:
                kept.append(event)
    return kept


def without_voided(events: list[Event], event: Mapping[str, Any]) -> list[Event]:
    """`events` as they count after `event`: the same list, unless it says that training went back to a step."""
    resumed_from = event.get("resumed_from") if event["kind"] == "state" else None
    if not isinstance(resumed_from, int):
        return events
    return [one for one in events if not _is_after(one, resumed_from)]


def _is_after(event: Event, step: int) -> bool:
    at = event.get("step")
    return event["kind"] in _KINDS_OF_STEPS and isinstance(at, int) and at > step


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


def _finite(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    nonfinite: list[str] = []
    return {name: _with_null(name, value, nonfinite) for name, value in values.items()}, nonfinite


def _with_null(name: str, value: Any, nonfinite: list[str]) -> Any:
    """`value` as JSON can hold it; names of numbers that it cannot hold go to `nonfinite` (`gpu.power`, `loss`)."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        nonfinite.append(name)
        return None
    if isinstance(value, Mapping):
        return {str(key): _with_null(f"{name}.{key}", one, nonfinite) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_null(f"{name}.{index}", one, nonfinite) for index, one in enumerate(value)]
    return value if isinstance(value, str | int | None) else str(value)
