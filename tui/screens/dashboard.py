"""The dashboard: what a run is doing, read from its directory, and the keys that steer it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from finetty.backend.runs import Run
from finetty.tui.actions import actions, bindings, key_name
from finetty.tui.language import _
from finetty.tui.screens.charts import SMALL_CHARTS, Charts
from finetty.tui.screens.compare import Compare
from finetty.tui.screens.dashboard_words import panel_help, panel_name
from finetty.tui.screens.following import ConsoleGrew, Polled, RunGone, calls, follow
from finetty.tui.screens.steering import SECONDS_SAID, SteeringScreen
from finetty.tui.styles import STYLES
from finetty.tui.text import visible
from finetty.tui.watch import View
from finetty.tui.widgets.alerts import AlertsPanel
from finetty.tui.widgets.chart import Chart, Look
from finetty.tui.widgets.console import KEPT_LINES, ConsolePanel
from finetty.tui.widgets.figures import FiguresBox, Quiet, ascii_only, progress_line, state_line
from finetty.tui.widgets.gpus import GpusPanel
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.outcome import OutcomeBox
from finetty.tui.widgets.samples import SamplesPanel

PANELS = ("chart", "samples", "alerts", "gpus", "console")
BELOW = PANELS[1:]
"""The panels of which one is seen at a time, unless the screen has room for all."""

SECONDS_TO_FOLLOW = 0.15
"""After the last key, before the other charts show what the one with the focus shows."""


class DashboardScreen(SteeringScreen):
    """A run, live or past. Everything shown comes from its folder; every key is a command left in it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dashboard")
    CSS_PATH = STYLES / "dashboard.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (160, "-huge")]  # noqa: RUF012 - typed by Screen
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]  # noqa: RUF012

    def __init__(self, run: Run, *, clock: Callable[[], float] = time.time, beside: Sequence[Run] = ()) -> None:
        """With runs `beside` it, the chart in which all of them are drawn fills the screen."""
        super().__init__(run, clock=clock)
        self.beside = tuple(beside)
        self.others: tuple[View, ...] = ()
        """Those runs as they were a moment ago."""
        self.panel = "samples"
        """Which of the panels below is in sight where there is room for one."""
        self.active = "chart"
        """Which panel the keys go to."""
        self.filled = bool(beside)
        self.folded = False
        """Whether the panels below are out of sight, and the chart has their room."""
        self.console_lines: list[str] = []
        self.whole = True
        """False while a change of language takes the widgets away and brings new ones."""
        self.titles: dict[str, str] = {}
        self.charts, self.look = Charts(), Look()
        self._following: Timer | None = None
        self._left = Event()

    def compose(self) -> ComposeResult:
        yield Quiet("state")
        yield Quiet("progress")
        yield OutcomeBox("outcome")
        with Horizontal(id="middle"):
            yield Chart("chart", empty=_("The loss curve begins with the first step."))
            yield FiguresBox("figures")
        with Horizontal(id="small-charts"):
            for name in SMALL_CHARTS:
                yield Chart(name)
        yield Quiet("tabs")
        with Container(id="panels"):
            yield SamplesPanel()
            yield AlertsPanel()
            yield GpusPanel()
            yield ConsolePanel()
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#outcome").display = False
        self._arrange()
        self.query_one("#chart").focus()
        self.follow()

    def on_unmount(self) -> None:
        self._left.set()

    async def relabel(self) -> None:
        self.whole = False
        await super().relabel()

    async def redrawn(self) -> None:
        """After a change of language: the widgets are new, what they show is not."""
        self.whole = True
        self.titles.clear()
        self.charts.forget()
        for chart in self.query(Chart):
            chart.look = replace(self.look, log=self.look.log and chart.id == "chart")
        self.query_one(ConsolePanel).add(self.console_lines)
        self._arrange()
        if self.view:
            await self._show(Polled(self.view))

    def on_resize(self) -> None:
        """What is laid out by its width is laid out again."""
        self.call_after_refresh(self._show_again)

    def _show_again(self) -> None:
        if self.view and self.whole:
            self._show_top(self.view)
            self.query_one(FiguresBox).show_view(self.view)

    @work(thread=True, exclusive=True, group="follow")
    def follow(self) -> None:
        follow(self.run, self.clock, self, self._left, lambda: self.beside)

    @on(Polled)
    async def _show(self, message: Polled) -> None:
        before, self.view, self.others = self.view, message.view, message.others
        view = self.view
        self.hear(view)
        self.ask(view)
        if before is not None and calls(before, view):
            self.app.bell()
        if not self.whole:
            return
        self._show_top(view)
        self.query_one(FiguresBox).show_view(view)
        self.query_one(OutcomeBox).show_view(view)
        self.query_one(AlertsPanel).show(view.alerts, view.now)
        self.query_one(GpusPanel).show(view.gpus, view.now, over=view.over)
        self.set_class(bool(view.gpus), "-gpus")
        self.set_class(view.price is not None, "-priced")
        await self.query_one(SamplesPanel).show(view.samples)
        self._show_tabs()
        self.charts.show(self, view, self.others)
        if before is None or (before.state, before.question) != (view.state, view.question):
            self.set_class(view.over, "-over")
            self.refresh_bindings()

    @on(ConsoleGrew)
    def _show_console(self, message: ConsoleGrew) -> None:
        self.console_lines = [*self.console_lines, *message.lines][-KEPT_LINES:]
        if self.whole:
            self.query_one(ConsolePanel).add(message.lines)

    @on(RunGone)
    def _show_gone(self, message: RunGone) -> None:
        if self.whole:
            self.query_one("#state", Quiet).show(Content.styled(visible(message.reason), "bold $text-error"))

    def _show_top(self, view: View) -> None:
        said = self.said[0] if self.said and 0 < self.said[1] - view.now <= SECONDS_SAID else ""
        width = self.size.width - 2
        self.query_one("#state", Quiet).show(state_line(view, width, said))
        self.query_one("#progress", Quiet).show(progress_line(view, width))

    def show_said(self) -> None:
        if self.view and self.whole:
            self._show_top(self.view)

    @on(Chart.Looked)
    def _look_alike(self, message: Chart.Looked) -> None:
        """All charts show the same part of the run, the others once no more key comes."""
        if message.chart.id == "chart":
            self.look = message.look
        if self._following is not None:
            self._following.stop()
        self._following = self.set_timer(SECONDS_TO_FOLLOW, lambda: self._follow_look(message.chart))

    def _follow_look(self, leader: Chart) -> None:
        with self.prevent(Chart.Looked):
            for chart in self.query(Chart):
                if chart is not leader:
                    chart.look = replace(leader.look, log=chart.look.log)

    def _show_tabs(self) -> None:
        """Name the panels: in a line of tabs, and each in its own title where all are in sight."""
        alerts = self.view.alerts if self.view else ()
        worst = "error" if any(alert.level == "error" for alert in alerts) else "warning"
        parts: list[Content] = []
        for panel in self._panels(BELOW):
            count = f" ({len(alerts)})" if panel == "alerts" and alerts else ""
            seen = panel == self.panel and not self.folded
            mark = ("> " if ascii_only() else "▸ ") if seen else "  "
            tone = "bold $text-accent" if seen else "$foreground-muted"
            parts.append(Content.assemble((mark + panel_name(panel), tone), (count, f"bold $text-{worst}")))
            active = (mark, "bold $text-accent") if panel == self.active else ("", "")
            self._entitle(self.query_one(f"#{panel}"), active[0] + panel_name(panel) + count, active[1])
        line = Content("   ").join(parts)
        hint = Content.styled(self._panel_keys(), "$foreground-muted")
        room = self.size.width - 2 - line.cell_length - hint.cell_length
        self.query_one("#tabs", Quiet).show(Content.assemble(line, " " * room, hint) if room > 2 else line)

    def _entitle(self, panel: Widget, title: str, tone: str) -> None:
        """Give a panel its title; giving it the one that it has would repaint all of it."""
        if self.titles.get(panel.id or "") != title:
            self.titles[panel.id or ""] = title
            panel.border_title = Content.styled(title, tone)

    def _panel_keys(self) -> str:
        """The keys of panels, which stand with the panels and not below."""
        own = {"console": ("search",), "chart": ("zoom_in",)}.get(self.active, ())
        wanted = ("next_panel", *own, "fold" if self.folded else "fill")
        named = {action.name: action for action in actions("dashboard", "chart")}
        return "  ".join(f"{key_name(named[name].key)} {_(named[name].label)}" for name in wanted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "search":
            return self.active == "console"
        if action in ("next_match", "previous_match"):
            return self.active == "console" and self.whole and bool(self.query_one(ConsolePanel).found)
        return super().check_action(action, parameters)

    def action_console(self) -> None:
        self._go_to("chart" if self.active == "console" else "console")

    def action_search(self) -> None:
        self.query_one(ConsolePanel).open_search()

    def action_next_match(self) -> None:
        self.query_one(ConsolePanel).step(1)

    def action_previous_match(self) -> None:
        self.query_one(ConsolePanel).step(-1)

    def action_next_panel(self) -> None:
        self._step_panel(1)

    def action_previous_panel(self) -> None:
        self._step_panel(-1)

    def action_fill(self) -> None:
        self.filled = not self.filled
        self._arrange()

    def action_fold(self) -> None:
        self.folded = not self.folded
        if self.folded:
            self.filled = False
            self._go_to("chart")
        self._arrange()

    def action_smoothing(self) -> None:
        self.charts.smooth_otherwise()
        self.draw()

    def action_compare(self) -> None:
        self.app.push_screen(Compare(self.run, self.beside), self._compare)

    def _compare(self, chosen: tuple[Run, ...] | None) -> None:
        self.beside = self.beside if chosen is None else chosen

    def fill(self) -> None:
        if self.view:
            self.charts.show(self, self.view, self.others)

    def key_escape(self) -> None:
        """One layer back: out of the search, then out of a panel that fills the screen."""
        console = self.query_one(ConsolePanel)
        if console.searching:
            console.close_search()
        elif self.filled:
            self.action_fill()

    def help_on_focus(self) -> tuple[str, list[Content]]:
        return panel_name(self.active), [Content(panel_help(self.active))]

    def on_descendant_focus(self) -> None:
        """The panel that has the focus, by key or by mouse, is the active one."""
        for widget in self.focused.ancestors_with_self if self.focused else ():
            if widget.id in PANELS and widget.id != self.active:
                self._activate(widget.id)

    def _step_panel(self, by: int) -> None:
        panels = self._panels(PANELS)
        self._go_to(panels[(panels.index(self.active) + by) % len(panels)])

    def _panels(self, panels: tuple[str, ...]) -> list[str]:
        """Those that have something to show: without a card there is none to watch."""
        return [panel for panel in panels if panel != "gpus" or (self.view and self.view.gpus)]

    def _go_to(self, panel: str) -> None:
        self._activate(panel)
        self.query_one("#log" if panel == "console" else f"#{panel}").focus()

    def _activate(self, panel: str) -> None:
        self.active = panel
        if panel in BELOW:
            self.panel, self.folded = panel, False
        self._arrange()
        self.refresh_bindings()

    def _arrange(self) -> None:
        """Which parts are in sight: all that the styles show, one panel alone, or the panels by name only.

        Said to each part by itself: for a class of the screen the styles of all parts would be worked out anew.
        """
        if not self.whole:
            return
        chart_alone, panels_alone = (self.filled and (self.active == "chart") is chart for chart in (True, False))
        gone = {
            "middle": panels_alone,
            "figures": chart_alone,
            "small-charts": self.filled,
            "tabs": chart_alone,
            "panels": chart_alone or self.folded,
        }
        for part, is_gone in gone.items():
            self.query_one(f"#{part}").styles.display = "none" if is_gone else None
        if self.folded:
            self.query_one("#tabs").styles.display = "block"
        panels = self.query_one("#panels")
        if panels.styles.inline.has_rule("height") != panels_alone:  # Textual lays out anew for the same height too
            panels.styles.height = "1fr" if panels_alone else None
        for panel in BELOW:
            alone = "none" if panels_alone else None
            self.query_one(f"#{panel}").styles.display = "block" if panel == self.panel else alone
        self._show_tabs()
