"""The runs that the list shows and what it says of each, read from their folders: for a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run, Status, list_runs, runs_root
from finetty.backend.runs.labels import Labels, labels_of, matches
from finetty.backend.runs.queue import waiting
from finetty.tui.language import translate


@dataclass(frozen=True)
class Sought:
    """Which runs are wanted: those that hold all of these words; put away ones only where they are asked for."""

    words: str = ""
    archived: bool = False


@dataclass(frozen=True)
class Listed:
    """`place` is where the run waits in the queue, from 1; None where it does not wait."""

    run: Run
    status: Status
    place: int | None = None
    labels: Labels = field(default_factory=Labels)


@dataclass(frozen=True)
class Listing:
    """What was found, the newest first, or why nothing could be; `put_away` counts those put away that match."""

    sought: Sought
    runs: tuple[Listed, ...] = ()
    put_away: int = 0
    problem: str = ""


def read_listing(root: Path | None, sought: Sought) -> Listing:
    """The runs in this folder, else in the usual one, as they are now."""
    try:
        folder = runs_root(root)
    except Refusal as refusal:
        return Listing(sought, problem=translate(refusal.said))
    places = {run.id: place for place, run in enumerate(waiting(folder), 1)}
    read = (_read(run, places.get(run.id), sought.words.split()) for run in list_runs(folder))
    found = [listed for listed in read if listed]
    shown = tuple(listed for listed in found if sought.archived or not listed.labels.archived)
    return Listing(sought, shown, sum(listed.labels.archived for listed in found))


def _read(run: Run, place: int | None, words: list[str]) -> Listed | None:
    """None where the run does not hold the words, or cannot be read, as one that is being deleted."""
    try:
        return Listed(run, run.status(), place, labels_of(run)) if matches(run, words) else None
    except Refusal:
        return None
