"""What a run's folder says, read bit by bit into one view of the run: all that a dashboard shows, and no widget in it.

A thread calls `Watch.poll()` and hands the `View` on. Each poll is bounded in events and in time. A long run is first
seen by its tail and by lines picked evenly from its log, so that the dashboard stands at once; the rest is read behind.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from finetty.backend.machine.host import HostReading, HostWatch, hostname
from finetty.backend.messages import Finding, Refusal
from finetty.backend.runs import END_STATES, EventReader, Run, Status
from finetty.backend.runs.labels import labels_of
from finetty.backend.runs.price import Price
from finetty.tui.safety import lacking
from finetty.tui.story import Alert, Answer, Curves, Figures, Gpu, Memory, Sample, Story
from finetty.tui.text import visible

OVER = (*END_STATES, "crashed")
LONG_LOG = 4 << 20
"""Bytes of log from which on a run is glanced at before it is read."""
GLANCES = 400
"""How many places of a long log are looked at in a glance."""
CONSOLE_TAIL = 1 << 18
"""At most so many bytes of the console log are read at once."""
_LOG_TAIL = 1 << 18
_LONGEST_SAMPLED_LINE = 1 << 12
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")


@dataclass(frozen=True)
class View:
    """A run at one moment. `unread` is the share of the log that was not read yet, 0 when all of it was."""

    now: float
    run_id: str
    path: Path
    status: Status
    figures: Figures
    curves: Curves
    memory: Memory
    alerts: tuple[Alert, ...] = ()
    samples: tuple[Sample, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    """The machine's cards, by their index; none where there is no card."""
    answers: tuple[Answer, ...] = ()
    unread: float = 0.0
    output: Path | None = None
    """The folder of the result, once it is there."""

    lacking: tuple[Finding, ...] | None = None
    """What should be seen to before the machine is shut down; None while the run's process may still write."""

    host: HostReading | None = None
    """The machine, where the run is alive on the one that looks."""
    price: Price | None = None
    """Of an hour of the machine, where somebody said so."""

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def step(self) -> int:
        """The newest step that either file knows: status.json is written at most once a second."""
        return self.figures.step if self.figures.step or not self.unread else self.status.step

    @property
    def total(self) -> int | None:
        return self.status.total

    @property
    def share(self) -> float | None:
        return min(1.0, self.step / self.total) if self.total else None

    @property
    def elapsed(self) -> float | None:
        """Seconds since the process began, to the run's end where it has ended."""
        began = self.figures.began or self.status.started
        if began is None:
            return None
        end = (self.figures.ended or self.figures.last_event or self.now) if self.over else self.now
        return max(0.0, end - began)

    @property
    def cost(self) -> str | None:
        """What the run has cost so far, the time of its earlier processes and its pauses among it."""
        return None if self.price is None else self.price.cost(self.figures.worked + (self.elapsed or 0.0))

    @property
    def cost_in_all(self) -> str | None:
        """What it will have cost at its end, at the pace of the last steps."""
        if self.price is None or self.left is None:
            return None
        return self.price.cost(self.figures.worked + (self.elapsed or 0.0) + self.left)

    @property
    def left(self) -> float | None:
        """Seconds of training that are left at the pace of the last steps; None while that is not known."""
        if self.total is None or self.figures.pace is None or self.over:
            return None
        return max(0, self.total - self.step) * self.figures.pace

    @property
    def question(self) -> Alert | None:
        """What the run waits to be told now."""
        return self.figures.question if self.state == "paused" and not self.unread else None

    @property
    def silence(self) -> float | None:
        """Seconds without an event, once they are more than this run's pace explains; None otherwise."""
        last = self.figures.last_event
        if self.over or last is None or self.state in ("queued", "paused"):
            return None
        quiet = self.now - last
        return quiet if quiet > max(60.0, 5 * (self.figures.pace or 0)) else None


