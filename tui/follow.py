"""A run in plain lines: one a step, and what else a person should know, for pipes, logs and `attach --plain`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from finetty.backend.messages import Finding, Message
from finetty.backend.runs import LIVE_STATES, EventReader, Run
from finetty.tui.ending import cost_lines
from finetty.tui.language import translate
from finetty.tui.plain import finding_lines
from finetty.tui.text import duration, visible

SECONDS_BETWEEN_LOOKS = 0.2


def follow(run: Run, say: Callable[[str], None] = print, *, from_now: bool = False) -> None:
    """Say the run's lines until it is over; `from_now` passes over what happened before."""
    follower = Follower(run)
    if from_now:
        follower.skip()
    while True:
        alive = run.status().state in LIVE_STATES
        for line in follower.lines():
            say(line)
        if not alive:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
    for line in cost_lines(run):
        say(visible(line))
    say(last_line(run))


def last_line(run: Run) -> str:
    """The contract's last line of `train --plain`: `finished RUN_ID STATE`."""
    return f"finished {run.id} {run.status().state}"


class Follower:
    """Turns a run's new events into lines."""

    def __init__(self, run: Run) -> None:
        self._reader = EventReader(run.events_path)
        self._total = run.status().total
        self._first: tuple[int, float] | None = None

    def skip(self) -> None:
        """Pass over all events that are there already."""
        while self._reader.read():
            pass

    def lines(self) -> Iterator[str]:
        """A line for each event since the last time that has something to say."""
        while events := self._reader.read():
            for event in events:
                if line := self._line(event):
                    yield visible(line).replace("\n", " ")

    def _line(self, event: Mapping[str, Any]) -> str | None:
        match event["kind"]:
            case "step":
                return self._step(event)
            case "eval":
                return f"eval {self._place(event)} loss {_number(event.get('loss'), '.4f')}"
            case "checkpoint":
                return f"checkpoint {self._place(event)} {event.get('path', '')}"
            case "state":
                resumed = event.get("resumed_from")
                return f"state {event.get('state')}" + (f" from step {resumed}" if resumed is not None else "")
            case "alert":
                advice = f" {said_in(event, 'advice')}" if event.get("advice") else ""
                return f"{event.get('level')}: {said_in(event, 'message')}{advice}"
            case "output":
                return f"output {self._place(event)} {event.get('path', '')}"
            case "session":
                return _threats(event)
            case "note":
                return f"note: {said_in(event, 'message') or said_in(event, 'text')}"
        return None

    def _step(self, event: Mapping[str, Any]) -> str:
        parts = [f"step {self._place(event)} loss {_number(event.get('loss'), '.4f')}"]
        for label, name, form in (("lr", "learning_rate", ".2e"), ("grad", "grad_norm", ".3g")):
            if name in event:
                parts.append(f"{label} {_number(event[name], form)}")
        if "tokens_per_second" in event:
            parts.append(f"{_number(event['tokens_per_second'], '.0f')} tok/s")
        if (left := self._seconds_left(event)) is not None:
            parts.append(f"eta {duration(left)}")
        return " ".join(parts)

    def _place(self, event: Mapping[str, Any]) -> str:
        return f"{event.get('step')}/{'?' if self._total is None else self._total}"

    def _seconds_left(self, event: Mapping[str, Any]) -> float | None:
        """At the pace since the first step that was seen; None at that step, and anew after a resume."""
        step, elapsed = event.get("step"), event.get("elapsed")
        if not isinstance(step, int) or not isinstance(elapsed, int | float):
            return None
        if self._first is None or step <= self._first[0] or elapsed <= self._first[1]:
            self._first = (step, elapsed)
            return None
        if self._total is None:
            return None
        return (self._total - step) * (elapsed - self._first[1]) / (step - self._first[0])


def _threats(event: Mapping[str, Any]) -> str | None:
    try:
        return " ".join(finding_lines(map(Finding.from_json, event["threats"]))) or None
    except (KeyError, TypeError):
        return None


def _number(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "nan"


def said_in(event: Mapping[str, Any], name: str) -> str:
    """A message of an event in the user's language, where the event carries its id and values."""
    text, said = event.get(name) or "", (event.get("said") or {}).get(name)
    try:
        return translate(Message.from_json(said, str(text))) if said else str(text)
    except (KeyError, TypeError):
        return str(text)
