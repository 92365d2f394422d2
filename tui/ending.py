"""What is said on the terminal when a run has ended: was it worth it, where is it, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finetty.backend.messages import Refusal
from finetty.backend.runs import EventReader, Run
from finetty.backend.runs.events import history
from finetty.backend.runs.labels import labels_of
from finetty.tui.language import _, translate
from finetty.tui.plain import finding_lines, state_words
from finetty.tui.safety import lacking
from finetty.tui.story import Figures, Sample, Story, said_in
from finetty.tui.text import duration, loss


def ending_lines(run: Run) -> Iterator[str]:
    """Loss before and after, the same questions before and after, the run's folder, the commands to go on with."""
    story = read_story(run)
    status = run.status()
    yield ""
    yield _("{run} {state} at step {step} of {total}").format(
        run=run.id,
        state=state_words(status.state),
        step=status.step,
        total="?" if status.total is None else status.total,
    )
    yield from loss_lines(story.figures)
    yield from cost_lines(run)
    for sample in story.samples.values():
        yield from sample_lines(sample)
    if story.figures.failure and status.state == "failed":
        yield _("why: {reason}").format(reason=translate(story.figures.failure))
        if story.figures.cure:
            yield _("what to do: {advice}").format(advice=translate(story.figures.cure))
    yield ""
    yield from safety_lines(run, story.figures)
    yield _("folder:      {path}").format(path=run.path)
    yield from next_lines(run, status.state)


def failure_words(folder: Path) -> str:
    """Why the run in this folder failed, or what it asked before it was stopped; nothing where there is no such run."""
    try:
        run = Run.open(folder)
        state = run.status().state
    except (OSError, Refusal):
        return ""
    alerts = history(run.events_path, ("alert",))
    if state == "failed":
        alerts = [alert for alert in alerts if alert.get("level") == "error"]
    elif state != "stopped" or not (alerts and alerts[-1].get("choices")):
        return ""
    parts = [said_in(alerts[-1], "message"), said_in(alerts[-1], "advice")] if alerts else []
    return " ".join(translate(part) for part in (parts if state == "failed" else parts[:1]) if part is not None)


def read_story(run: Run) -> Story:
    """All events of a run, read to the end."""
    story, reader = Story(), EventReader(run.events_path)
    while events := reader.read():
        story.take(events)
    return story


def loss_lines(figures: Figures) -> Iterator[str]:
    if figures.held_out is not None and figures.held_out_first is not None:
        yield change_line(_("held-out loss"), figures.held_out_first, figures.held_out)
    if figures.first_loss is not None and figures.smoothed is not None:
        yield change_line(_("training loss"), figures.first_loss, figures.smoothed)
    if figures.began is not None and figures.ended is not None:
        yield _("time: {time}").format(time=duration(figures.ended - figures.began))


def cost_lines(run: Run) -> Iterator[str]:
    """`cost: 1.24 USD (29m 53s at 2.49 USD an hour)`, where somebody said what an hour costs."""
    price = labels_of(run).price
    if price is None:
        return
    figures = read_story(run).figures
    if figures.began is not None and figures.ended is not None:
        seconds = figures.worked + figures.ended - figures.began
        yield _("cost: {cost} ({time} at {price} an hour)").format(
            cost=price.cost(seconds), time=duration(seconds), price=price
        )


def safety_lines(run: Run, figures: Figures) -> Iterator[str]:
    """Whether the machine may be shut down, and what is missing where it may not."""
    if found := lacking(run, figures.saved):
        yield from finding_lines(found)
    else:
        yield _("safe to shut down: the result is whole and on the disk")


def change_line(name: str, before: float, after: float) -> str:
    """`held-out loss: 3.4567 → 1.2345 (-64%)`."""
    share = f" ({(after - before) / before:+.0%})" if before else ""
    return f"{name}: {loss(before)} → {loss(after)}{share}"


def sample_lines(sample: Sample) -> Iterator[str]:
    yield ""
    yield _("asked:  {text}").format(text=sample.prompt)
    if sample.before is not None:
        yield _("before: {text}").format(text=indented(sample.before))
    if sample.after is not None and sample.after_step != sample.before_step:
        yield _("after:  {text}").format(text=indented(sample.after))


def indented(text: str) -> str:
    """The text with its further lines under its first."""
    return text.strip().replace("\n", "\n        ")


def next_lines(run: Run, state: str) -> Iterator[str]:
    if state in ("failed", "crashed", "stopped") and any(run.checkpoints.glob("*")):
        yield _("go on:       {command}").format(command=f"finetty resume {run.id}")
    if (run.output).is_dir():
        yield _("result:      {path}").format(path=run.output)
        yield _("chat:        {command}").format(command=f"finetty chat {run.id}")
        yield _("take it out: {command}").format(command=f"finetty export {run.id} --to merged DIR")
    yield _("open again:  {command}").format(command=f"finetty attach {run.id}")
