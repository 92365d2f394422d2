"""What the trainer cannot see while it trains: that no step comes any more, and that the disk is filling up."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from finetty.backend.messages import message
from finetty.backend.training.journal import Journal

STALLED = message("lookout.stalled", "No step has been taken for {minutes} minutes; one took {seconds} seconds before.")
SEE_WHY = message(
    "lookout.see_why",
    "Look into the log and at what else uses this machine. If it stays so, end the process and `finetty resume {run}`: "
    "it goes on from its last checkpoint.",
)
DISK_FILLS = message(
    "lookout.disk_fills", "The disk is filling up: {free} GiB are free, and a checkpoint takes {checkpoint} GiB."
)
FREE_NOW = message("lookout.free_now", "A checkpoint is written now, while it fits. Free some space, or pause the run.")

SECONDS_BETWEEN_LOOKS = 5.0
SHORTEST_STALL, STEPS_OF_A_STALL = 300.0, 20.0
"""A run stalls when nothing comes for so many seconds and for as long as so many of its steps."""
CHECKPOINTS_OF_ROOM, SPARE = 2, 64 << 20
"""The disk fills up when it has room for fewer checkpoints than this, and so many bytes for the log."""


class Lookout:
    """`with Lookout(journal) as lookout: …` looks every few seconds; it is told of signs of life and of steps."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._journal, self._clock, self._free = journal, clock, free
        self._over = threading.Event()
        self._seconds: deque[float] = deque(maxlen=20)
        self._alive = clock()
        self._stalled = self._full = False
        self.checkpoint_bytes = 0
        """What one takes on the disk; 0 while that is not known."""
        self.checkpoint_due = False
        """Whether one should be written at the next step, before the disk is full."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="lookout", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def alive(self) -> None:
        """The trainer has got on with something."""
        self._alive = self._clock()

    def step(self, seconds: float) -> None:
        """An optimizer step was taken in so many seconds."""
        self._seconds.append(seconds)
        self._stalled = False
        self.alive()

    def look(self) -> None:
        """Tell what is wrong now, once for as long as it lasts."""
        self._look_for_stall()
        self._look_at_disk()

    def _look_for_stall(self) -> None:
        if self._journal.now != "running" or not self._seconds:
            self.alive()
            return
        quiet, usual = self._clock() - self._alive, max(self._seconds)
        if quiet >= max(SHORTEST_STALL, STEPS_OF_A_STALL * usual) and not self._stalled:
            self._stalled = True
            said = STALLED(minutes=round(quiet / 60), seconds=f"{usual:.1f}")
            self._journal.alert("warning", said, SEE_WHY(run=self._journal.run.id))

    def _look_at_disk(self) -> None:
        size = self.checkpoint_bytes
        if not size or self._journal.now != "running":
            return
        free = self._free(self._journal.run.path)
        full = free < CHECKPOINTS_OF_ROOM * size + SPARE
        if full and not self._full:
            said = DISK_FILLS(free=f"{free / 2**30:.2f}", checkpoint=f"{size / 2**30:.2f}")
            self._journal.alert("warning", said, FREE_NOW(), option="output.keep")
            self.checkpoint_due = True
        self._full = full

    def _watch(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            with suppress(OSError):  # a disk that is full is the trainer's to tell
                self.look()
