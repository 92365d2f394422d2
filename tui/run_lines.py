"""Runs in plain lines: the list, what is freed, and two of them side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from finetty.backend.runs import Run
from finetty.backend.runs.labels import disk_use, labels_of
from finetty.tui.language import _
from finetty.tui.plain import shown, state_words
from finetty.tui.text import loss, padded, size, width


def run_document(run: Run, waiting: list[str]) -> dict[str, Any]:
    """A run as `runs --json` lists it. `queue` is its place in `waiting`, from 1, None where it does not wait."""
    labels = labels_of(run)
    return run.summary() | {
        "tags": list(labels.tags),
        "archived": labels.archived,
        "queue": waiting.index(run.id) + 1 if run.id in waiting else None,
        "disk": disk_use(run)["all"],
    }


def runs_lines(documents: list[dict[str, Any]]) -> Iterator[str]:
    longest = max((len(document["id"]) for document in documents), default=0)
    for document in documents:
        began = document["started"]
        started = "" if began is None else f"{datetime.fromtimestamp(began):%Y-%m-%d %H:%M}"
        state = state_words(document["state"]) + (f" {document['queue']}" if document["queue"] else "")
        steps = f"{document['step']}/{document['total'] if document['total'] is not None else '?'}"
        tags = "".join(f" #{tag}" for tag in document["tags"])
        put_away = " " + _("(archived)") if document["archived"] else ""
        place = f"{document['id']:<{longest}}  {padded(state, 10)}  {steps:>13}  {size(document['disk']):>7}"
        yield f"{place}  {started:16}  {document['name']}{tags}{put_away}"


def freed_line(use: Mapping[str, int], freed: int) -> str:
    return _("Deleted; {size} are free again: {checkpoints} of checkpoints, {output} of the result.").format(
        size=size(freed), checkpoints=size(use["checkpoints"]), output=size(use["output"])
    )


def comparison_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """What differs, then the losses: training and held out of the one, then of the other."""
    for number, (run, state) in enumerate(zip(document["runs"], document["states"], strict=True), 1):
        yield f"{number}  {run}  {state_words(state)}"
    yield ""
    options = [(one["option"], *map(shown, one["values"])) for one in document["options"]]
    if not options:
        yield _("The recipes are the same.")
    name, value = (max((width(row[place]) for row in options), default=0) for place in (0, 1))
    for option, first, second in options:
        yield f"{padded(option, name)}  {padded(first, value)}  {second}"
    yield ""
    titles = [f"{title} {number}" for number in (1, 2) for title in (_("training"), _("held out"))]
    yield (padded(_("step"), 8) + "".join(padded(title, 14) for title in titles)).rstrip()
    for row in document["losses"]:
        cells = [loss(values[place]) for place in (0, 1) for values in (row["training"], row["held_out"])]
        yield (f"{row['step']:<8}" + "".join(padded(cell, 14) for cell in cells)).rstrip()
