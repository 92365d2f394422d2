"""Which other runs are drawn beside a run: a list in which each is marked or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run, Status, list_runs
from finetty.tui.actions import dialog_bindings
from finetty.tui.language import _
from finetty.tui.plain import state_words
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.text import count, visible
from finetty.tui.widgets.figures import ascii_only, state_sign
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.options import Options
from finetty.tui.widgets.plot import LETTERS

MOST_BESIDE = len(LETTERS)
"""How many runs can be drawn beside one."""


class Compare(TranslatedDialog[tuple[Run, ...]]):
    """Returns the marked runs, in the order in which they were marked."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("beside")

    class Found(Message):
        """The runs beside the one that is looked at, the newest first."""

        def __init__(self, runs: Sequence[tuple[Run, Status]]) -> None:
            super().__init__()
            self.runs = runs

    def __init__(self, run: Run, chosen: Sequence[Run]) -> None:
        super().__init__()
        self.run, self.chosen = run, list(chosen)
        self.runs: Sequence[tuple[Run, Status]] | None = None
        self.full = False
        """Whether the last mark found no room."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(_("Compare with"))
            yield Static(self._about(), id="compare-about", markup=False)
            yield Options(compact=True, markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._find()
        self._show()

    async def relabel(self) -> None:
        await super().relabel()
        self._show()
        self.query_one(OptionList).focus()

    @work(thread=True)
    def _find(self) -> None:
        others = (run for run in list_runs(self.run.path.parent) if run.path != self.run.path)
        self.post_message(self.Found([(run, status) for run in others if (status := status_of(run))]))

    @on(Found)
    def _take(self, message: Found) -> None:
        self.runs = message.runs
        self._show()

    def _show(self) -> None:
        about, listed = self.query_one("#compare-about", Static), self.query_one(OptionList)
        about.update(self._about())
        about.display = not self.runs or self.full
        at = listed.highlighted
        listed.set_options(Option(self._line(run, status), id=run.id) for run, status in self.runs or ())
        listed.highlighted = at if at is not None else (0 if self.runs else None)

    def _about(self) -> str:
        if self.full:
            return _("At most {count} runs fit beside this one: take a mark away first.").format(count=MOST_BESIDE)
        return _("Looking for runs …") if self.runs is None else _("There is no other run here.")

    def _line(self, run: Run, status: Status) -> Content:
        marked = any(one.path == run.path for one in self.chosen)
        box = "  " if not marked else "* " if ascii_only() else "✓ "
        name = visible(status.name or "").replace("\n", " ")
        state = f"{state_sign(status.state)} {state_words(status.state)}"
        return Content.assemble(
            (box, "bold $text-accent"),
            (run.id, "bold"),
            f"  {name}  ",
            (f"{state} {count(status.step)}", "$foreground-muted"),
        )

    @on(OptionList.OptionSelected)
    def _chosen(self) -> None:
        self.action_mark_run()

    def action_mark_run(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is None or not self.runs:
            return
        run = self.runs[at][0]
        kept = [one for one in self.chosen if one.path != run.path]
        marking = len(kept) == len(self.chosen)
        self.full = marking and len(kept) == MOST_BESIDE
        if not self.full:
            self.chosen = [*kept, run] if marking else kept
        self._show()

    def action_close(self) -> None:
        self.dismiss(tuple(self.chosen))


def status_of(run: Run) -> Status | None:
    """The run's status; None where it cannot be read."""
    try:
        return run.status()
    except Refusal:
        return None
