"""What a run that is over leaves behind: whether its result is there, file by file, as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from finetty.backend.messages import Finding, Message, message
from finetty.backend.runs.directory import Run

NO_RESULT = message("remains.no_result", "There is no result.")
NO_RESULT_BUT = message("remains.no_result_but", "There is no result; the last checkpoint is of step {step}.")
NOT_NOTED = message(
    "remains.not_noted", "A result is there; which files it has was not noted, so whether it is whole was not checked."
)
RESUME = message("remains.resume", "`finetty resume {run}` goes on.")
INCOMPLETE = message("remains.incomplete", "The result is not whole: {file} is missing or has another size.")


def missing(run: Run, files: Mapping[str, int] | None) -> Finding | None:
    """A warning where the result is not whole, a note where that cannot be told, None where it is. Never raises.

    `files` are those of the result with their sizes in bytes, as the process that trained noted them once they were
    written through to the disk; None where it never did, as in a run of an older finetty.
    """
    if files is None and run.output.is_dir() and run.status().state in ("finished", "stopped"):
        return Finding("note", None, NOT_NOTED())
    if not files:
        return Finding("warning", None, _no_result(run), RESUME(run=run.id))
    other = next((name for name, size in files.items() if _size(run.output / name) != size), None)
    return Finding("warning", None, INCOMPLETE(file=other), RESUME(run=run.id)) if other else None


def _no_result(run: Run) -> Message:
    steps = [int(path.name.removeprefix("step-")) for path in run.checkpoints.glob("step-*[0-9]")]
    return NO_RESULT_BUT(step=max(steps)) if steps else NO_RESULT()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
