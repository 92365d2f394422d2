"""The run directory: the only interface between a run and whoever watches or commands it."""

from finetty.backend.runs.commands import COMMANDS, Command, Inbox, send_command, wait_for_result, withdraw
from finetty.backend.runs.directory import Run, find_run, list_runs, refuse_alive, remove_run, runs_root
from finetty.backend.runs.events import EventLog, EventReader, history
from finetty.backend.runs.lock import RunLock, is_locked
from finetty.backend.runs.status import END_STATES, LIVE_STATES, Status

__all__ = [
    "COMMANDS",
    "END_STATES",
    "LIVE_STATES",
    "Command",
    "EventLog",
    "EventReader",
    "Inbox",
    "Run",
    "RunLock",
    "Status",
    "find_run",
    "history",
    "is_locked",
    "list_runs",
    "refuse_alive",
    "remove_run",
    "runs_root",
    "send_command",
    "wait_for_result",
    "withdraw",
]
