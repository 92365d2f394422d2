"""What happens to terminals and processes, done to the real program in the middle of its steps, and what came of it.

Holder, child, dashboard and driver are the installed program's. The trainer is the real one on a tiny model, or a
thread that only steps (`tests/tui/stepping.py`), which is the same to everything around it and starts in a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.conftest import COLOURS, llama_config, llama_shapes, write_config, write_tokenizer, write_weights
from tests.e2e.terminal import Terminal

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import EventReader, Run, history, runs_root, send_command

STEPPING = str(Path(__file__).parents[1] / "tui" / "stepping.py")
HOLD = "import sys; from finetty.tui import launcher; sys.exit(launcher.hold(launcher.run_child(sys.argv[1])))"
WIZARD = """
import os, sys, time
from finetty.tui import launcher
from finetty.tui.holder import Holder

def wizard():
    for line in sys.stdin:
        exec(line)
    sys.exit(0)

def tell(**values):
    Holder.ours().tell(**values)

launcher.command_line = lambda _arguments: wizard()
sys.exit(launcher.hold(wizard))
"""
"""A holder whose wizard does what is typed."""
SECONDS_TO_LOAD = 180.0
STEPS_BEFORE, STEPS_AFTER = 10, 10

Command = list[str]


@dataclass(frozen=True)
class Loss:
    """One way to lose a terminal: how the program stands on it, and what takes it away."""

    lose: Callable[[Terminal, Run], None]
    around: Callable[[Command, str], Command] = lambda command, _name: command


@dataclass(frozen=True)
class Trial:
    """One terminal to be lost: by what, whether somebody reads it until then, and whether the trainer is real."""

    loss: str
    read: bool
    real: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """`problem` is empty where all went well; `pause` is the longest time between two steps, in seconds."""

    trial: Trial
    problem: str
    steps: int = 0
    seconds_to_detach: float = 0.0
    pause: float = 0.0


def lose_a_terminal(trial: Trial, folder: Path) -> Outcome:
    """Train on a terminal, lose it, and see whether every step and event is there and the run can still be steered."""
    run = real_run(folder) if trial.real else stepping_run(folder)
    try:
        return _lost(trial, run)
    except (AssertionError, OSError, Refusal) as error:
        return Outcome(trial, f"{type(error).__name__}: {error}")
    finally:
        end(run)


def _lost(trial: Trial, run: Run) -> Outcome:
    loss = LOSSES[trial.loss]
    with Terminal(loss.around(held(run, real=trial.real), run.id), env=ENVIRONMENT) as terminal:
        child = in_the_middle(terminal, run)
        if trial.read:
            read_for(terminal, random.Random(trial.seed).uniform(0, 2))
        else:
            if loss.around is _in_tmux:
                os.kill(_tmux_server(run), signal.SIGSTOP)
            stall(child)
        before, began = steps(run), time.monotonic()
        loss.lose(terminal, run)
        wait_until(lambda: has_no_terminal(child), "the process let go of its terminal")
        detached = time.monotonic() - began
        wait_until(lambda: steps(run) >= before + STEPS_AFTER, "further steps")
        assert pid(run) == child, "another process trains now"
        stop(run)
    told = whole_history(run)
    if trial.real:
        assert (run.output / "adapter_model.safetensors").is_file(), "nothing was saved"
    times = [event["time"] for event in told]
    pause = max(later - earlier for earlier, later in pairwise(times))
    return Outcome(trial, "", len(told), detached, pause)


def whole_history(run: Run) -> list[dict[str, Any]]:
    """The steps of a run that was stopped: all of them once, and the events around them. Raises AssertionError."""
    reader = EventReader(run.events_path)
    events: list[dict[str, Any]] = []
    while more := reader.read(max_seconds=1):
        events += more
    assert reader.broken == 0, f"{reader.broken} broken lines in the log"
    told = [event for event in events if event["kind"] == "step"]
    numbers = [event["step"] for event in told]
    assert numbers == list(range(1, len(told) + 1)), f"steps are missing or out of order: {_gaps(numbers)}"
    status = run.status()
    assert (status.state, status.step) == ("stopped", len(told)), f"the status says {status.state} at {status.step}"
    assert [event["state"] for event in events if event["kind"] == "state"][-1] == "stopped", (
        "the end is not in the log"
    )
    assert any(event["kind"] == "command" and event["result"] == "done" for event in events), (
        "the stop was not answered"
    )
    elapsed = [event["elapsed"] for event in told]
    assert elapsed == sorted(elapsed), "the run's own clock went back"
    return told


def _gaps(numbers: list[int]) -> str:
    return ", ".join(f"{earlier}→{later}" for earlier, later in pairwise(numbers) if later != earlier + 1)[:200]


# A run, and what can be seen of it from outside


ENVIRONMENT = {"FINETTY_LANG": "en", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def stepping_run(folder: Path, planned: int = 1_000_000) -> Run:
    plan = {"steps": planned, "recipe": Recipe().model_dump(mode="json")}
    return Run.create(runs_root(folder / "runs"), plan, Recipe())


def real_run(folder: Path) -> Run:
    """A run of a random Llama of two layers that would train for hours."""
    from finetty.backend.planning import gather, plan

    model, data, root = folder / "Tiny-Llama", folder / "rows.jsonl", runs_root(folder / "runs")
    model.mkdir()
    vocabulary = write_tokenizer(model)
    write_config(model, llama_config(vocabulary))
    write_weights(model, llama_shapes(vocabulary))
    rows = [{"instruction": f"Colour {number}?", "output": f"It is {colour}."} for number, colour in enumerate(COLOURS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows * 8))
    values = {"model.path": str(model), "dataset.train": [{"path": str(data)}], "dataset.validation": 0}
    values |= {"training.max_steps": 1_000_000, "training.batch": 2, "training.micro_batch": 2}
    values |= {"hardware.devices": "cpu", "output.checkpoint_every": 500_000}
    recipe = with_values(Recipe(), values)
    facts = gather(recipe, runs_root=root)
    planned = plan(recipe, facts.model, facts.machine, facts.data)
    return Run.create(root, planned.to_json(), planned.recipe, asked=recipe)


def held(run: Run, *, real: bool = False) -> Command:
    """The holder with this run's process as its child."""
    return [sys.executable, "-c", HOLD, str(run.path)] if real else [sys.executable, STEPPING, "--hold", str(run.path)]


