"""status.json: where a run is, rewritten whole by the process that trains and read by everybody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from finetty.backend.files import is_full, write_whole
from finetty.backend.messages import Refusal, message

LIVE_STATES = ("queued", "loading", "preflight", "running", "paused", "saving")
END_STATES = ("finished", "failed", "stopped")

BROKEN_STATUS = message("runs.broken_status", "This run's status cannot be read: {reason}.")

SECONDS_BETWEEN_WRITES = 1.0


@dataclass(frozen=True)
class Status:
    """`state` is one of LIVE_STATES and END_STATES, or "crashed" as viewers see it. Times are Unix seconds.

    `pid`, `process_start`, `boot_id` and `host` name the process that trains; `pid` is None until one has begun.
    """

    state: str = "queued"
    step: int = 0
    total: int | None = None
    pid: int | None = None
    process_start: float | None = None
    boot_id: str | None = None
    host: str | None = None
    started: float | None = None
    last_checkpoint: str | None = None
    name: str = ""


def read_status(path: Path) -> Status:
    """What the file says, whether or not its process still lives. Raises Refusal."""
    try:
        content = json.loads(path.read_bytes())
        return _status(content)
    except OSError as error:
        raise Refusal(BROKEN_STATUS(reason=error.strerror or "it cannot be opened"), path=path) from None
    except (ValueError, TypeError, RecursionError):
        raise Refusal(BROKEN_STATUS(reason="it is not a run's status"), path=path) from None


def write_new_status(path: Path, status: Status) -> None:
    write_whole(path, _bytes(status))


class StatusFile:
    """Writes status.json for the process that trains; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._status: Status | None = None
        self._written = -SECONDS_BETWEEN_WRITES
        self._unwritten = False
        self._guard, self._pen = threading.Lock(), threading.Lock()

    def change(self, changes: Mapping[str, Any], *, at_once: bool = False, wait: bool = True) -> None:
        """Take in changes, and write at most once a second unless the state changes or `at_once`.

        Without `wait` a thread writes what has no new state: a disk may take longer than a step. What is held back,
        also by a full disk, goes out with the next write. Raises OSError, for a full disk only where it is `at_once`;
        TypeError for an unknown name.
        """
        with self._guard:
            before = self._status or read_status(self._path)
            self._status = replace(before, **changes)
            self._unwritten = True
            now = at_once or self._status.state != before.state
            due = time.monotonic() - self._written >= SECONDS_BETWEEN_WRITES
            if due and not wait:
                self._written = time.monotonic()
        if now or (due and wait):
            self._write(at_once=at_once)
        elif due:
            threading.Thread(target=self._write, name="status").start()

    def _write(self, *, at_once: bool = False) -> None:
        """What is newest; nothing where another thread has written it meanwhile."""
        with self._pen:
            with self._guard:
                if not self._unwritten or self._status is None:
                    return
                content, self._unwritten = _bytes(self._status), False
            try:
                write_whole(self._path, content)
                self._written = time.monotonic()
            except OSError as error:
                self._unwritten = True
                if at_once or not is_full(error):
                    raise


def _bytes(status: Status) -> bytes:
    return (json.dumps(asdict(status), ensure_ascii=False, indent=2) + "\n").encode()


def _status(content: Any) -> Status:
    """A later version's extra keys are passed over. Raises TypeError or ValueError."""
    if not isinstance(content, dict) or content.get("state") not in (*LIVE_STATES, *END_STATES):
        raise ValueError("no state")
    known = {field.name: content[field.name] for field in fields(Status) if field.name in content}
    for name in ("step", "total", "pid"):
        if not isinstance(known.get(name, 0), int | None):
            raise ValueError(name)
    return Status(**known)
