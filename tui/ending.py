"""What is said on the terminal when a run has ended: was it worth it, where is it, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator

from finetty.backend.runs import EventReader, Run
from finetty.tui.language import _, translate
from finetty.tui.plain import state_words
from finetty.tui.story import Figures, Sample, Story
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
    for sample in story.samples.values():
        yield from sample_lines(sample)
    if story.figures.failure and status.state == "failed":
        yield _("why: {reason}").format(reason=translate(story.figures.failure))
        if story.figures.cure:
            yield _("what to do: {advice}").format(advice=translate(story.figures.cure))
    yield ""
    yield _("folder:      {path}").format(path=run.path)
    yield from next_lines(run, status.state)


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
    yield _("open again:  {command}").format(command=f"finetty attach {run.id}")
