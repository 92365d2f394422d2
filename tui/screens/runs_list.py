"""The runs of this machine, newest first; Enter opens the dashboard of the highlighted one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Static

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run, Status, list_runs, runs_root
from finetty.tui.actions import bindings
from finetty.tui.language import _, translate
from finetty.tui.plain import state_words
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.screens.dashboard import STYLES, DashboardScreen, Outcome
from finetty.tui.text import count, visible
from finetty.tui.widgets.figures import TONES, clock_time, state_sign
from finetty.tui.widgets.keybar import KeyBar

SECONDS_BETWEEN_LOOKS = 2.0


@dataclass(frozen=True)
class Listed:
    run: Run
    status: Status


class Looked(Message):
    """The runs as they were a moment ago, or why they cannot be listed."""

    def __init__(self, runs: list[Listed], problem: str = "") -> None:
        super().__init__()
        self.runs, self.problem = runs, problem

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Looked)


class RunsList(TranslatedScreen[None]):
    """The list looks again every other second and changes only what is different."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")
    CSS_PATH = STYLES / "dashboard.tcss"

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.root, self.clock = root, clock
        self.listed: list[Listed] | None = None
        self.problem = ""

    def compose(self) -> ComposeResult:
        title = Content.styled(_("Runs of this machine, the newest first"), "bold $text-accent")
        yield Static(title, id="runs-title", markup=False)
        yield DataTable(id="runs-table", cursor_type="row", zebra_stripes=False)
        yield Static("", id="runs-none", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._show()
        self.table.focus()
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._look)
        self._look()

    async def redrawn(self) -> None:
        self._show()
        self.table.focus()

    @property
    def table(self) -> DataTable[Content]:
        return self.query_one("#runs-table", DataTable)

    @work(thread=True, exclusive=True, group="look")
    def _look(self) -> None:
        try:
            runs = list_runs(runs_root(self.root))
        except Refusal as refusal:
            self.post_message(Looked([], translate(refusal.said)))
            return
        self.post_message(Looked([Listed(run, status) for run in runs if (status := _status(run))]))

    @on(Looked)
    def _take(self, message: Looked) -> None:
        before = None if self.listed is None else [one.run.id for one in self.listed]
        self.listed, self.problem = message.runs, message.problem
        if before and before == [one.run.id for one in message.runs]:
            self._update_rows()
        else:
            self._show()

    def _show(self) -> None:
        """The whole table again, with the highlight on the run that had it."""
        table, chosen = self.table, self._chosen()
        table.clear(columns=True)
        rows = [(listed.run.id, self._cells(listed)) for listed in self.listed or []]
        for index, (key, label) in enumerate(self._columns()):
            width = max([Content(label).cell_length, *(cells[index].cell_length for _id, cells in rows)])
            table.add_column(label, key=key, width=width)
        for run_id, cells in rows:
            table.add_row(*cells, key=run_id)
        if chosen and chosen in table.rows:
            table.move_cursor(row=table.get_row_index(chosen))
        table.display = bool(self.listed)
        none = self.query_one("#runs-none", Static)
        none.display = not self.listed
        none.update(self._nothing())

    def _update_rows(self) -> None:
        widths = {str(key.value): column.width for key, column in self.table.columns.items()}
        for listed in self.listed or []:
            for (key, _label), cell in zip(self._columns(), self._cells(listed), strict=True):
                if cell.cell_length > widths[key]:
                    self._show()
                    return
                if not self.table.get_cell(listed.run.id, key).is_same(cell):
                    self.table.update_cell(listed.run.id, key, cell)

    def _columns(self) -> list[tuple[str, str]]:
        return [
            ("id", _("Run")),
            ("state", _("State")),
            ("step", _("Step")),
            ("started", _("Began")),
            ("name", _("Name")),
        ]

    def _cells(self, listed: Listed) -> list[Content]:
        status = listed.status
        state = f"{state_sign(status.state)} {state_words(status.state)}"
        total = "?" if status.total is None else count(status.total)
        began = "-" if status.started is None else clock_time(status.started, self.clock())
        return [
            Content(listed.run.id),
            Content.styled(state, TONES.get(status.state, "")),
            Content(f"{count(status.step)}/{total}"),
            Content(began),
            Content(visible(status.name).replace("\n", " ")),
        ]

    def _nothing(self) -> str:
        if self.problem:
            return self.problem
        return _("Looking for runs …") if self.listed is None else _("There are no runs yet. `finetty demo` makes one.")

    def _chosen(self) -> str | None:
        table = self.table
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return None
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    @on(DataTable.RowSelected)
    def _selected(self) -> None:
        self.action_attach()

    def action_attach(self) -> None:
        chosen = next((one.run for one in self.listed or [] if one.run.id == self._chosen()), None)
        if chosen is not None:
            screen = DashboardScreen(chosen, owner=False, clock=self.clock)
            self.app.push_screen(screen, partial(self._after, screen))

    async def _after(self, dashboard: DashboardScreen, outcome: Outcome | None) -> None:
        """The wizard, where the answers of the run that was looked at are wanted."""
        from finetty.tui.app import FinettyApp

        if outcome != "edit" or not isinstance(self.app, FinettyApp):
            return
        try:
            await self.app.open_wizard(dashboard.run.recipe(), fault=dashboard.fault)
        except Refusal as refusal:
            self.notify(translate(refusal.said), severity="error", markup=False)

    def action_refresh(self) -> None:
        self._look()

    def action_close(self) -> None:
        self.dismiss(None)


def _status(run: Run) -> Status | None:
    try:
        return run.status()
    except Refusal:
        return None
