"""finetty's process that trains, with a dashboard that repaints everything: at each key, and ten times a second.

    python -m tests.benchmarks.crude RUN_FOLDER

What a dashboard costs that takes no care of what has changed; for comparison alone.
"""

from __future__ import annotations

from textual import events

from finetty.tui import run
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.widgets.chart import Chart


class Crude(DashboardScreen):
    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(0.1, self.repaint)

    def on_key(self, _event: events.Key) -> None:
        self.repaint()

    def repaint(self) -> None:
        for chart in self.query(Chart):
            chart.notify_style_update()
        for widget in self.query("*"):
            widget.refresh()
        self.refresh(layout=True)


if __name__ == "__main__":
    from finetty.tui import dashboard_app

    dashboard_app.DashboardScreen = Crude  # type: ignore[misc]
    run.main()
