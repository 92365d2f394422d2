"""The runs of this machine, newest first: searched, kept in order, opened, compared, used again, talked to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Input, Static
from textual.worker import get_current_worker

from finetty.backend.messages import Refusal
from finetty.backend.runs import LIVE_STATES, Run
from finetty.backend.runs.labels import disk_use
from finetty.tui.actions import bindings
from finetty.tui.ending import failure_words
from finetty.tui.language import _, translate
from finetty.tui.listing import Listed, Listing, Sought, read_listing
from finetty.tui.screens.compare import MOST_BESIDE
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.run_keeping import RunKeeping
from finetty.tui.screens.steering import Outcome, can_talk
from finetty.tui.styles import STYLES
from finetty.tui.text import size
from finetty.tui.widgets.field import Line
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose
from finetty.tui.widgets.runs_table import RunsTable

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_BETWEEN_WEIGHINGS = 30.0


class Looked(Message):
    """The runs as they were a moment ago, or why they cannot be listed."""

    def __init__(self, listing: Listing) -> None:
        super().__init__()
        self.listing = listing

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Looked)


class Weighed(Message):
    """How many bytes a run takes on the disk."""

    def __init__(self, run_id: str, taken: int) -> None:
        super().__init__()
        self.run_id, self.taken = run_id, taken


class RunsList(RunKeeping):
    """The list looks again every other second and changes only what is different."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")
    CSS_PATH = STYLES / "dashboard.tcss"

    def __init__(self, root: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.root, self.clock = root, clock
        self.sought, self.searching = Sought(), False
        self.listing: Listing | None = None
        self.disk: dict[str, int] = {}
        self.marked: dict[str, Run] = {}
        """The runs that are to be compared, in the order in which they were marked."""

    def compose(self) -> ComposeResult:
        yield Prose("", id="runs-title")
        hint = _("Words of a run's id, name, state, tags, model or data.")
        line = Line(self.sought.words, hint=hint, id="runs-search")
        line.display = self.searching
        yield line
        yield RunsTable(id="runs-table")
        yield Static("", id="runs-none", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._show()
        self.table.focus()
        self.set_interval(SECONDS_BETWEEN_LOOKS, self.look)
        self.set_interval(SECONDS_BETWEEN_WEIGHINGS, lambda: self._weigh(self.listed))
        self.look()

    async def relabel(self) -> None:
        chosen = self.table.chosen()
        await super().relabel()
        self.table.highlight(chosen)

    async def redrawn(self) -> None:
        self._show()
        self.table.focus()

    @property
    def table(self) -> RunsTable:
        return self.query_one("#runs-table", RunsTable)

    @property
    def listed(self) -> Sequence[Listed]:
        return self.listing.runs if self.listing else ()

    def highlighted(self) -> Listed | None:
        if self.going:  # an action that the palette looked up before
            return None
        chosen = self.table.chosen()
        return next((one for one in self.listed if one.run.id == chosen), None)

    def look(self) -> None:
        self._look(self.sought)

    @work(thread=True, exclusive=True, group="look")
    def _look(self, sought: Sought) -> None:
        self.post_message(Looked(read_listing(self.root, sought)))

    @on(Looked)
    def _take(self, message: Looked) -> None:
        if message.listing.sought != self.sought:
            return
        before, self.listing = [one.run.id for one in self.listed], message.listing
        if not self._is_drawn():
            return
        if not before or before != [one.run.id for one in self.listed] or not self._renew(self.listed):
            self._show()
        self._say_title()
        if unknown := [one for one in self.listed if one.run.id not in self.disk]:
            self._weigh(unknown)

    @work(thread=True, exclusive=True, group="weigh")
    def _weigh(self, runs: Sequence[Listed]) -> None:
        worker = get_current_worker()
        for listed in runs:
            if worker.is_cancelled:
                return
            self.post_message(Weighed(listed.run.id, disk_use(listed.run)["all"]))

    @on(Weighed)
    def _take_weight(self, message: Weighed) -> None:
        self.disk[message.run_id] = message.taken
        if not self._is_drawn():
            return
        if not self._renew([one for one in self.listed if one.run.id == message.run_id]):
            self._show()
        self._say_title()

    def _is_drawn(self) -> bool:
        """Not while the screen is made again in another language; then it is drawn from what is kept."""
        return bool(self.query("#runs-table") and self.query("#runs-none"))

    def _renew(self, runs: Sequence[Listed]) -> bool:
        self._tell_table()
        return self.table.renew([one for one in runs if one.run.id in self.table.rows])

    def _tell_table(self) -> None:
        table = self.table
        table.marked, table.disk, table.now = self.marked or None, self.disk, self.clock()

    def _show(self) -> None:
        self._tell_table()
        self.table.show(self.listed)
        self.table.display = bool(self.listed)
        none = self.query_one("#runs-none", Static)
        none.display = not self.listed
        none.update(self._nothing())
        self._say_title()
        if self.focused is None:
            self.table.focus()

    def _say_title(self) -> None:
        parts = [_("Runs of this machine, the newest first")]
        if taken := sum(self.disk.get(one.run.id, 0) for one in self.listed):
            parts.append(_("{size} on the disk").format(size=size(taken)))
        if self.listing and self.listing.put_away:
            said = _("{count} put away, shown too") if self.sought.archived else _("{count} put away")
            parts.append(said.format(count=self.listing.put_away))
        self.query_one("#runs-title", Prose).say(Content.styled("  ".join(parts), "bold $text-accent"))

    def _nothing(self) -> str:
        if self.listing is None:
            return _("Looking for runs …")
        if self.listing.problem:
            return self.listing.problem
        if self.listing.put_away:
            return _("All of these runs are put away; v shows them.")
        return (
            _("No run has these words.") if self.sought.words else _("There are no runs yet. `finetty demo` makes one.")
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter in the search goes back to the list; only there it opens a run."""
        return action not in ("attach", "search") or not isinstance(self.focused, Input)

    def action_search(self) -> None:
        self.searching = True
        line = self.query_one("#runs-search", Line)
        line.display = True
        line.focus()

    @on(Input.Changed, "#runs-search")
    def _search(self, event: Input.Changed) -> None:
        self._seek(Sought(event.value, self.sought.archived))

    @on(Input.Submitted, "#runs-search")
    def _to_the_list(self) -> None:
        if self.sought.words.strip():
            self.table.focus()
        else:
            self._close_search()

    def _close_search(self) -> None:
        self.searching = False
        line = self.query_one("#runs-search", Line)
        line.value, line.display = "", False
        self.table.focus()
        self._seek(Sought("", self.sought.archived))

    def _seek(self, sought: Sought) -> None:
        if sought != self.sought:
            self.sought = sought
            self.look()

    def action_show_archived(self) -> None:
        self._seek(Sought(self.sought.words, not self.sought.archived))

    @on(DataTable.RowSelected)
    def _selected(self) -> None:
        self.action_attach()

    def action_attach(self) -> None:
        if chosen := self.highlighted():
            screen = DashboardScreen(chosen.run, clock=self.clock)
            self.app.push_screen(screen, partial(self._after, screen))

    async def _after(self, dashboard: DashboardScreen, outcome: Outcome | None) -> None:
        """The wizard, where the answers of the run that was looked at are wanted."""
        if outcome == "edit":
            await self._open_wizard(dashboard.run, dashboard.fault)

    async def _open_wizard(self, run: Run, fault: str | None = None) -> None:
        from finetty.tui.app import FinettyApp

        if not isinstance(self.app, FinettyApp):
            return
        try:
            await self.app.open_wizard(run.recipe(), fault=fault, why=failure_words(run.path))
        except Refusal as refusal:
            self.notify(translate(refusal.said), severity="error", markup=False)

    def action_mark_run(self) -> None:
        if chosen := self.highlighted():
            if self.marked.pop(chosen.run.id, None) is None:
                self.marked[chosen.run.id] = chosen.run
            self._show()
            self.table.action_cursor_down()

    def action_compare(self) -> None:
        """The marked runs in one chart; with one mark alone, that run and the highlighted one."""
        wanted = {run_id: run for run_id, run in self.marked.items() if run.path.is_dir()}
        if len(wanted) < 2 and (chosen := self.highlighted()):
            wanted[chosen.run.id] = chosen.run
        runs = list(wanted.values())
        if len(runs) < 2:
            self.notify(_("Mark two or more runs with Space first."), markup=False)
        elif len(runs) > MOST_BESIDE + 1:
            self.notify(_("At most {count} runs fit into one chart.").format(count=MOST_BESIDE + 1), markup=False)
        else:
            screen = DashboardScreen(runs[0], clock=self.clock, beside=runs[1:])
            self.app.push_screen(screen, partial(self._after, screen))

    async def action_again(self) -> None:
        if chosen := self.highlighted():
            await self._open_wizard(chosen.run)

    def action_talk(self) -> None:
        from finetty.tui.screens.chat import ChatScreen

        chosen = self.highlighted()
        if chosen is None:
            return
        if chosen.status.state in LIVE_STATES or not can_talk(chosen.run):
            self.notify(_("This run has nothing to talk to yet."), markup=False)
            return
        self.app.push_screen(ChatScreen(chosen.run))

    def action_refresh(self) -> None:
        self.look()
        self._weigh(self.listed)

    def action_close(self) -> None:
        """End the search first."""
        if self.searching:
            self._close_search()
        else:
            self.dismiss(None)
