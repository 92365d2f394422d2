"""Make it fit: the changes that bring a run into the free memory, made one by one or all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option as Line
from textual.worker import get_current_worker

from finetty.tui.actions import bindings
from finetty.tui.draft import written
from finetty.tui.guide import label, word
from finetty.tui.language import _, translate
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.text import size, visible
from finetty.tui.widgets.outlook import VERDICT_SIGNS, VERDICT_STYLES, memory_lines
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.planning.fitting import Change
    from finetty.tui.screens.wizard import Wizard


class MakeFit(TranslatedDialog[None]):
    """Worked out again after every change, since what is still needed depends on what was done."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("fit")
    changes: tuple[Change, ...] | None = None
    """None while they are being worked out."""

    class Found(Message):
        """The changes for the answers as they are."""

        def __init__(self, changes: tuple[Change, ...]) -> None:
            self.changes = changes
            super().__init__()

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        self.wizard = wizard

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", can_focus=False) as box:
            box.border_title = Content(_("Make it fit"))
            yield Prose("", id="fit-memory")
            yield OptionList(id="changes", markup=False, compact=True)
            yield Prose("", id="fit-end")
            yield Prose(_("↵ makes the change, a makes all of them, Esc goes back."), classes="keys")

    def on_mount(self) -> None:
        self.query_one("#changes").focus()
        self.draw()
        self._work_out()

    async def relabel(self) -> None:
        await super().relabel()
        self.draw()

    @work(thread=True, exclusive=True)
    def _work_out(self) -> None:
        from finetty.backend.planning.fitting import make_fit

        worker, state = get_current_worker(), self.wizard.state
        known = state.known
        if known.machine is not None:
            changes = make_fit(state.draft.anchored, known.model.facts, known.machine, known.data.facts)
            if not worker.is_cancelled:
                self.post_message(self.Found(changes))

    @on(Found)
    def _found(self, event: Found) -> None:
        self.changes = event.changes
        self.draw()

    @on(OptionList.OptionSelected)
    def _make_one(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self.changes:
            self._make(self.changes[event.option_index : event.option_index + 1])

    def action_make_all(self) -> None:
        self._make(self.changes or ())

    def _make(self, changes: tuple[Change, ...]) -> None:
        if changes:
            self.changes = None
            self.wizard.take_all({option: value for change in changes for option, value in change.values.items()})
            self._work_out()

    def action_close(self) -> None:
        self.dismiss(None)

    def draw(self) -> None:
        plan = self.wizard.state.plan
        if plan is not None:
            self.query_one("#fit-memory", Prose).say(memory_lines(plan.memory, 40))
        if self.changes is None:
            return
        shown = self.query_one("#changes", OptionList)
        shown.clear_options()
        shown.add_options([Line(change_line(change)) for change in self.changes])
        shown.highlighted = 0 if self.changes else None
        self.query_one("#fit-end", Prose).say(self._end())

    def _end(self) -> Content:
        """What is to be said where the changes are none, or are not enough."""
        plan = self.wizard.state.plan
        fits = plan is not None and plan.memory.verdict == "fits"
        if fits or (self.changes and self.changes[-1].verdict == "fits"):
            return Content("")
        more = _("Even this is not enough: take a smaller model.") if self.changes else _("A smaller model is needed.")
        return Content.styled(more, "$text-error")


def change_line(change: Change) -> Content:
    """What becomes of which option, what it saves, whether it fits then; below it what it costs."""
    made = [
        f"{_(label(option))} {_(word(written(change.before[option])))} → {_(word(written(value)))}"
        for option, value in change.values.items()
        if value != change.before[option]
    ]
    saves = f"−{size(change.saved)}  {VERDICT_SIGNS[change.verdict]}"
    first = Content.assemble((visible(", ".join(made)), "bold"), "  ", (saves, VERDICT_STYLES[change.verdict]))
    return Content.assemble(first, "\n", ("  " + _("Costs:") + " " + visible(translate(change.cost)), "$text-muted"))
