"""What a step of the wizard draws from: the draft, what is known, and what plan() makes of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Finding, Message
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe, value_of, with_values
from finetty.tui.draft import Draft, written
from finetty.tui.reading import Known
from finetty.tui.wanted import Wanted

if TYPE_CHECKING:
    from finetty.tui.shelf import Shelf

SECTION_STEPS = {
    "model": "model",
    "dataset": "data",
    "method": "method",
    "precision": "method",
    "template": "template",
    "acceleration": "acceleration",
}
"""The step in which a section's options are answered; the others have their place in the settings."""


@dataclass
class State:
    """The wizard's whole state. Screens draw it and change it through the wizard alone."""

    draft: Draft
    known: Known = field(default_factory=Known)
    plan: Plan | None = None
    reading: bool = False
    """Whether a model or data is being read at this moment."""
    fetching: Message | None = None
    """How far the download of the model is, while there is one."""
    shelf: Shelf | None = None
    """The models that can be chosen, once they are known."""
    wanted: Wanted = field(default_factory=Wanted)
    """What the list of models is narrowed to."""

    def replan(self) -> None:
        """plan() again with the latest answers and facts; nothing before the machine is known."""
        self.plan = self.planned(self.draft.anchored)

    def planned(self, recipe: Recipe) -> Plan | None:
        from finetty.backend.planning import plan

        known = self.known
        if known.machine is None:
            return None
        return plan(recipe, known.model.facts, known.machine, known.data.facts)

    def with_option(self, option: str, value: Any) -> Plan | None:
        """What plan() would make of another value, for the cards."""
        return self.planned(with_values(self.draft.anchored, {option: value}))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is wrong: unfinished answers, what could not be read, what plan() found."""
        own = (*self.draft.faults.values(), *self.known.faults)
        places = {found.option for found in own}
        planned = self.plan.findings if self.plan else ()
        encoder = self.known.data.encoder
        told = encoder.findings if encoder is not None else ()
        rest = (found for found in (*planned, *told) if not (found.level == "error" and found.option in places))
        return tuple({(found.option, found.message.text): found for found in (*rest, *own)}.values())

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.level == "error")

    def findings_for(self, option: str) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.option == option)

    def resolved(self, option: str) -> str | None:
        """The value that plan() gave an option that was left to it; None where it decided nothing."""
        if self.plan is None or self.draft.value(option) not in ("auto", None):
            return None
        if self.plan.reason(option) is None:
            return None
        value = value_of(self.plan.recipe, option)
        return None if value == "auto" else written(value)

    @property
    def can_fetch(self) -> bool:
        """Whether the model is only not here yet."""
        from finetty.backend.models.folder import NOT_HERE

        fault = self.known.model.fault
        return fault is not None and fault.message.id == NOT_HERE.id

    @property
    def too_large(self) -> bool:
        """Whether the run does not fit into the free memory, or hardly."""
        return self.plan is not None and self.plan.memory.verdict in ("tight", "over")

    @property
    def answered(self) -> bool:
        """Whether model and data are known, so that everything else can be left to plan()."""
        return self.known.model.facts is not None and self.known.data.facts is not None


def step_of(option: str | None) -> str | None:
    return SECTION_STEPS.get((option or "").split(".")[0])