def typed_wizard() -> Command:
    """The holder with a wizard that does what is typed."""
    return [sys.executable, "-c", WIZARD]


def in_the_middle(terminal: Terminal, run: Run) -> int:
    """Read until the dashboard shows a run that steps; returns the pid of the process that trains."""
    terminal.wait_for("running", SECONDS_TO_LOAD)
    terminal.wait_until(lambda _screen: steps(run) > STEPS_BEFORE, SECONDS_TO_LOAD, "the first steps")
    return pid(run)


def read_for(terminal: Terminal, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        terminal.read(0.02)


def stall(child: int, seconds: float = 60) -> None:
    """Have the dashboard write until its terminal, which nobody reads, takes nothing more."""
    terminal = os.open(f"/proc/{child}/fd/0", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    until = time.monotonic() + seconds
    try:
        while select.select([], [terminal], [], 0.02)[1]:
            assert time.monotonic() < until, "the terminal never filled up"
            for lines, columns in ((60, 200), (24, 80)):
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
                time.sleep(0.02)
    finally:
        os.close(terminal)


def stop(run: Run) -> None:
    """Stop and save, by a command like any other's, and wait for the process's end."""
    send_command(run, "stop-and-save")
    wait_until(lambda: not run.is_alive(), "the stopped process ended")


def end(run: Run) -> None:
    """Nothing of a trial may live on."""
    child = run.status().pid
    if child and run.is_alive():
        os.kill(child, signal.SIGKILL)
    subprocess.run(["tmux", "-L", run.id, "kill-server"], capture_output=True, check=False)


def steps(run: Run) -> int:
    return len(history(run.events_path))


def pid(run: Run) -> int:
    found = run.status().pid
    assert found
    return found


def parent(child: int) -> int:
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def has_no_terminal(child: int) -> bool:
    """Whether the process that trains has let go of its terminal, which could not be closed otherwise."""
    targets = []
    for descriptor in Path(f"/proc/{child}/fd").iterdir():
        try:
            targets.append(str(descriptor.readlink()))
        except OSError:
            continue
    return not any(target.startswith("/dev/pts") or target == "/dev/tty" for target in targets)


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.02)


# The ways to lose a terminal


def _without_hang_up(command: Command, _name: str) -> Command:
    """Under a shell that has hang-ups ignored: a closed line is then an end of file and nothing else."""
    return ["bash", "-c", f"trap '' HUP; {shlex.join(command)}; :"]


def _in_tmux(command: Command, name: str) -> Command:
    return ["tmux", "-L", name, "-f", "/dev/null", "new-session", shlex.join(command)]


def _tmux_server(run: Run) -> int:
    """The process in the middle: the holder's parent."""
    return parent(parent(pid(run)))


def _kill_tmux(_terminal: Terminal, run: Run) -> None:
    os.kill(_tmux_server(run), signal.SIGKILL)


def _end_tmux(_terminal: Terminal, run: Run) -> None:
    subprocess.run(["tmux", "-L", run.id, "kill-server"], capture_output=True, check=True)


def _hang_up(terminal: Terminal, _run: Run) -> None:
    terminal.hang_up()


def _signal_hang_up(_terminal: Terminal, run: Run) -> None:
    os.killpg(os.getpgid(pid(run)), signal.SIGHUP)


def _kill_holder(_terminal: Terminal, run: Run) -> None:
    os.kill(parent(pid(run)), signal.SIGKILL)


LOSSES = {
    "line closed": Loss(_hang_up),
    "SIGHUP": Loss(_signal_hang_up),
    "end of file": Loss(_hang_up, _without_hang_up),
    "holder killed": Loss(_kill_holder),
    "tmux ended": Loss(_end_tmux, _in_tmux),
    "tmux killed": Loss(_kill_tmux, _in_tmux),
}
NEEDS_READER = "tmux ended"
"""A tmux server that reads nothing is one that stands still, and so cannot be told to end."""


def trials(count: int, *, real: bool = False) -> list[Trial]:
    """So many terminals to lose, each way as often as any other, read and not read."""
    ways = [(loss, read) for loss in LOSSES for read in (True, False) if read or loss != NEEDS_READER]
    return [Trial(*ways[number % len(ways)], real=real, seed=number) for number in range(count)]
