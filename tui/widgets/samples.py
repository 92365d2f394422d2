"""The same questions answered by the model before and after: a model's words, shown as text and as nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from finetty.tui.language import _
from finetty.tui.story import Sample
from finetty.tui.text import count, visible
from finetty.tui.widgets.figures import ascii_only
from finetty.tui.widgets.panel import Panel


class SampleCard(Container):
    """One question; below it the two answers, beside each other where there is room."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample

    def compose(self) -> ComposeResult:
        sample = self.sample
        sign = ">" if ascii_only() else "›"
        yield Static(Content.styled(f"{sign} {visible(sample.prompt.strip())}", "bold"), classes="prompt", markup=False)
        with Container(classes="answers"):
            yield Static(_answer(_("before"), sample.before, sample.before_step, "$foreground-muted"), markup=False)
            if sample.after is not None:
                yield Static(_answer(_("after"), sample.after, sample.after_step, "$text-success"), markup=False)


class SamplesPanel(Panel):
    """All samples, made again only when one of them is new."""

    def __init__(self) -> None:
        super().__init__("samples")
        self._shown: Sequence[Sample] | None = None

    def compose(self) -> ComposeResult:
        yield Static(_("No answers yet: the model is asked before its training and after it."), classes="empty")

    async def show(self, samples: Sequence[Sample]) -> None:
        if samples == self._shown or (not samples and self._shown is None):
            return
        self._shown = samples
        async with self.batch():
            await self.remove_children()
            await self.mount_all([SampleCard(sample) for sample in samples])


def _answer(name: str, text: str | None, step: int | None, tone: str) -> Content:
    title = name if step is None else _("{name}, step {step}").format(name=name, step=count(step))
    return Content.assemble((title, f"{tone} bold"), "  ", visible((text or "-").strip()))
