"""What a run has to live through beside the loss of its terminal: viewers, a full disk, a clock that jumps."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.survival import (
    ENVIRONMENT,
    STEPS_AFTER,
    end,
    has_no_terminal,
    held,
    in_the_middle,
    pid,
    real_run,
    stall,
    stepping_run,
    steps,
    stop,
    wait_until,
    whole_history,
)
from tests.e2e.terminal import Terminal

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run

ROOM = 4 << 20
"""Bytes of the disk that is filled."""
ROUNDS = 10
DAY = 86_400
EVENTS_IN_A_PAGE = 60
"""What an append-only log still takes on a full disk, where its last page has room."""
TICKS = 50
"""Hundredths of a second of a processor."""


class Unable(Exception):
    """This machine does not let it be tried; the reason is the message."""


def live_through(name: str, folder: Path, *, real: bool = False) -> str:
    """What went wrong, empty where nothing did. Raises Unable."""
    try:
        HARDSHIPS[name](folder, real)
    except (AssertionError, OSError, Refusal) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def begun(folder: Path, *, real: bool, **environment: str) -> Iterator[tuple[Terminal, Run]]:
    """A run in the middle of its steps on a terminal. At the end it is stopped, and its steps are all there."""
    run = real_run(folder) if real else stepping_run(folder)
    try:
        with Terminal(held(run, real=real), (100, 30), env=ENVIRONMENT | environment) as terminal:
            in_the_middle(terminal, run)
            yield terminal, run
            goes_on(run)
            stop(run)
        whole_history(run)
    finally:
        end(run)


def goes_on(run: Run) -> None:
    before = steps(run)
    wait_until(lambda: steps(run) >= before + STEPS_AFTER, "further steps")


def viewer(run: Run) -> Terminal:
    """A dashboard attached to the run from another login."""
    return Terminal(["finetty", "attach", run.id], (100, 30), env=ENVIRONMENT | {"FINETTY_RUNS": str(run.path.parent)})


def resize_storm(folder: Path, real: bool) -> None:
    """Three hundred sizes, as fast as they come; at the end the dashboard stands in the last one."""
    with begun(folder, real=real) as (terminal, run):
        chance = random.Random(0)
        for _ in range(300):
            terminal.resize(chance.randint(1, 300), chance.randint(1, 100))
            terminal.read(0)
        terminal.resize(80, 24)
        terminal.wait_for("q Leave")
        terminal.press("d")
        assert terminal.exit_code() == 0
        assert has_no_terminal(pid(run))


def attach_and_leave(folder: Path, real: bool) -> None:
    """Attached and left again, by a key, by a closed line, by a kill; each time the run has its whole history."""
    with begun(folder, real=real) as (owner, run):
        owner.press("d")
        assert owner.exit_code() == 0
        for number in range(ROUNDS):
            with viewer(run) as terminal:
                terminal.wait_for("running")
                if number % 3 == 0:
                    terminal.press("d")
                    assert terminal.exit_code() == 0, "the viewer did not leave as it should"
                    assert terminal.leftovers() == []
                elif number % 3 == 1:
                    terminal.hang_up()


def several_viewers(folder: Path, real: bool) -> None:
    """One of three viewers reads nothing, one stands still; any that is left steers the run, and all see it."""
    with begun(folder, real=real) as (owner, run), viewer(run) as first, viewer(run) as deaf, viewer(run) as still:
        for one in (first, deaf, still):
            one.wait_for("running")
        stall(_leader_of(deaf))
        os.kill(_leader_of(still), signal.SIGSTOP)
        goes_on(run)
        first.press("p")
        for one in (first, owner):
            one.wait_for("paused")
        assert run.status().state == "paused"
        owner.press("p")
        for one in (first, owner):
            one.wait_for("running")
        os.kill(_leader_of(still), signal.SIGKILL)


def _leader_of(terminal: Terminal) -> int:
    """The viewer's own process: the holder's child."""
    return int(Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()[0])


def viewer_reads_nothing(folder: Path, real: bool) -> None:
    """The run's own dashboard on a terminal that nobody reads: training takes no notice, and it can still be left."""
    with begun(folder, real=real) as (terminal, run):
        stall(pid(run))
        goes_on(run)
        terminal.press("d")
        assert terminal.exit_code() == 0
        assert terminal.leftovers() == []


def full_disk(folder: Path, real: bool) -> None:
    """The run's disk is full for a while: it goes on, and what happened meanwhile is in the log afterwards."""
    with small_disk(folder / "runs"), begun(folder, real=real) as (_terminal, run):
        ballast, process = fill(folder / "runs" / "ballast"), pid(run)
        full, worked = steps(run), _cpu_ticks(process)
        # A run that cannot write shows nothing of itself but the work it does: half a second of it is many steps.
        wait_until(lambda: _cpu_ticks(process) >= worked + TICKS, "it worked on")
        assert steps(run) <= full + EVENTS_IN_A_PAGE, "the disk was not full"
        ballast.unlink()
        wait_until(lambda: steps(run) > full + STEPS_AFTER, "the log was made good")


def _cpu_ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def fill(path: Path) -> Path:
    """A file that takes all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return path


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Unable("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def clock_jumps(folder: Path, real: bool) -> None:
    """The wall clock is set back by a day, and forward by two, under the whole program; the kernel's own runs on."""
    set_to, library = folder / "clock", folder / "clock.so"
    set_to.write_text("0")
    source = Path(__file__).with_name("clock.c")
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unable("there is no C compiler to make a clock that jumps") from error
    faked = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(set_to)}
    with begun(folder, real=real, **faked) as (terminal, run):
        for jump in (-DAY, DAY):
            set_to.write_text(str(jump))
            goes_on(run)
            wanted = steps(run)
            terminal.wait_until(lambda screen, at=wanted: _step_shown(screen) >= at, 60, "the newest steps")
        terminal.press("p")
        terminal.wait_for("paused")
        set_to.write_text(str(-DAY))
        terminal.press("p")
        terminal.wait_for("running")


def _step_shown(screen: str) -> int:
    _, found, rest = screen.partition("step ")
    number = rest.split(" ", 1)[0].replace(",", "")
    return int(number) if found and number.isdigit() else 0


HARDSHIPS: dict[str, Callable[[Path, bool], None]] = {
    "resize storm": resize_storm,
    "attach and leave in a loop": attach_and_leave,
    "several viewers": several_viewers,
    "viewer that reads nothing": viewer_reads_nothing,
    "full disk": full_disk,
    "clock that jumps": clock_jumps,
}


if __name__ == "__main__":
    import sys
    import tempfile

    for one in HARDSHIPS:
        if len(sys.argv) < 2 or sys.argv[1] in one:
            with tempfile.TemporaryDirectory() as place:
                print(one, live_through(one, Path(place), real="real" in sys.argv) or "ok", flush=True)
