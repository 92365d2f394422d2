"""Make it fit: the changes that bring a run into the free memory, made one by one or all at once."""

from __future__ import annotations

from collections.abc import Sequence
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

from finetty.tui.actions import dialog_bindings
from finetty.tui.draft import written
from finetty.tui.guide import label, word
from finetty.tui.language import _, translate
from finetty.tui.prices import Priced, Prices
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.text import size, visible
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.options import Options
from finetty.tui.widgets.outlook import VERDICT_SIGNS, VERDICT_STYLES, memory_lines
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.planning.fitting import Change
    from finetty.backend.replay.asking import Question
    from finetty.tui.screens.wizard import Wizard


class MakeFit(TranslatedDialog[None]):
    """Worked out again after every change, since what is still needed depends on what was done."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("fit")
    changes: tuple[Change, ...] | None = None
    """None while they are being worked out."""

    class Found(Message):
        """The changes for the answers as they are, and what to ask for their exact prices."""

        def __init__(self, changes: tuple[Change, ...], questions: Sequence[Question | None]) -> None:
            self.changes, self.questions = changes, questions
            super().__init__()

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        self.wizard = wizard
        self.prices = Prices(self, wizard.exact.replays)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", can_focus=False) as box:
            box.border_title = Content(_("Make it fit"))
            yield Prose("", id="fit-memory")
            yield Options(id="changes", markup=False, compact=True)
            yield Prose("", id="fit-end")
        yield KeyBar()

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
        from finetty.backend.replay.planned import questions_along

        worker, state = get_current_worker(), self.wizard.state
        known = state.known
        if known.machine is not None:
            facts = (state.draft.anchored, known.model.facts, known.machine, known.data.facts)
            changes = make_fit(*facts)
            questions = questions_along(changes, *facts)
            if not worker.is_cancelled:
                self.post_message(self.Found(changes, questions))

    @on(Found)
    def _found(self, event: Found) -> None:
        self.changes = event.changes
        if event.changes and self.wizard.exact.pause is not None:
            plan = self.wizard.state.plan
            exact = plan.memory.exact if plan else None
            self.prices.begin(event.questions, exact.process if exact else None)
        self.draw()

    @on(Priced)
    def _priced(self, event: Priced) -> None:
        self.prices.take(event)
        self.draw()

    def on_unmount(self) -> None:
        self.prices.stop()

    @on(OptionList.OptionSelected)
    def _make_one(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self.changes:
            self._make(self.changes[event.option_index : event.option_index + 1])

    def action_make_one(self) -> None:
        self.query_one("#changes", OptionList).action_select()

    def action_make_all(self) -> None:
        self._make(self.changes or ())

    def _make(self, changes: tuple[Change, ...]) -> None:
        if changes:
            self.changes = None
            self.prices.stop()
            self.wizard.take_all({option: value for change in changes for option, value in change.values.items()})
            self._work_out()

    def fill(self) -> None:
        plan = self.wizard.state.plan
        if plan is not None:
            self.query_one("#fit-memory", Prose).say(memory_lines(plan.memory, 40))
        if self.changes is None:
            return
        shown = self.query_one("#changes", OptionList)
        place = shown.highlighted or 0
        shown.clear_options()
        shown.add_options([Line(change_line(change)) for change in self._as_priced()])
        shown.highlighted = min(place, len(self.changes) - 1) if self.changes else None
        self.query_one("#fit-end", Prose).say(self._end())

    def _as_priced(self) -> tuple[Change, ...]:
        from finetty.backend.planning.fitting import priced

        plan = self.wizard.state.plan
        free = plan.memory.device.free if plan and plan.memory.device else None
        changes = self.changes or ()
        return changes if free is None else priced(changes, self.prices.peaks, free)

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
    sign = "=" if change.exact else "≈"
    saves = f"{sign} −{size(change.saved)}  {VERDICT_SIGNS[change.verdict]}"
    first = Content.assemble((visible(", ".join(made)), "bold"), "  ", (saves, VERDICT_STYLES[change.verdict]))
    return Content.assemble(first, "\n", ("  " + _("Costs:") + " " + visible(translate(change.cost)), "$text-muted"))
