"""Two runs side by side: the options in which they differ, and their losses at the same steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetty.backend.recipe import options
from finetty.backend.runs.directory import Run
from finetty.backend.runs.events import Event, history

ROWS = 12


def compare(first: Run, second: Run) -> dict[str, Any]:
    """Of both: `runs`, `names`, `states`; `options` [{option, values}]; `losses` [{step, training, held_out}].

    The training loss is the mean since the row before; the held-out loss the last one up to the step. None where a run
    has none. Raises Refusal where a plan cannot be read.
    """
    pair = (first, second)
    recipes = [run.plan_document().get("recipe", {}) for run in pair]
    events = [history(run.events_path, ("step", "eval")) for run in pair]
    return {
        "runs": [run.id for run in pair],
        "names": [run.status().name for run in pair],
        "states": [run.status().state for run in pair],
        "options": [
            {"option": name, "values": values}
            for name in options()
            if (values := [_value(recipe, name) for recipe in recipes]) and values[0] != values[1]
        ],
        "losses": _side_by_side(events),
    }


def _value(recipe: Mapping[str, Any], name: str) -> Any:
    section, key = name.split(".")
    return recipe.get(section, {}).get(key)


def _side_by_side(events: Sequence[Sequence[Event]]) -> list[dict[str, Any]]:
    last = max((event["step"] for one in events for event in one), default=0)
    marks = sorted({round(last * row / ROWS) for row in range(ROWS + 1)})
    return [
        {
            "step": mark,
            "training": [_mean(one, before, mark) for one in events],
            "held_out": [_newest(one, mark) for one in events],
        }
        for before, mark in zip([-1, *marks], marks, strict=False)
    ]


def _mean(events: Sequence[Event], after: int, until: int) -> float | None:
    losses = [
        event["loss"]
        for event in events
        if event["kind"] == "step" and after < event["step"] <= until and event.get("loss") is not None
    ]
    return sum(losses) / len(losses) if losses else None


def _newest(events: Sequence[Event], until: int) -> float | None:
    """None once the run has ended before: what it had then is no answer at a later step."""
    reached = max((event["step"] for event in events), default=-1)
    evaluations = [event["loss"] for event in events if event["kind"] == "eval" and event["step"] <= until]
    return evaluations[-1] if evaluations and reached >= until else None
