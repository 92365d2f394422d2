"""What a step of the wizard draws from: the draft, what is known, and what plan() makes of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from finetty.backend.messages import Finding, Message
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe, value_of
from finetty.tui.draft import Draft, written
from finetty.tui.reading import Known
from finetty.tui.wanted import Wanted

if TYPE_CHECKING:
    from finetty.backend.dataset import Progress
    from finetty.backend.models.catalogue import Entry
    from finetty.backend.planning.compare import Setting
    from finetty.backend.planning.methods import Method
    from finetty.backend.planning.needs import Way
    from finetty.backend.planning.recommend import Recommendation
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
    progress: Progress | None = None
    """How far the whole file is read or measured, while it is."""
    fetching: Message | None = None
    """How far the download of the model is, while there is one."""
    shelf: Shelf | None = None
    """The models that can be chosen, once they are known."""
    wanted: Wanted = field(default_factory=Wanted)
    """What the list of models is narrowed to."""
    methods: Mapping[Method, Plan] | None = None
    """Each method's plan for the latest answers but one moment, once they are weighed."""
    largest: Mapping[Way, Entry] | None = None
    """The largest models that fit this machine, once that is known."""
    trouble: tuple[str | None, str] | None = None
    """The option by which the last run failed, and why, until that option is answered anew."""
    kept: Setting | None = None
    """The settings that others are compared with, A."""
    _recommended: dict[str, Recommendation | None] = field(default_factory=dict)

    def replan(self) -> None:
        """plan() again with the latest answers and facts; nothing before the machine is known."""
        self.plan = self.planned(self.draft.anchored)
        self._recommended.clear()

    def weighed(self, methods: Mapping[Method, Plan], largest: Mapping[Way, Entry]) -> None:
        """Take over what the methods come to."""
        self.methods, self.largest = methods, largest
        self._recommended.clear()

    def planned(self, recipe: Recipe) -> Plan | None:
        from finetty.backend.planning import plan

        known = self.known
        if known.machine is None:
            return None
        return plan(recipe, known.model.facts or known.model.expected, known.machine, known.data.facts)

    @property
    def setting(self) -> Setting | None:
        """The settings as they are; None before they are planned."""
        from finetty.backend.planning.compare import Setting

        return Setting(self.draft.recipe, self.plan, self.findings) if self.plan is not None else None

    def answered_anew(self, option: str) -> None:
        """What was wrong with the old answer is not said of the new one."""
        if self.trouble is not None and self.trouble[0] == option:
            self.trouble = None

    def recommendation(self, option: str) -> Recommendation | None:
        """What finetty recommends for an option here; worked out when it is first asked for after a change."""
        if option not in self._recommended:
            self._recommended[option] = self._recommend(option)
        return self._recommended[option]

    def _recommend(self, option: str) -> Recommendation | None:
        from finetty.backend.planning.recommend import recommended, recommended_model

        known = self.known
        if known.machine is None:
            return None
        if option == "model.path":
            return recommended_model(self.largest or {}, known.machine, known.data.facts)
        model = known.model.facts or known.model.expected
        return recommended(option, self.draft.anchored, model, known.machine, known.data.facts, self.methods)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is wrong: unfinished answers, what could not be read, what plan() found."""
        own = (*self.draft.faults.values(), *self.known.faults)
        places = {found.option for found in own}
        if self.reading and self.known.data.rows.rows is not None:
            places.add("dataset.train")
        if self.fetching is not None:
            own = tuple(found for found in own if found is not self.known.model.fault)
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
        """Whether the model is only not here yet, and nothing brings it at this moment."""
        return self.known.model.absent and self.fetching is None

    @property
    def only_lacks_model(self) -> bool:
        """Whether a download is all that keeps the run from starting."""
        return self.can_fetch and all(found is self.known.model.fault for found in self.errors)

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
