"""Two settings side by side, A and B: what differs, memory part by part, what each takes; one of them is taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from finetty.backend.planning.compare import Comparison, Setting, compare
from finetty.backend.planning.plan import Plan
from finetty.tui.actions import dialog_bindings
from finetty.tui.draft import written
from finetty.tui.guide import label, word
from finetty.tui.language import _, plural
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.text import short_count, size, visible
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.outlook import VERDICT_STYLES, finding_lines, time_words, verdict_words
from finetty.tui.widgets.prose import Prose

NAME_WIDTH = 17
Taken = Literal["A", "B"]


class CompareSettings(TranslatedDialog[Taken]):
    """Dismissed with the one that is taken; with None where both are kept."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("compare")

    def __init__(self, first: Setting, second: Setting) -> None:
        super().__init__()
        self.first, self.second = first, second

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(_("Compare: A as kept, B as it is now"))
            with VerticalScroll():
                yield Prose("", id="comparison")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
        self.call_after_refresh(self.draw)

    def on_resize(self) -> None:
        self.draw()

    async def relabel(self) -> None:
        await super().relabel()
        self.query_one(VerticalScroll).focus()
        self.draw()

    def fill(self) -> None:
        place = self.query_one("#comparison", Prose)
        place.say(Content("\n").join(table(self.first, self.second, max(40, place.size.width))))

    def action_take_first(self) -> None:
        self.dismiss("A")

    def action_take_second(self) -> None:
        self.dismiss("B")


def table(first: Setting, second: Setting, width: int) -> Iterator[Content]:
    """The comparison in lines of so many cells."""
    found = compare(first, second)
    column = (width - NAME_WIDTH) // 2

    def row(name: str, one: Content | str, other: Content | str) -> Content:
        cells = [_cell(part, column - 1) for part in (one, other)]
        return Content.assemble(_cell(Content.styled(name, "$muted"), NAME_WIDTH - 1), " ", cells[0], " ", cells[1])

    yield row("", Content.styled("A", "bold $text-accent"), Content.styled("B", "bold $text-accent"))
    if not found.options:
        yield Content(_("Every option is the same."))
    for option, one, other in found.options:
        yield row(_(label(option)), _value(one), _value(other))
    yield Content.styled(_("Memory"), "bold $text-accent")
    for name, one_size, other_size in found.components:
        yield row(_(word(name)), size(one_size), size(other_size))
    yield row(_("together"), _needed(first.plan), _needed(second.plan))
    yield row(_("verdict"), _verdict(first.plan), _verdict(second.plan))
    yield Content.styled(_("What it takes"), "bold $text-accent")
    yield row(_("steps"), _steps(first.plan), _steps(second.plan))
    yield row(_("time"), time_words(first.plan), time_words(second.plan))
    yield row(_("learning rate"), _rate(first.plan), _rate(second.plan))
    yield row(_("trained"), short_count(first.plan.trainable_parameters), short_count(second.plan.trainable_parameters))
    yield row(_("disk"), size(first.plan.disk.needed), size(second.plan.disk.needed))
    yield from _findings(found)


def _findings(found: Comparison) -> Iterator[Content]:
    groups = ((_("Only A"), found.only_first), (_("Only B"), found.only_second), (_("Both"), found.both))
    for title, findings in groups:
        if findings:
            yield Content.styled(title, "bold $text-accent")
            yield from finding_lines(findings)


def _cell(text: Content | str, width: int) -> Content:
    content = text if isinstance(text, Content) else Content(text)
    return content.truncate(width, ellipsis=True, pad=True)


def _value(value: object) -> str:
    text = written(value)
    return visible(_(word(text))) if text else _("nothing")


def _needed(plan: Plan) -> str:
    prediction = plan.memory.exact or plan.memory.live
    return f"{'=' if plan.memory.exact else '≈'} {size(prediction.process)}" if prediction else "?"


def _verdict(plan: Plan) -> Content:
    return Content.styled(verdict_words(plan.memory), VERDICT_STYLES[plan.memory.verdict])


def _steps(plan: Plan) -> str:
    return "?" if plan.steps is None else plural("{count} step", "{count} steps", plan.steps)


def _rate(plan: Plan) -> str:
    return written(plan.recipe.training.learning_rate)
