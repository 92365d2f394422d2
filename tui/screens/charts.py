"""The dashboard's charts: which curves stand in which, and how often they are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from textual.screen import Screen

from finetty.tui.language import _
from finetty.tui.screens.dashboard_words import waiting_words
from finetty.tui.story import Curves
from finetty.tui.text import visible
from finetty.tui.watch import View
from finetty.tui.widgets.chart import Chart
from finetty.tui.widgets.curve import Curve, Strength
from finetty.tui.widgets.plot import LETTERS, Line

SECONDS_BETWEEN_CHARTS = (2.0, 5.0)
"""While the curves are young, and once a step changes them little."""
YOUNG_STEPS = 100
SMALL_CHARTS = ("learning-rate", "grad-norm", "speed")
SMOOTHINGS: tuple[Strength | None, ...] = ("usual", "strong", None, "light")
"""What the key for smoothing goes through; None shows only each step."""


class Charts:
    """Draws the curves of a run and of those beside it: others at once, longer ones after seconds."""

    def __init__(self) -> None:
        self.smoothing: Strength | None = "usual"
        self._drawn: tuple[Curves, ...] = ()
        self._when = 0.0

    def smooth_otherwise(self) -> None:
        self.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)]
        self.forget()

    def forget(self) -> None:
        """Draw again at the next look, however new the drawing is."""
        self._drawn = ()

    def show(self, screen: Screen[Any], view: View, others: Sequence[View]) -> None:
        """Draw on the run's screen, if it is time."""
        waits = view.curves.loss.span() is None and view.curves.held_out.span() is None
        seconds = SECONDS_BETWEEN_CHARTS[view.step > YOUNG_STEPS and not view.over]
        curves = (view.curves, *(other.curves for other in others))
        # The wall clock may be set back by an hour: charts drawn in the future are as old as any.
        if curves == self._drawn and not waits and 0 <= view.now - self._when < seconds:
            return
        self._drawn, self._when = curves, view.now
        chart = screen.query_one("#chart", Chart)
        chart.empty = waiting_words(view) if waits else ""
        chart.show([*self._own(view.curves)[:1], *self._others(view, others), *self._own(view.curves)[1:]])
        small = (view.curves.learning_rate, view.curves.grad_norm, view.curves.speed)
        names = (_("learning rate"), _("gradient norm"), _("tokens/s"))
        for name, label, curve in zip(SMALL_CHARTS, names, small, strict=True):
            line = Line(curve, label, "smoothed", rulers=view.curves.rulers)
            screen.query_one(f"#{name}", Chart).show((line,))

    def _own(self, curves: Curves) -> list[Line]:
        """From the one below to the one on top."""
        lines = [Line(curves.loss, _("each step"), "raw", rulers=curves.rulers)]
        if self.smoothing is not None:
            lines.append(Line(curves.means[self.smoothing], self._name(), "smoothed", rulers=curves.rulers))
        return [*lines, Line(curves.held_out, _("held-out"), "points", scattered=True, rulers=curves.rulers)]

    def _name(self) -> str:
        return {"strong": _("smoothed much"), "light": _("smoothed little")}.get(self.smoothing or "", _("smoothed"))

    def _others(self, view: View, others: Sequence[View]) -> list[Line]:
        lines = []
        for letter, other, name in zip(LETTERS, others, names_of(others, view), strict=False):
            lines.append(Line(self._mean(other.curves), name, letter, rulers=other.curves.rulers))
            held_out = other.curves.held_out
            lines.append(Line(held_out, name, letter, scattered=True, rulers=other.curves.rulers))
        return lines

    def _mean(self, curves: Curves) -> Curve:
        return curves.loss if self.smoothing is None else curves.means[self.smoothing]


def names_of(others: Sequence[View], beside: View) -> list[str]:
    """What the other runs are called: by their names, and by their ids where two have one name."""
    names = Counter(view.status.name for view in (beside, *others))
    called = (view.status.name if view.status.name and names[view.status.name] == 1 else view.run_id for view in others)
    return [visible(name).replace("\n", " ") for name in called]
