"""What a person should know of a run: its alerts, the newest first, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.content import Content

from finetty.tui.language import _, translate
from finetty.tui.story import Alert
from finetty.tui.text import count, visible
from finetty.tui.widgets.figures import Quiet, ascii_only, clock_time
from finetty.tui.widgets.panel import Panel

SIGNS = {"error": ("✗", "x"), "warning": ("!", "!"), "note": ("·", "-")}
TONES = {"error": "$text-error", "warning": "$text-warning", "note": "$foreground-muted"}


class AlertsPanel(Panel):
    def __init__(self) -> None:
        super().__init__("alerts")

    def compose(self) -> ComposeResult:
        yield Quiet("alert-lines")

    def show(self, alerts: Sequence[Alert], now: float) -> None:
        lines = [alert_line(alert, now) for alert in reversed(alerts)]
        nothing = Content.styled(_("No alerts."), "$foreground-muted")
        self.query_one("#alert-lines", Quiet).show(Content("\n").join(lines) if lines else nothing)


def alert_line(alert: Alert, now: float) -> Content:
    """`! 14:02 step 40 warning: what is the matter. What to do.`"""
    words = {"error": _("error"), "warning": _("warning"), "note": _("note")}.get(alert.level, visible(alert.level))
    sign = SIGNS.get(alert.level, ("!", "!"))[ascii_only()]
    tone = TONES.get(alert.level, "$text-warning")
    place = "" if alert.step is None else _("step {step}").format(step=count(alert.step)) + "  "
    return Content.assemble(
        (f"{sign} {words}", f"bold {tone}"),
        (f"  {clock_time(alert.time, now)}  {place}", "$foreground-muted"),
        visible(translate(alert.message)),
        (f" {visible(translate(alert.advice))}" if alert.advice else "", "$foreground-muted"),
    )
