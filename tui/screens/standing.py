"""Where a person stands among the steps of the wizard, and what that makes of the answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from finetty.backend.messages import Finding
from finetty.tui.language import _
from finetty.tui.screens.model_step import ModelStep
from finetty.tui.screens.review import ReviewStep
from finetty.tui.screens.sources import DataStep
from finetty.tui.screens.state import State, step_of
from finetty.tui.screens.steps import AccelerationStep, MethodStep, Step
from finetty.tui.screens.template_step import TemplateStep
from finetty.tui.widgets.stepper import StepState

STEP_CLASSES: dict[str, type[Step]] = {
    one.step: one for one in (ModelStep, DataStep, MethodStep, TemplateStep, AccelerationStep, ReviewStep)
}
ORDER = list(STEP_CLASSES)
ASKS_FOR = {"model": "model.path", "data": "dataset.train"}
"""The one option of a step that has no default: the step says itself what is wrong with it, and is not left so."""


@dataclass
class Standing:
    """The step that is open, and those that were."""

    state: State
    at: str
    seen: set[str] = field(default_factory=set)

    def open(self, step: str) -> None:
        self.at = step
        self.seen.add(step)

    @property
    def place(self) -> int:
        return ORDER.index(self.at)

    @property
    def held(self) -> Finding | None:
        """What must be mended before the step can be left."""
        asked = ASKS_FOR.get(self.at)
        return next((found for found in self.state.errors if asked and found.option == asked), None)

    @property
    def lacks_answer(self) -> bool:
        """Whether what the step asks for is not answered yet."""
        return ASKS_FOR.get(self.at) in self._unanswered

    @property
    def findings_beside(self) -> list[Finding]:
        """What the panel says: not what the step says itself, nor that an answer is missing before it was asked for."""
        if self.at == "review":
            return []
        said_by_step = ASKS_FOR.get(self.at)
        return [found for found in self.state.findings if found.option != said_by_step and not self._too_early(found)]

    @property
    def states(self) -> list[StepState]:
        """What the line at the top says of each step."""
        faulty = {step_of(found.option) for found in self.state.errors if not self._too_early(found)}
        known = {
            "model": self.state.known.model.facts is not None,
            "data": self.state.known.data.facts is not None,
            "review": False,
        }
        return [
            StepState(_(one.titled), known.get(name, name in self.seen and name != self.at), name in faulty)
            for name, one in STEP_CLASSES.items()
        ]

    def _too_early(self, found: Finding) -> bool:
        return found.option in self._unanswered and step_of(found.option) not in self.seen - {self.at}

    @property
    def _unanswered(self) -> set[str]:
        recipe = self.state.draft.recipe
        answers = {"model.path": recipe.model.path, "dataset.train": recipe.dataset.train}
        return {option for option, answer in answers.items() if not answer}
