"""A run of several processes: torchrun starts them, and a dashboard only watches.

    torchrun --nproc-per-node 2 --no-python finetty train RECIPE --plain

Where the recipe names several cards, finetty starts torchrun itself, and the exit code is the run's. torchrun by hand
has its own: 0 where the run finished, 1 where it failed, was stopped or was refused; the run's status says which.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from finetty.backend.messages import Refusal
from finetty.backend.runs import LIVE_STATES, Run, send_command
from finetty.tui.errors import EXIT_FAILED, exit_code_of


def follows() -> bool:
    """Whether torchrun started this process beside the one that makes the run."""
    return int(os.environ.get("RANK", "0")) > 0


def follow() -> NoReturn:
    """Become a process that waits for the first one's run and takes part in it."""
    os.execv(sys.executable, [sys.executable, "-m", "finetty.tui.run"])


def followed() -> int:
    """Take part in the first process's run; returns the exit code, which is not a verdict on the run.

    A process that ends with another code than 0 makes torchrun end the first one too, which may still be saving. A
    signal is the first one's to hear: it stops all of them between two steps. torchrun ends those that hang.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from finetty.backend.training import take_part

    return EXIT_FAILED if take_part() == "failed" else 0


def needed(run: Run) -> bool:
    """Whether the run has a process for each of several cards, and nobody has started them."""
    return "RANK" not in os.environ and _processes(run.plan_document()) > 1


def command(run: Run, options: Sequence[str]) -> list[str]:
    """torchrun's command line for a run on this machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    count = str(_processes(run.plan_document()))
    plain = [*(option for option in options if option != "--plain"), "--plain"]
    return [*torchrun, "--nproc-per-node", count, "-m", "finetty.tui.run", str(run.path), *plain]


def launch(run: Run, options: Sequence[str]) -> int:
    """Start the processes and wait for them, or for the dashboard that watches them and may go; the exit code."""
    words = command(run, options)
    if "--plain" in options:
        return _waited_for(run, words)
    from finetty.tui.dashboard_app import DashboardApp

    with run.console_path.open("ab") as console:
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True
        )
    DashboardApp(run, owner=False).run()
    state = run.status().state
    return 0 if state in LIVE_STATES else exit_code_of(state)


def _waited_for(run: Run, words: Sequence[str]) -> int:
    """torchrun knows only that a process failed; what became of the run stands in its status.

    It has a session of its own, so that a terminal's Ctrl+C does not end it: the first signal stops the run and saves,
    without torchrun's limit of 30 seconds, and a second one ends it.
    """
    heard: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        heard.append(number)
        if len(heard) > 1:
            processes.terminate()
            return
        with contextlib.suppress(Refusal):
            send_command(run, "stop-and-save")

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    processes = subprocess.Popen(words, start_new_session=True)
    processes.wait()
    return exit_code_of(run.status().state, heard[0] if heard else None)


def _processes(plan: dict[str, Any]) -> int:
    devices = plan["recipe"]["hardware"]["devices"]
    return len(devices) if isinstance(devices, list) else 1