class Watch:
    """Tails one run. Made and polled by one thread; what it hands out may be read by another."""

    def __init__(self, run: Run, *, clock: Callable[[], float] = time.time) -> None:
        self.run = run
        self._clock = clock
        self._reader = EventReader(run.events_path)
        self._story = Story()
        self._glanced: Story | None = None
        self._console = ConsoleTail(run.console_path)
        self._device, self._predicted = predicted_memory(run)
        self._process: psutil.Process | None = None
        self._host = HostWatch()
        self._peak = 0

    def poll(self, *, max_events: int = 5000) -> View:
        """What the run is like now, after the next events of its log. Raises Refusal when the run was removed."""
        unread = self._read(max_events)
        story, status = self._glanced or self._story, self.run.status()
        return View(
            now=self._clock(),
            run_id=self.run.id,
            path=self.run.path,
            status=status,
            figures=story.figures,
            curves=story.curves,
            memory=self._memory(story.gpus, status),
            alerts=tuple(story.alerts),
            samples=tuple(story.samples.values()),
            gpus=tuple(sorted(story.gpus.values(), key=lambda gpu: gpu.index)),
            answers=tuple(story.answers),
            unread=unread,
            output=self.run.output if status.state in OVER and self.run.output.is_dir() else None,
            host=self._look_at_host(status),
            price=labels_of(self.run).price,
            lacking=self._lacking(status, story.figures) if not unread else None,
        )

    def _read(self, max_events: int) -> float:
        """The next events; returns the share of the log that is unread. A long log is at first only glanced at."""
        size = _size(self.run.events_path)
        if self._reader.offset == 0 and size > LONG_LOG and self._glanced is None:
            self._glanced = glance(self.run.events_path)
            return 1.0
        events = self._reader.read(max_events=max_events)
        self._story.take(events)
        unread = max(0, size - self._reader.offset) / size if events else 0.0
        if not unread:
            self._glanced = None
        return unread

    def new_lines(self) -> list[str]:
        """What the console log grew by, as lines without escape sequences."""
        return self._console.read()

    def _look_at_host(self, status: Status) -> HostReading | None:
        here = status.pid is not None and status.host == hostname()
        return self._host.look() if here and status.state not in OVER else None

    def _lacking(self, status: Status, figures: Figures) -> tuple[Finding, ...] | None:
        over = status.state in OVER and not self.run.is_alive()
        return lacking(self.run, figures.saved) if over else None

    def _memory(self, gpus: Mapping[str, Gpu], status: Status) -> Memory:
        """On a card what the run was seen to take there; on a CPU the process's memory, as the system shows it."""
        if self._device.kind == "cuda":
            uuid = self._device.uuid
            own = gpus.get(uuid) if uuid else max(gpus.values(), key=lambda gpu: gpu.peak or 0, default=None)
            used = None if own is None or status.state in OVER else own.taken
            return Memory("cuda", used, own.peak if own else None, self._predicted)
        used = self._resident(status)
        self._peak = max(self._peak, used or 0)
        return Memory("cpu", used, self._peak or None, self._predicted)

    def _resident(self, status: Status) -> int | None:
        if status.pid is None or status.state in OVER:
            return None
        try:
            if self._process is None or self._process.pid != status.pid:
                self._process = psutil.Process(status.pid)
            return int(self._process.memory_info().rss)
        except psutil.Error:
            return None


class ConsoleTail:
    """Reads a growing log of a library's output: its last part at once, then what comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset: int | None = None
        self._rest = b""

    def read(self) -> list[str]:
        """New whole lines, at most CONSOLE_TAIL bytes of them; what a progress bar has overwritten is left out."""
        try:
            with self.path.open("rb") as file:
                size = _size(self.path)
                if self._offset is None:
                    self._offset = max(0, size - CONSOLE_TAIL)
                elif size < self._offset:
                    # finetty cut its middle out to keep it small; its end was read already.
                    self._offset, self._rest = size, b""
                file.seek(self._offset)
                fresh = file.read(CONSOLE_TAIL)
        except OSError:
            return []
        self._offset += len(fresh)
        *lines, rest = (self._rest + fresh).split(b"\n")
        self._rest = rest[-CONSOLE_TAIL:]
        return [plain_line(line) for line in lines]


def plain_line(line: bytes) -> str:
    """A line as it would stand in a terminal after its carriage returns, with nothing left that a terminal obeys."""
    text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    return visible(_ESCAPE.sub("", text)).expandtabs()


@dataclass(frozen=True)
class Device:
    """Where the run computes: `kind` is "cpu" or "cuda", `uuid` the card's, None where the plan names none."""

    kind: str = "cpu"
    uuid: str | None = None


def predicted_memory(run: Run) -> tuple[Device, int | None]:
    """The run's device, and the bytes that the plan foresees on it at the peak."""
    try:
        memory = run.plan_document()["memory"]
        prediction = memory["exact"] or memory["live"]
        planned = memory["device"]
        device = Device(planned["kind"], planned.get("uuid")) if planned else Device()
        return device, int(prediction["process"]) if prediction else None
    except (Refusal, KeyError, TypeError, ValueError):
        return Device(), None


def glance(path: Path) -> Story:
    """A long log by one line from each of GLANCES places and its whole last part, as if it held nothing else."""
    events: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file:
            end = max(0, _size(path) - _LOG_TAIL)
            for number in range(GLANCES):
                file.seek(end * number // GLANCES)
                lines = file.read(_LONGEST_SAMPLED_LINE).split(b"\n")
                events += _events(lines[1:2] if number else lines[:-1])
            file.seek(end)
            events += _events(file.read().split(b"\n")[1:-1])
    except OSError:
        pass
    story = Story()
    story.take(events)
    return story


def _events(lines: list[bytes]) -> list[dict[str, Any]]:
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("kind"), str):
            events.append(event)
    return events


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
