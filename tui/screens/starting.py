"""What the start leads to: the download of a model that is not here, the question, and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetty.backend.messages import Refusal
from finetty.tui.errors import sentence
from finetty.tui.language import _, plural, translate
from finetty.tui.screens.dialogs import Question
from finetty.tui.text import visible
from finetty.tui.widgets.outlook import time_words

if TYPE_CHECKING:
    from finetty.backend.planning.plan import Plan
    from finetty.tui.screens.wizard import Wizard

SECONDS_TO_READ = 30


class Starting:
    """The start was asked for, and may wait for the model."""

    def __init__(self, wizard: Wizard) -> None:
        self.wizard = wizard
        self.waits = False

    async def asked(self) -> None:
        """A person wants to start: bring the model, show what is wrong, or ask whether it shall be."""
        wizard, state = self.wizard, self.wizard.state
        self.waits = state.fetching is not None or state.only_lacks_model
        if self.waits:
            wizard.fetch()
        elif state.errors:
            wizard.app.notify(visible(translate(state.errors[0].message)), severity="error", markup=False)
            await wizard.go_to(state.errors[0].option)
        elif state.reading or state.plan is None:
            wizard.app.notify(_("Still reading; a moment."), markup=False)
        else:
            question = Question(lambda: (_("Start training?"), _length(state.plan), _("Start")))
            wizard.app.push_screen(question, self._answered)

    def go_on(self) -> None:
        """The model that it waited for is here."""
        if self.waits:
            self.waits = False
            if not self.wizard.state.errors:
                self.wizard.call_later(self.asked)

    def _answered(self, yes: bool | None) -> None:
        wizard, plan = self.wizard, self.wizard.state.plan
        if not yes or plan is None:
            return
        try:
            wizard.app.start_run(wizard.state.draft.anchored, plan)
        except Refusal as refusal:
            wizard.app.notify(visible(sentence(refusal)), severity="error", markup=False, timeout=SECONDS_TO_READ)
            if refusal.option:
                wizard.call_later(wizard.go_to, refusal.option)


def _length(plan: Plan | None) -> str:
    if plan is None or plan.steps is None:
        return ""
    return plural("{count} step", "{count} steps", plan.steps) + f" · {time_words(plan)}"
