"""Commands to a run, heard at any time: while the model loads, between micro-batches, in evaluation and saving."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from finetty.backend.runs import Command, Inbox
from finetty.backend.training.journal import Journal

SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_BETWEEN_LOOKS_PAUSED = 0.05

Ending = Literal["stop", "stop-and-save"]


class Stopped(Exception):
    """The user ended the run before there was anything to keep."""


class Commands:
    """The user's wishes: `paused`, `ending` and a checkpoint now.

    A thread looks into the inbox, so that a wish is heard while the trainer is deep in a library; it takes hold when
    the trainer next asks. Pausing and stopping are answered when heard, a checkpoint when it is written.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._inbox = Inbox(journal.run, journal.log)
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="finetty-commands", daemon=True)
        self._checkpoints: list[Command] = []
        self._choosing = False
        self.paused = False
        self.ending: Ending | None = None
        self.seconds_paused = 0.0
        """How long the run has been held in all."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.look()
        self.checkpoint_failed("the run has ended")

    @property
    def checkpoint_wanted(self) -> bool:
        return bool(self._checkpoints)

    def look(self) -> None:
        """Take what the inbox holds."""
        with self._guard:
            for command in self._inbox.take():
                self._obey(command)

    def hold_while_paused(self) -> None:
        """Return at once, or when a pause is over. A run that is stopped goes on to its end."""
        self.look()
        if self._holding:
            self._wait(lambda: not self._holding)

    def chosen(self, seconds: float) -> bool:
        """Hold until somebody chose to go on: True; False when the run was stopped, or nobody answered for so long."""
        until = time.monotonic() + seconds
        self._choosing = True
        self._wait(lambda: not self._choosing or self.ending is not None or time.monotonic() >= until)
        went_on, self._choosing = not self._choosing, False
        return went_on

    def _wait(self, over: Callable[[], bool]) -> None:
        """The run is paused meanwhile, and its clock stands."""
        began = time.monotonic()
        before = self._journal.now
        self._journal.state("paused")
        while not over():
            time.sleep(SECONDS_BETWEEN_LOOKS_PAUSED)
            self.look()
        self.seconds_paused += time.monotonic() - began
        self._journal.state(before)

    def checkpoint_written(self, path: str) -> None:
        for command in self._answered():
            self._inbox.answer(command, "done", path=path)

    def checkpoint_failed(self, reason: str) -> None:
        for command in self._answered():
            self._inbox.answer(command, "error", reason=reason)

    def _answered(self) -> list[Command]:
        with self._guard:
            answered, self._checkpoints = self._checkpoints, []
        return answered

    @property
    def _holding(self) -> bool:
        return self.paused and self.ending is None and not self._checkpoints

    def _obey(self, command: Command) -> None:
        if command.name == "checkpoint":
            self._checkpoints.append(command)
            return
        if command.name == "shrink" and not self._choosing:
            self._inbox.answer(command, "error", reason="the run did not ask")
            return
        if command.name in ("stop", "stop-and-save"):
            self.ending = "stop" if command.name == "stop" else "stop-and-save"
        else:
            self.paused = command.name == "pause"
            self._choosing = self._choosing and self.paused
        self._inbox.answer(command, "done")

    def _listen(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            self.look()


class NoCommands(Commands):
    """For the processes of a run that hear nothing: they are told what the first one heard."""

    def __init__(self, journal: Journal) -> None:
        self.paused, self.seconds_paused = False, 0.0
        self.ending: Ending | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @property
    def checkpoint_wanted(self) -> bool:
        return False

    def look(self) -> None:
        pass

    def hold_while_paused(self) -> None:
        pass

    def checkpoint_written(self, path: str) -> None:
        pass

    def checkpoint_failed(self, reason: str) -> None:
        pass
