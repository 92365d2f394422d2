"""The dashboard as an app: of the process that trains, or attached to a run of another one.

    outcome = DashboardApp(run, owner=True).run()

`owner` is True in the process that trains and False where a dashboard was attached to a run of another process. The
outcome is one of

- "detach": the person leaves the screen and the run goes on (also where a run that they do not own is left);
- "edit": the run is over and its answers are wanted in the wizard; `fault` names the option at fault, if one is.
- "ended": the run is over (finished, failed, stopped or crashed: `run.status()` says which) and the person has left.
- None: the screen was closed from outside (`app.exit()` on a lost terminal): treat it as "detach".

Stopping is a command in the run directory like any other, so "stop and save" from here keeps the screen until the run
has saved and ended, and then comes back as "ended".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from textual.driver import Driver
from textual.screen import Screen

from finetty.backend.runs import Run
from finetty.tui.base_app import BaseApp
from finetty.tui.processes import back_to_wizard
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.steering import Outcome

SECONDS_OF_A_TURN = 0.001
"""How long the trainer's thread, or the one that reads a log, may keep a key waiting: by default Python gives it 5 ms,
and a key passes through three threads until its answer is on the terminal."""


class DashboardApp(BaseApp[Outcome]):
    """The dashboard as an app of its own. What it returns is described above."""

    def __init__(
        self,
        run: Run,
        *,
        owner: bool,
        clock: Callable[[], float] = time.time,
        driver_class: type[Driver] | None = None,
    ) -> None:
        """`clock` is the wall clock in Unix seconds, for tests to hold still."""
        super().__init__(driver_class=driver_class)
        self.watched, self.owner, self.clock = run, owner, clock
        self.fault: str | None = None
        """The option that the run failed by, once its answers are wanted."""

    async def on_mount(self) -> None:
        sys.setswitchinterval(SECONDS_OF_A_TURN)
        screen = DashboardScreen(self.watched, clock=self.clock)
        self.push_screen(screen, lambda outcome: self._leave(screen, outcome))

    def _leave(self, screen: DashboardScreen, outcome: Outcome | None) -> None:
        self.fault = screen.fault
        if outcome == "edit" and not self.owner:
            # The process that trains has more to end than its screen, and asks by itself.
            back_to_wizard(self.watched, self.fault)
        self.exit(outcome)

    def leave_screen(self, screen: Screen[Any]) -> None:
        if isinstance(screen, DashboardScreen):
            screen.action_leave_run()
        else:
            screen.dismiss(None)
