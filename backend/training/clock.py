"""The time that training takes, without its pauses."""

from __future__ import annotations

import time

from finetty.backend.training.commands import Commands


class Clock:
    """Seconds of training in all, and of the step under way; it stands while the run is paused."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.before = 0.0
        """What the processes took that this one resumes."""
        self._began = self._step_began = self._now()

    def start(self) -> None:
        """Training begins now: what came before is the preflight's."""
        self._began = self._now()

    def start_step(self) -> None:
        self._step_began = self._now()

    @property
    def elapsed(self) -> float:
        return self.before + self._now() - self._began

    @property
    def of_step(self) -> float:
        return self._now() - self._step_began

    def _now(self) -> float:
        return time.monotonic() - self._commands.seconds_paused
