"""The top line: the steps, which one is open, and which have something to mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget


@dataclass(frozen=True)
class StepState:
    """A step's title, already translated, and whether it is answered (`done`) or has an error (`fault`)."""

    title: str
    done: bool
    fault: bool

    @property
    def sign(self) -> str:
        return "✗" if self.fault else "✓" if self.done else "·"


class Stepper(Widget):
    """All steps in one line; where they do not fit, the open one in full and the others as their signs."""

    DEFAULT_CSS = """
    Stepper { dock: top; height: 1; background: $panel; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="stepper")
        self.steps: Sequence[StepState] = ()
        self.current = 0

    def show(self, steps: Sequence[StepState], current: int) -> None:
        if (steps, current) != (self.steps, self.current):
            self.steps, self.current = steps, current
            self.refresh()

    def render(self) -> Content:
        whole = self._line(short=False)
        return whole if whole.cell_length <= self.size.width else self._line(short=True)

    def _line(self, *, short: bool) -> Content:
        parts = [self._part(index, step, short=short) for index, step in enumerate(self.steps)]
        return Content("  ").join(parts)

    def _part(self, index: int, step: StepState, *, short: bool) -> Content:
        if index == self.current:
            return Content.styled(f"▸{index + 1} {step.title}", "bold $accent")
        style = "$text-error" if step.fault else "$text-success" if step.done else "$muted"
        return Content.styled(step.sign if short else f"{step.sign} {step.title}", style)
