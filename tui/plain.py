"""Plain lines for pipes, scripts and logs: the same facts as the screens, without a screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Finding
from finetty.tui.language import _, translate
from finetty.tui.text import count, duration, short_count, size

if TYPE_CHECKING:
    from finetty.backend.planning.plan import Memory, Plan
    from finetty.backend.runs import Run


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """`error: what is wrong. What mends it. [option]`, one a finding."""
    words = {"error": _("error"), "warning": _("warning"), "note": _("note")}
    for found in findings:
        fix = f" {translate(found.fix)}" if found.fix else ""
        option = f" [{found.option}]" if found.option else ""
        yield f"{words[found.level]}: {translate(found.message)}{fix}{option}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """The whole plan for a reader: choices with reasons, size, memory, disk, time, findings."""
    yield _("Choices")
    width = max((len(choice.option) for choice in plan.choices), default=0)
    for choice in plan.choices:
        yield f"  {choice.option:<{width}}  {shown(choice.value)}  — {translate(choice.reason)}"
    yield _("Size")
    yield "  " + _("{trainable} of {total} parameters are trained").format(
        trainable=short_count(plan.trainable_parameters), total=short_count(plan.total_parameters)
    )
    if plan.steps is not None:
        yield "  " + _("{steps} steps over {rows} rows, {held} rows held out").format(
            steps=count(plan.steps), rows=count(plan.train_rows), held=count(plan.validation_rows)
        )
    yield "  " + memory_line(plan.memory)
    if plan.disk.needed is not None:
        yield "  " + _("disk: {needed} needed, {free} free").format(
            needed=size(plan.disk.needed), free=size(plan.disk.free)
        )
    yield "  " + time_line(plan)
    if plan.findings:
        yield _("Findings")
        yield from (f"  {line}" for line in finding_lines(plan.findings))


def shown(value: Any) -> str:
    """An option's value as a recipe writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return "null" if value is None else str(value)


def verdict_words(verdict: str) -> str:
    return {
        "fits": _("it fits"),
        "tight": _("it is tight"),
        "over": _("it does not fit"),
        "unknown": _("not known"),
    }[verdict]


def memory_line(memory: Memory) -> str:
    """`memory: ≈ 1.2 GB of 15.0 GB free on CPU: it fits`."""
    if memory.live is None or memory.device is None:
        return _("memory: not known")
    return _("memory: ≈ {needed} of {free} free on {device}: {verdict}").format(
        needed=size(memory.live.process),
        free=size(memory.device.free),
        device=memory.device.name,
        verdict=verdict_words(memory.verdict),
    )


def time_line(plan: Plan) -> str:
    basis = translate(plan.time.basis)
    if plan.time.low is None or plan.time.high is None:
        return _("time: {basis}").format(basis=basis)
    return _("time: {low} to {high} ({basis})").format(
        low=duration(plan.time.low), high=duration(plan.time.high), basis=basis
    )


def run_document(run: Run) -> dict[str, Any]:
    """A run as `runs --json` lists it."""
    status = run.status()
    return {
        "id": run.id,
        "name": status.name,
        "state": status.state,
        "step": status.step,
        "total": status.total,
        "started": status.started,
        "path": str(run.path),
    }


def state_words(state: str) -> str:
    return {
        "queued": _("queued"),
        "loading": _("loading"),
        "preflight": _("preflight"),
        "running": _("running"),
        "paused": _("paused"),
        "saving": _("saving"),
        "finished": _("finished"),
        "failed": _("failed"),
        "stopped": _("stopped"),
        "crashed": _("crashed"),
    }.get(state, state)


def runs_lines(runs: list[Run]) -> Iterator[str]:
    if not runs:
        yield _("There are no runs yet. `finetty demo` makes one.")
        return
    width = max(len(run.id) for run in runs)
    for run in runs:
        status = run.status()
        started = "" if status.started is None else f"{datetime.fromtimestamp(status.started):%Y-%m-%d %H:%M}"
        steps = f"{status.step}/{status.total if status.total is not None else '?'}"
        yield f"{run.id:<{width}}  {state_words(status.state):<9}  {steps:>13}  {started}  {status.name}"
