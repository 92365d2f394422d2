"""The same run again: what has changed since, and whether the losses are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetty.backend.dataset import read_rows
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models.fingerprint import fingerprint
from finetty.backend.planning.plan import Plan
from finetty.backend.runs import Run, history
from finetty.backend.training.checkpoints import last_checkpoint, read_about
from finetty.backend.training.circumstances import circumstances
from finetty.backend.training.place import model_folder

NO_CHECKPOINT = message(
    "reproduce.no_checkpoint", "The run {run} left no checkpoint, which says on what data and what base it was trained."
)
CHOOSE_ANOTHER = message("reproduce.choose_another", "Choose a run that has taken at least one step.")
OTHER_DATA = message("reproduce.other_data", "the data: SHA-256 {before} then, {now} now")
OTHER_BASE = message("reproduce.other_base", "the base model's files: fingerprint {before} then, {now} now")
OTHER_VERSION = message("reproduce.other_version", "{package}: {before} then, {now} now")
NOT_SAID = message("reproduce.not_said", "the versions of the libraries: an older finetty did not write them down")


@dataclass(frozen=True)
class Difference:
    """`decides` says that the run cannot come out the same, whatever the libraries do."""

    what: Message
    decides: bool


@dataclass(frozen=True)
class Agreement:
    """How far the losses of two runs agree, over the steps and evaluations that both have."""

    compared: int
    first_difference: int | None
    """The step of the first loss that is not the same to the bit."""
    largest: float
    """The largest difference, as a share of the loss."""

    @property
    def same(self) -> bool:
        return self.compared > 0 and self.first_difference is None


def differences(run: Run) -> list[Difference]:
    """What is not as it was when the run was trained. Raises Refusal where that is not known, or cannot be read."""
    about = _about(run)
    recipe = Plan.from_json(run.plan_document()).recipe
    now: dict[str, Any] = {"data": read_rows(recipe).sha256, "base": fingerprint(model_folder(recipe))}
    found = [
        Difference(said(before=_short(about.get(key)), now=_short(now[key])), decides=True)
        for key, said in (("data", OTHER_DATA), ("base", OTHER_BASE))
        if about.get(key) not in (None, now[key])
    ]
    return found + [Difference(said, decides=False) for said in _versions(about)]


def _versions(about: dict[str, Any]) -> Iterator[Message]:
    then = about.get("versions")
    if not isinstance(then, dict):
        yield NOT_SAID()
        return
    now = circumstances()["versions"]
    for package in sorted({*then, *now}):
        if then.get(package) != now.get(package):
            yield OTHER_VERSION(package=package, before=then.get(package, "-"), now=now.get(package, "-"))


def threads_of(run: Run) -> int | None:
    """The threads that the run was computed with: with another number sums come out otherwise."""
    threads = _about(run).get("threads")
    return threads if isinstance(threads, int) else None


def again(run: Run) -> Run:
    """A new run of the same plan, beside the first. Raises Refusal."""
    document = run.plan_document()
    return Run.create(run.path.parent, document, Plan.from_json(document).recipe, asked=run.recipe())


def agreement(first: Run, second: Run) -> Agreement:
    """Losses and held-out losses, one by one."""
    one, other = _losses(first), _losses(second)
    shared = sorted(one.keys() & other.keys())
    unequal = [key for key in shared if one[key] != other[key]]
    shares = [_share(one[key], other[key]) for key in shared]
    return Agreement(len(shared), unequal[0][0] if unequal else None, max(shares, default=0.0))


def _losses(run: Run) -> dict[tuple[int, str], float | None]:
    events = history(run.events_path, ("step", "eval"))
    return {(event["step"], event["kind"]): event.get("loss") for event in events}


def _share(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one == other else math.inf
    return abs(one - other) / max(abs(one), 1e-12)


def _about(run: Run) -> dict[str, Any]:
    checkpoint = last_checkpoint(run.checkpoints)
    try:
        return read_about(checkpoint) if checkpoint else _refuse(run)
    except (OSError, ValueError):
        return _refuse(run)


def _refuse(run: Run) -> dict[str, Any]:
    raise Refusal(NO_CHECKPOINT(run=run.id), CHOOSE_ANOTHER())


def _short(digest: Any) -> str:
    return str(digest)[:12]
