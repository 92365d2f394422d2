"""The dashboard: what a run is doing, read from its directory, and the keys that steer it.

    outcome = DashboardApp(run, owner=True).run()

`owner` is True in the process that trains and False where a dashboard was attached to a run of another process. The
outcome is one of

- "detach": the person leaves the screen and the run goes on (also where a run that they do not own is left);
- "edit": the run is over and its answers are wanted in the wizard; `fault` names the option at fault, if one is.
- "ended": the run is over (finished, failed, stopped or crashed: `run.status()` says which) and the person has left.
- None: the screen was closed from outside (`app.exit()` on a lost terminal): treat it as "detach".

Stopping is a command in the run directory like any other, so "stop and save" from here keeps the screen until the run
has saved and ended, and then comes back as "ended".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Literal

from textual import on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import get_current_worker

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run, send_command, withdraw
from finetty.tui import language
from finetty.tui.actions import actions, bindings, key_name
from finetty.tui.language import _, translate
from finetty.tui.processes import back_to_wizard
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.screens.choose import Choice, Choose
from finetty.tui.screens.dashboard_words import command_words, done_words, panel_help, panel_name, waiting_words
from finetty.tui.screens.dialogs import Help, Question
from finetty.tui.styles.themes import THEMES, suitable_theme
from finetty.tui.text import visible
from finetty.tui.watch import View, Watch
from finetty.tui.widgets.alerts import AlertsPanel
from finetty.tui.widgets.chart import Chart
from finetty.tui.widgets.console import ConsolePanel
from finetty.tui.widgets.figures import FiguresBox, Quiet, ascii_only, progress_line, state_line
from finetty.tui.widgets.gpus import GpusPanel
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.outcome import OutcomeBox
from finetty.tui.widgets.plot import Line
from finetty.tui.widgets.samples import SamplesPanel

STYLES = Path(__file__).parent.parent / "styles"
Outcome = Literal["detach", "ended", "edit"]

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_CHARTS = (2.0, 5.0)
"""While the curves are young, and once a step changes them little."""
YOUNG_STEPS = 100
SECONDS_FOR_AN_ANSWER = 30.0
SECONDS_SAID = 10.0
"""How long the answer to a command stays in sight."""

PANELS = ("chart", "samples", "alerts", "gpus", "console")
BELOW = PANELS[1:]
"""The panels of which one is seen at a time, unless the screen has room for all."""
SMALL_CHARTS = ("learning-rate", "grad-norm", "speed")


class Polled(Message):
    """The run as it was a moment ago. A newer one replaces one that nobody has looked at yet."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Polled)


class ConsoleGrew(Message):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines


