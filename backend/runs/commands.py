"""The inbox of a run: one file a command, renamed into place, each answered by an event."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from finetty.backend.files import write_whole
from finetty.backend.messages import Refusal, message
from finetty.backend.runs.events import EventLog, EventReader

if TYPE_CHECKING:
    from finetty.backend.runs.directory import Run

COMMANDS = ("pause", "resume", "checkpoint", "stop", "stop-and-save", "shrink")

NOT_SENT = message("runs.not_sent", "The command could not be left in the run's inbox: {reason}.")

_FILE_NAME = re.compile(r"[0-9]{19}-(?P<id>[0-9a-f]{32})\.json")
_LARGEST_COMMAND = 1 << 16


@dataclass(frozen=True)
class Command:
    """`name` is one of COMMANDS; `values` are what it was sent with."""

    id: str
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


_said_here: SimpleQueue[Command] = SimpleQueue()


def tell_this_process(name: str) -> None:
    """A command to the trainer of this very process, which no disk has to take; also from the handler of a signal."""
    _said_here.put(Command(uuid.uuid4().hex, name))


class Inbox:
    """The trainer's side: polled during load, training, evaluation and save."""

    def __init__(self, run: Run, log: EventLog | None = None) -> None:
        self._folder = run.commands_path
        self._log = log or EventLog(run)

    def take(self) -> list[Command]:
        """The commands that came in since, oldest first. Unknown ones are answered here, with an error."""
        commands = []
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else []:
            named = _FILE_NAME.fullmatch(path.name)
            if not named:
                continue
            command = _command(path, named["id"])
            path.unlink(missing_ok=True)
            if command and command.name in COMMANDS:
                commands.append(command)
            else:
                name = command.name if command else ""
                self._log.append("command", id=named["id"], name=name, result="error", reason="unknown command")
        while not _said_here.empty():
            commands.append(_said_here.get())
        return commands

    def answer(self, command: Command, result: str, **values: Any) -> None:
        """Tell whoever sent it what became of it: "done", or "error" with a `reason`."""
        self._log.append("command", id=command.id, name=command.name, result=result, **values)


def send_command(run: Run, name: str, **values: Any) -> str:
    """Leave a command for the process that trains; returns its id. Raises Refusal (a full disk, a run that is gone)."""
    if name not in COMMANDS:
        raise ValueError(f"there is no command {name}")
    command_id = uuid.uuid4().hex
    path = run.commands_path / f"{time.time_ns():019d}-{command_id}.json"
    try:
        write_whole(path, json.dumps({"name": name, "values": values}).encode())
    except OSError as error:
        raise Refusal(NOT_SENT(reason=error.strerror), path=run.path) from None
    return command_id


def wait_for_result(run: Run, command_id: str, seconds: float = 30) -> dict[str, Any] | None:
    """The `command` event that answers it, or None when none came: then the command is withdrawn.

    A command that stayed behind would otherwise meet the run when it is resumed, days later.
    """
    reader, until = EventReader(run.events_path), time.monotonic() + seconds
    try:
        while True:
            events = reader.read()
            for event in events:
                if event["kind"] == "command" and event.get("id") == command_id:
                    return event
            if not events:
                if time.monotonic() >= until:
                    return None
                time.sleep(0.1)
    finally:
        withdraw(run, command_id)


def withdraw(run: Run, command_id: str) -> bool:
    """Take back a command that was not taken yet; False when it was."""
    left = list(run.commands_path.glob(f"*-{command_id}.json"))
    for path in left:
        path.unlink(missing_ok=True)
    return bool(left)


def _command(path: Path, command_id: str) -> Command | None:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_LARGEST_COMMAND))
        name, values = content["name"], content.get("values", {})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not isinstance(name, str) or not isinstance(values, dict):
        return None
    return Command(command_id, name, values)
