"""From a key to the repainted cells, through a pseudo-terminal: while libraries load, and while a run trains.

A key counts as answered once the cells of the screen show what it asks for, as a terminal (pyte) draws them. Beside
it stand a bare Textual app without any training, which is what machine and library take by themselves, and a crude
dashboard that repaints everything. What other work on the machine adds to the wall clock is not in the CPU time of the
thread that draws.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyte
from tests.benchmarks.pseudo_terminal import Program, program
from tests.benchmarks.throughput import ONE_THREAD
from tests.benchmarks.wire import ENGLISH, new_run, wait_for_steps

from finetty.backend.runs import Run

MEDIAN_GOAL, LATE_GOAL, TICK_GOAL, LOADING_GOAL = 10.0, 25.0, 8.0, 300.0
SECONDS_OF_TICKS = 30.0
STEPS = 20
"""After which keys are pressed."""
TURNS = 15
"""How often the keys are gone through."""
BARE = """
from textual.app import App
from textual.widgets import Label

class Bare(App):
    BINDINGS = [("a", "say('first')"), ("b", "say('other')")]
    def compose(self):
        yield Label("begin")
    def action_say(self, word):
        self.query_one(Label).update(word)

Bare().run()
"""


@dataclass
class Shown:
    """A program with the screen that its output comes to."""

    program: Program
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(120, 40))
    seen: int = 0

    def __post_init__(self) -> None:
        self.stream = pyte.ByteStream(self.screen)

    def look(self, seconds: float) -> float:
        """Take in what comes within `seconds`; returns when it came."""
        self.program.drain(seconds)
        came = time.perf_counter()
        self.stream.feed(bytes(self.program.received[self.seen :]))
        self.seen = len(self.program.received)
        return came

    def until(self, there: Callable[[str], bool], seconds: float) -> float:
        """When the screen came to show it. Raises TimeoutError."""
        came = time.perf_counter()
        deadline = came + seconds
        while not there("\n".join(self.screen.display)):
            if came >= deadline:
                raise TimeoutError("\n".join(self.screen.display))
            came = self.look(deadline - came)
        return came

    def cpu(self) -> float:
        """Milliseconds of CPU that the thread which draws has taken so far."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[0]) / 1e6

    @property
    def pid(self) -> int:
        """The process whose first thread draws: the child of the holder, where there is one."""
        pid = self.program.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else pid


@dataclass(frozen=True)
class Key:
    """A key and what its answer looks like."""

    name: str
    sent: bytes
    there: Callable[[str], bool]


def holds(word: str) -> Callable[[str], bool]:
    return lambda text: word in text


def lacks(word: str) -> Callable[[str], bool]:
    return lambda text: word not in text


def legend(text: str) -> str:
    return next((line for line in text.splitlines() if "smoothed" in line), "")


PANELS = (Key("panel", b"\t", lacks("+ Zoom in")), Key("panel", b"\x1b[Z", holds("+ Zoom in")))
HELP = (Key("help", b"\x1bOP", holds("Write a checkpoint")), Key("help", b"\x1b", lacks("Write a checkpoint")))
CHART = (
    Key("zoom", b"+", holds("zoomed")),
    Key("zoom", b"0", lacks("zoomed")),
    Key("cursor", b"\x1b[D", lambda text: legend(text).startswith(" step ")),
    Key("cursor", b"\x1b[F", lambda text: not legend(text).startswith(" step ")),
    Key("log scale", b"g", lambda text: " log" in legend(text)),
    Key("log scale", b"g", lambda text: " log" not in legend(text)),
    Key("fill", b"f", lacks("▸ Samples")),
    Key("fill", b"f", holds("▸ Samples")),
)
WORDS = (Key("a label", b"a", holds("first")), Key("a label", b"b", holds("other")))