class RunGone(Message):
    """The run's folder cannot be read at the moment: it was removed, or its disk went away."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class DashboardScreen(TranslatedScreen[Outcome]):
    """A run, live or past. Everything shown comes from its folder; every key is a command left in it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dashboard")
    CSS_PATH = STYLES / "dashboard.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (160, "-huge")]  # noqa: RUF012 - typed by Screen
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]  # noqa: RUF012

    def __init__(self, run: Run, *, owner: bool, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.run, self.owner, self.clock = run, owner, clock
        self.view: View | None = None
        self.panel = "samples"
        """Which of the panels below is in sight where there is room for one."""
        self.active = "chart"
        """Which panel the keys go to."""
        self.filled = False
        self.sent: tuple[str, str, float] | None = None
        """Id, name and time of the command that waits for its answer."""
        self.said: tuple[str, float] | None = None
        self.console_lines: list[str] = []
        self.whole = True
        """False while a change of language takes the widgets away and brings new ones."""
        self.titles: dict[str, str] = {}
        self._charted = 0.0
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
        for chart in self.query(Chart):
            chart.ascii_only = ascii_only()
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
        for chart in self.query(Chart):
            chart.ascii_only = ascii_only()
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
        """Look at the run until the screen closes: all the time while its history is read, then once a second."""
        worker = get_current_worker()
        watch = Watch(self.run, clock=self.clock)
        while not worker.is_cancelled and not self._left.is_set():
            try:
                view = watch.poll()
            except Refusal as refusal:
                self.post_message(RunGone(translate(refusal.said)))
                self._left.wait(SECONDS_BETWEEN_LOOKS)
                continue
            self.post_message(Polled(view))
            if lines := watch.new_lines():
                self.post_message(ConsoleGrew(lines))
            self._left.wait(0.02 if view.unread else SECONDS_BETWEEN_LOOKS)

    @on(Polled)
    async def _show(self, message: Polled) -> None:
        before, self.view = self.view, message.view
        view = self.view
        self._hear(view)
        if not self.whole:
            return
        self._show_top(view)
        self.query_one(FiguresBox).show_view(view)
        self.query_one(OutcomeBox).show_view(view)
        self.query_one(AlertsPanel).show(view.alerts, view.now)
        self.query_one(GpusPanel).show(view.gpus, view.now, over=view.over)
        self.set_class(bool(view.gpus), "-gpus")
        await self.query_one(SamplesPanel).show(view.samples)
        self._show_tabs()
        self._show_charts(view, before)
        if before is None or before.state != view.state:
            self.set_class(view.over, "-over")
            self.refresh_bindings()

    @on(ConsoleGrew)
    def _show_console(self, message: ConsoleGrew) -> None:
        self.console_lines = [*self.console_lines, *message.lines][-5000:]
        if self.whole:
            self.query_one(ConsolePanel).add(message.lines)

    @on(RunGone)
    def _show_gone(self, message: RunGone) -> None:
        if self.whole:
            self.query_one("#state", Quiet).show(Content.styled(visible(message.reason), "bold $text-error"))

    def _show_top(self, view: View) -> None:
        said = self.said[0] if self.said and view.now < self.said[1] else ""
        width = self.size.width - 2
        self.query_one("#state", Quiet).show(state_line(view, width, said))
        self.query_one("#progress", Quiet).show(progress_line(view, width))

    def _show_charts(self, view: View, before: View | None) -> None:
        """Draw the curves: at once where they are others, else every few seconds."""
        chart = self.query_one("#chart", Chart)
        same = before is not None and before.curves is view.curves and bool(chart.lines)
        waiting = view.curves.loss.span() is None and view.curves.held_out.span() is None
        seconds = SECONDS_BETWEEN_CHARTS[view.step > YOUNG_STEPS and not view.over]
        if same and not waiting and view.now - self._charted < seconds:
            return
        chart.empty = waiting_words(view) if waiting else ""
        self._charted = 0.0 if waiting else view.now
        curves = view.curves
        chart.show(
            (
                Line(curves.loss, _("each step"), "raw"),
                Line(curves.smoothed, _("smoothed"), "smoothed"),
                Line(curves.held_out, _("held-out"), "points"),
            )
        )
        names = (_("learning rate"), _("gradient norm"), _("tokens/s"))
        for id_, name, curve in zip(
            SMALL_CHARTS, names, (curves.learning_rate, curves.grad_norm, curves.speed), strict=True
        ):
            self.query_one(f"#{id_}", Chart).show((Line(curve, name, "smoothed"),))

    def _show_tabs(self) -> None:
        """Name the panels: in a line of tabs, and each in its own title where all are in sight."""
        alerts = self.view.alerts if self.view else ()
        worst = "error" if any(alert.level == "error" for alert in alerts) else "warning"
        parts: list[Content] = []
        for panel in self._panels(BELOW):
            count = f" ({len(alerts)})" if panel == "alerts" and alerts else ""
            mark = ("> " if ascii_only() else "▸ ") if panel == self.panel else "  "
            tone = "bold $text-accent" if panel == self.panel else "$foreground-muted"
            parts.append(Content.assemble((mark + panel_name(panel), tone), (count, f"bold $text-{worst}")))
            self._entitle(self.query_one(f"#{panel}"), panel_name(panel) + count)
        line = Content("   ").join(parts)
        hint = Content.styled(self._panel_keys(), "$foreground-muted")
        room = self.size.width - 2 - line.cell_length - hint.cell_length
        self.query_one("#tabs", Quiet).show(Content.assemble(line, " " * room, hint) if room > 2 else line)

    def _entitle(self, panel: Widget, title: str) -> None:
        """Give a panel its title; giving it the one that it has would repaint all of it."""
        if self.titles.get(panel.id or "") != title:
            self.titles[panel.id or ""] = title
            panel.border_title = Content(title)

    def _panel_keys(self) -> str:
        """The keys of panels, which stand with the panels and not below."""
        wanted = ("next_panel", "search" if self.active == "console" else "log_scale", "fill")
        named = {action.name: action for action in actions("dashboard")}
        return "  ".join(f"{key_name(named[name].key)} {_(named[name].label)}" for name in wanted)

    def _hear(self, view: View) -> None:
        """See whether the command that was sent is answered, or has waited in vain."""
        if self.sent is None:
            return
        command_id, name, since = self.sent
        answer = next((answer for answer in view.answers if answer.id == command_id), None)
        if answer is not None:
            self.sent = None
            self._say(done_words(name) if answer.result == "done" else visible(answer.reason))
        elif view.over:
            self.sent = None
        elif view.now - since > SECONDS_FOR_AN_ANSWER:
            self.sent = None
            withdraw(self.run, command_id)
            self._say(_("No answer to: {command}").format(command=command_words(name)))

    def _say(self, text: str) -> None:
        self.said = (text, self.clock() + SECONDS_SAID)
        if self.view and self.whole:
            self._show_top(self.view)

    def _send(self, name: str) -> None:
        try:
            command_id = send_command(self.run, name)
        except Refusal as refusal:
            self._say(translate(refusal.said))
            return
        self.sent = (command_id, name, self.clock())
        self._say(_("Asked: {command}").format(command=command_words(name)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of a run that is over do nothing and are not shown; leaving is then what Enter does."""
        over = self.view is not None and self.view.over
        if action in ("pause", "checkpoint", "stop", "discard", "detach"):
            return not over
        if action == "edit":
            return over
        if action in ("done", "leave_run"):
            return over == (action == "done")
        if action == "search":
            return self.active == "console"
        return True

    def action_pause(self) -> None:
        self._send("resume" if self.view and self.view.state == "paused" else "pause")

    def action_checkpoint(self) -> None:
        self._send("checkpoint")

    def action_stop(self) -> None:
        question = Question(
            _("Stop the run?"), _("It ends after this step and keeps what it has learned so far."), _("Stop and save")
        )
        self.app.push_screen(question, lambda yes: self._send("stop-and-save") if yes else None)

    def action_discard(self) -> None:
        question = Question(
            _("Stop the run and save nothing?"),
            _("What it has learned since its last checkpoint is lost."),
            _("Stop, save nothing"),
        )
        self.app.push_screen(question, lambda yes: self._send("stop") if yes else None)

    def action_detach(self) -> None:
        self.dismiss("detach")

    def action_done(self) -> None:
        self.dismiss("ended")

    @property
    def fault(self) -> str | None:
        """The recipe's option that the run failed by, where one is to blame."""
        return self.view.figures.fault if self.view else None

    def action_edit(self) -> None:
        self.dismiss("edit")

    def action_leave_run(self) -> None:
        """Ask what becomes of the run; there is nothing to ask once it is over."""
        if self.view is not None and self.view.over:
            self.action_done()
        else:
            self.app.push_screen(self._leaving(), self._leave)

    def _leaving(self) -> Choose:
        leave = Choice("detach", "d", _("Detach"), _("leave the screen; the run goes on"))
        stop = Choice("stop", "s", _("Stop and save"), _("end the run, keep what was learned"))
        stay = Choice("stay", "g", _("Go on"), _("stay here"))
        about = _("It can be opened again with: {command}").format(command=f"finetty attach {self.run.id}")
        return Choose(_("What becomes of the run?"), about, (leave, stop, stay))

    def _leave(self, choice: str | None) -> None:
        if choice == "detach":
            self.dismiss("detach")
        elif choice == "stop":
            self._send("stop-and-save")

    def action_console(self) -> None:
        self._go_to("chart" if self.active == "console" else "console")

    def action_search(self) -> None:
        self.query_one(ConsolePanel).open_search()

    def action_next_panel(self) -> None:
        self._step_panel(1)

    def action_previous_panel(self) -> None:
        self._step_panel(-1)

    def action_fill(self) -> None:
        self.filled = not self.filled
        self._arrange()

    def action_log_scale(self) -> None:
        chart = self.query_one("#chart", Chart)
        chart.log_scale = not chart.log_scale

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
        self.panel = panel if panel in BELOW else self.panel
        self._arrange()
        self.refresh_bindings()

    def _arrange(self) -> None:
        """Say by classes which panel is in sight and which one fills the screen."""
        if not self.whole:
            return
        for panel in BELOW:
            self.query_one(f"#{panel}").set_class(panel == self.panel, "-current")
        self.set_class(self.filled and self.active == "chart", "-fill-chart")
        self.set_class(self.filled and self.active != "chart", "-fill-panels")
        self._show_tabs()


class DashboardApp(App[Outcome]):
    """The dashboard as an app of its own. What it returns is described above."""

    TITLE = "finetty"
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere")
    CSS_PATH = STYLES / "app.tcss"

    def __init__(
        self,
        run: Run,
        *,
        owner: bool,
        clock: Callable[[], float] = time.time,
        driver_class: type[Driver] | None = None,
    ) -> None:
        """`clock` is the wall clock in Unix seconds, for tests to hold still."""
        super().__init__(driver_class=driver_class)
        self.animation_level = "none"
        self.watched, self.owner, self.clock = run, owner, clock
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = suitable_theme(os.environ)
        self.fault: str | None = None
        """The option that the run failed by, once its answers are wanted."""

    def on_mount(self) -> None:
        screen = DashboardScreen(self.watched, owner=self.owner, clock=self.clock)
        self.push_screen(screen, lambda outcome: self._leave(screen, outcome))

    def _leave(self, screen: DashboardScreen, outcome: Outcome | None) -> None:
        self.fault = screen.fault
        if outcome == "edit" and not self.owner:
            # The process that trains has more to end than its screen, and asks by itself.
            back_to_wizard(self.watched, self.fault)
        self.exit(outcome)

    async def action_language(self) -> None:
        """The same, in the next language."""
        language.set_language(language.other_language())
        for screen in self.screen_stack:
            if isinstance(screen, DashboardScreen):
                await screen.relabel()

    def action_help(self) -> None:
        if isinstance(self.screen, DashboardScreen):
            below: Screen[Any] = self.screen
            self.push_screen(Help(below, self.screen.help_on_focus()))

    def action_leave(self) -> None:
        """Ctrl+C asks; on the question itself it is a no."""
        if isinstance(self.screen, DashboardScreen):
            self.screen.action_leave_run()

    async def action_quit(self) -> None:
        self.action_leave()

    def action_help_quit(self) -> None:
        self.action_leave()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette: what the dashboard can do now, and the themes."""
        for action in actions("dashboard", "everywhere"):
            target = next((one for one in (screen, self) if hasattr(one, f"action_{action.name}")), None)
            possible = target is not None and target.check_action(action.name, ())
            if possible and action.name != "command_palette":
                yield SystemCommand(_(action.label), _(action.help), getattr(target, f"action_{action.name}"))
        yield SystemCommand(_("Theme"), _("Change the colours of the screen."), self.action_change_theme)
