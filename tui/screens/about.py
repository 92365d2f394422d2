"""What is said about an option: what is wrong with its answer, what finetty recommends and why, and what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from textual.content import Content

from finetty.backend.messages import Message
from finetty.backend.planning.methods import method_of
from finetty.backend.planning.recommend import Recommendation
from finetty.backend.recipe import options, value_of
from finetty.tui.draft import written
from finetty.tui.guide import Explanation, explanation, label, word
from finetty.tui.language import _, translate
from finetty.tui.screens.state import State
from finetty.tui.text import visible
from finetty.tui.widgets.outlook import finding_lines

SAID_BY_STEP = ("model.path", "dataset.train")
"""Options whose findings stand in their own step already."""


@dataclass(frozen=True)
class About:
    """`advice`: faults first, then the recommendation; `meaning`: explanation, analogy, trade-offs, help."""

    title: str
    meaning: list[Content]
    advice: list[Content] = field(default_factory=list)

    @property
    def parts(self) -> list[Content]:
        return [*self.advice, *self.meaning]


def about_option(state: State, option: str, introduction: Explanation | None = None) -> About:
    """`introduction` explains the step whose first option this is, where the guide says nothing of the value."""
    answer = answered(state, option)
    said = explanation(option, answer if isinstance(answer, str) else written(answer))
    guide = said or explanation(option, "true") or introduction
    meaning = explained(guide) if guide is not None else []
    meaning.append(Content.styled(_(options()[option].help), "$muted"))
    title = _(guide.title) if guide else _(label(option))
    advice = _wrong(state, option)
    recommendation = state.recommendation(option)
    if recommendation is not None:
        same = isinstance(recommendation.value, Message) or recommendation.value == answer
        advice.append(recommended_line(recommendation, same=same))
    return About(f"{title} · {option}", meaning, advice)


def _wrong(state: State, option: str) -> list[Content]:
    """Why the last run failed by it, until it is answered anew; else what is wrong with the answer."""
    if state.trouble is not None and state.trouble[0] == option:
        return [Content.styled("✗ " + visible(state.trouble[1]), "$text-error")]
    if option in SAID_BY_STEP:
        return []
    return finding_lines([found for found in state.findings_for(option) if found.level != "note"])


def answered(state: State, option: str) -> Any:
    """The option's value as the run will have it; of the method, which of the guide's it is."""
    recipe = state.plan.recipe if state.plan is not None else state.draft.recipe
    return method_of(recipe) if option == "method.name" else value_of(recipe, option)


def recommended_line(recommendation: Recommendation, *, same: bool) -> Content:
    """What is recommended and why; where the answer is another one, it says `instead`."""
    head = _("★ Recommended here: {value}") if same else _("★ Recommended here instead: {value}")
    reason = visible(translate(recommendation.reason))
    named = head.format(value=_shown(recommendation.value))
    return Content.assemble((named, "bold $text-success" if same else "bold $text-accent"), " · ", reason)


def _shown(value: Any) -> str:
    if isinstance(value, Message):
        return translate(value)
    text = "" if isinstance(value, list) and not value else written(value)
    return visible(_(word(text))) if text else _("nothing")


def explained(text: Explanation) -> list[Content]:
    """The explanation, its analogy and trade-offs, each with its sign."""
    parts = [Content(_(text.what))]
    if text.like:
        parts.append(Content.assemble((_("Like: "), "bold"), (_(text.like), "italic")))
    if text.good:
        parts.append(Content.assemble(("+ ", "bold $text-success"), _(text.good)))
    if text.bad:
        parts.append(Content.assemble(("− ", "bold $text-warning"), _(text.bad)))
    if text.when:
        parts.append(Content.assemble((_("When: "), "bold"), _(text.when)))
    return parts