@dataclass(frozen=True)
class Answers:
    """Of each key: its name, the milliseconds until it was answered, and those of the drawing thread's CPU."""

    names: Sequence[str]
    waited: Sequence[float]
    cpu: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.waited)

    @property
    def late(self) -> float:
        return sorted(self.waited)[max(0, len(self.waited) * 99 // 100 - 1)]

    def line(self) -> str:
        return (
            f"{len(self.waited)} keys, median {self.median:.1f} ms, 99th percentile {self.late:.1f} ms;"
            f" CPU of the thread that draws: median {statistics.median(self.cpu):.1f} ms"
        )

    def by_name(self) -> str:
        """The medians of each kind of key: waited, and CPU."""
        said = []
        for name in dict.fromkeys(self.names):
            of_name = [at for at, one in enumerate(self.names) if one == name]
            waited, cpu = (statistics.median(times[at] for at in of_name) for times in (self.waited, self.cpu))
            said.append(f"{name} {waited:.0f} (CPU {cpu:.1f})")
        return ", ".join(said) + " ms"


def answers(shown: Shown, keys: Sequence[Key], turns: int) -> Answers:
    names, waited, cpu = [], [], []
    for key in [*keys] * turns:
        pause = time.perf_counter() + random.uniform(0.02, 0.12)
        while time.perf_counter() < pause:
            shown.look(max(0.0, pause - time.perf_counter()))
        before, sent = shown.cpu(), time.perf_counter()
        shown.program.send(key.sent)
        came = shown.until(key.there, 20)
        names.append(key.name)
        waited.append((came - sent) * 1000)
        cpu.append(shown.cpu() - before)
    return Answers(names, waited, cpu)


def ticks(shown: Shown) -> list[float]:
    """Milliseconds of CPU of each burst of drawing while nobody touches a key."""
    bursts, before, quiet_since = [0.0], shown.cpu(), time.perf_counter()
    began = quiet_since
    while (now := time.perf_counter()) - began < SECONDS_OF_TICKS:
        shown.look(0.02)
        taken, before = (after := shown.cpu()) - before, after
        if taken < 0.05:
            continue
        if now - quiet_since > 0.15:
            bursts.append(0.0)
        bursts[-1] += taken
        quiet_since = now
    return [burst for burst in bursts if burst > 0.5]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="finetty-keys-") as folder:
        with program([sys.executable, "-c", BARE], ENGLISH) as started:
            bare = Shown(started)
            bare.until(holds("begin"), 30)
            floor = answers(bare, WORDS, 50)
        print(f"a bare Textual app, nothing trains: {floor.line()}", flush=True)
        ours = training(Path(folder) / "ours", "finetty.tui.run")
        print(f"  by key: {ours.by_name()}")
        print(f"  {ours.median / floor.median:.1f} times the bare app (goals {MEDIAN_GOAL:.0f} and {LATE_GOAL:.0f} ms)")
        crude = training(Path(folder) / "crude", "tests.benchmarks.crude")
        print(f"  the crude one takes {crude.median / ours.median:.1f} times as long at the median")


def training(root: Path, module: str) -> Answers:
    root.mkdir()
    run = new_run(root)
    with program([sys.executable, "-m", module, str(run.path)], ONE_THREAD | ENGLISH) as started:
        shown = Shown(started)
        shown.until(holds("tokens seen"), 60)
        loading = while_loading(shown, run)
        print(
            f"{module}, libraries load: {loading.line()}, worst {max(loading.waited):.0f} ms (goal {LOADING_GOAL:.0f})"
        )
        wait_for_steps(run, started, STEPS)
        shown.look(0)
        found = answers(shown, (*CHART, *PANELS, *HELP), TURNS)
        print(f"{module}, trains: {found.line()}")
        bursts = ticks(shown)
        print(
            f"{module}, ticks: {len(bursts)} in {SECONDS_OF_TICKS:.0f} s, CPU of the thread that draws: median"
            f" {statistics.median(bursts):.1f} ms, greatest {max(bursts):.1f} ms (goal {TICK_GOAL:.0f})",
            flush=True,
        )
    return found


def while_loading(shown: Shown, run: Run) -> Answers:
    """Help opened and closed until the first step."""
    parts = []
    while run.status().state in ("queued", "loading") or not parts:
        parts.append(answers(shown, HELP, 1))
    return Answers(
        [name for part in parts for name in part.names],
        [waited for part in parts for waited in part.waited],
        [cpu for part in parts for cpu in part.cpu],
    )


if __name__ == "__main__":
    main()
