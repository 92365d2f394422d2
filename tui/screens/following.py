"""A run followed from a thread: what it is like now comes to the screen as messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from textual.message import Message
from textual.message_pump import MessagePump

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run
from finetty.tui.language import translate
from finetty.tui.watch import View, Watch

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_READS = 0.02
"""While a long history is read."""
SECONDS_AT_FIRST = 0.25
"""After a glance at a long history, for the screen to stand before that is read."""


class Polled(Message):
    """The run, and those beside it, as they were a moment ago. A newer one replaces one that nobody looked at yet."""

    def __init__(self, view: View, others: tuple[View, ...] = ()) -> None:
        super().__init__()
        self.view, self.others = view, others

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Polled)


class ConsoleGrew(Message):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines


class RunGone(Message):
    """The run's folder cannot be read at the moment: it was removed, or its disk went away."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def calls(before: View, now: View) -> bool:
    """Whether the bell should ring: the run has ended since, or has an alert more. What is history rings no bell."""
    if before.unread or now.unread:
        return False
    return now.over > before.over or _warnings(now) > _warnings(before)


def _warnings(view: View) -> int:
    return sum(alert.level != "note" for alert in view.alerts)


def follow(
    run: Run, clock: Callable[[], float], screen: MessagePump, left: Event, beside: Callable[[], Sequence[Run]]
) -> None:
    """Look at a run until the screen was `left`: all the time while its history is read, then once a second.

    `beside` says each time which other runs are looked at with it.
    """
    watch, others = Watch(run, clock=clock), Others(clock)
    while not left.is_set():
        try:
            view = watch.poll()
        except Refusal as refusal:
            screen.post_message(RunGone(translate(refusal.said)))
            left.wait(SECONDS_BETWEEN_LOOKS)
            continue
        seen = others.poll(beside())
        screen.post_message(Polled(view, seen))
        if lines := watch.new_lines():
            screen.post_message(ConsoleGrew(lines))
        unread = max(one.unread for one in (view, *seen))
        left.wait(SECONDS_AT_FIRST if unread == 1 else SECONDS_BETWEEN_READS if unread else SECONDS_BETWEEN_LOOKS)


class Others:
    """The runs beside the one that is followed, each read from its own log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._watches: dict[Path, Watch] = {}

    def poll(self, runs: Sequence[Run]) -> tuple[View, ...]:
        """What these runs are like now, without those that were removed; all others are forgotten."""
        self._watches = {run.path: self._watches.get(run.path) or Watch(run, clock=self._clock) for run in runs}
        return tuple(view for watch in self._watches.values() if (view := _view(watch)))


def _view(watch: Watch) -> View | None:
    try:
        return watch.poll()
    except Refusal:
        return None
