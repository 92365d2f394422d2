"""The methods as cards: side by side with what speaks for and against each, or a line each where room is short.

A ★ stands at the one that finetty recommends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content

from finetty.backend.planning.methods import ANSWERS, Method
from finetty.backend.planning.plan import Plan, Verdict
from finetty.tui.guide import explanation, word
from finetty.tui.language import _, mark
from finetty.tui.text import short_count, size
from finetty.tui.widgets.field import AnsweredAll, Confirmed, chosen_style, control_id
from finetty.tui.widgets.outlook import VERDICT_SIGNS, VERDICT_STYLES
from finetty.tui.widgets.prose import Prose

OPTION = "method.name"
MADE_BY = ("method.name", "precision.quantization")
VERDICTS = {
    "fits": mark("fits"),
    "tight": mark("tight"),
    "over": mark("too much"),
    "unknown": mark("not known"),
    "not here": mark("not possible here"),
}
SIGNS, STYLES = {**VERDICT_SIGNS, "not here": "✗"}, {**VERDICT_STYLES, "not here": "$text-error"}


class Card(Prose):
    """One method."""

    def __init__(self, method: Method) -> None:
        super().__init__(id=f"card-{method}", classes="card")
        self.method = method


class MethodCards(Container, can_focus=True):
    """One of them is chosen: the arrows choose, and leave at the ends."""

    DEFAULT_CSS = """
    MethodCards { height: auto; width: 1fr; layout: vertical; }
    MethodCards > Card { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left", "step(-1)", show=False),
        Binding("down,right", "step(1)", show=False),
        Binding("enter", "confirm", mark("Next")),
    ]
    option = OPTION

    def __init__(self, chosen: Method) -> None:
        super().__init__(id=control_id(OPTION))
        self.chosen = chosen
        self.plans: Mapping[Method, Plan] = {}
        self.recommended: Method | None = None

    def compose(self) -> ComposeResult:
        for method in ANSWERS:
            yield Card(method)

    def show(self, chosen: Method, plans: Mapping[Method, Plan], recommended: Method | None) -> None:
        self.chosen, self.plans, self.recommended = chosen, plans, recommended
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    @on(events.Focus)
    @on(events.Blur)
    def _draw(self) -> None:
        beside = self.screen.has_class("-wide") and self.screen.has_class("-tall")
        for card in self.query(Card):
            chosen = card.method == self.chosen
            card.set_class(chosen, "-chosen")
            star = " ★" if card.method == self.recommended else ""
            name = Content.styled(f"{'◉' if chosen else '○'} {_(word(card.method))}{star}", self._style(chosen))
            plan = self.plans.get(card.method)
            card.border_title = name
            card.say(_column(card.method, plan) if beside else _line(name, plan, chosen=chosen))

    def _style(self, chosen: bool) -> str:
        if not chosen:
            return ""
        return chosen_style(self)

    def action_step(self, by: int) -> None:
        methods = list(ANSWERS)
        place = methods.index(self.chosen) + by
        if 0 <= place < len(methods):
            self.choose(methods[place])
        elif by > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()

    def choose(self, method: Method) -> None:
        if method != self.chosen:
            self.chosen = method
            self._draw()
            self.post_message(AnsweredAll(ANSWERS[method]))

    def action_confirm(self) -> None:
        self.post_message(Confirmed())

    def on_click(self, event: events.Click) -> None:
        if isinstance(event.widget, Card):
            self.choose(event.widget.method)


def _line(name: Content, plan: Plan | None, *, chosen: bool) -> Content:
    sign = "" if plan is None else SIGNS[_verdict(plan)]
    trained = _share_trained(plan)
    figures = " · ".join(
        part for part in (_("trains {share}").format(share=trained) if trained else "", _memory(plan)) if part
    )
    return Content.assemble(
        name.pad_right(max(1, 11 - name.cell_length)), (figures, "" if chosen else "$muted"), f" {sign}"
    )


def _column(method: Method, plan: Plan | None) -> Content:
    lines = [Content(_share_trained(plan)), Content(_memory(plan))]
    if plan is not None:
        verdict = _verdict(plan)
        lines.append(Content.styled(f"{SIGNS[verdict]} {_(VERDICTS[verdict])}", STYLES[verdict]))
    text = explanation(OPTION, method)
    if text is not None:
        lines += [
            Content.assemble(("+ ", "bold $text-success"), _(text.good)),
            Content.assemble(("− ", "bold $text-warning"), _(text.bad)),
        ]
    return Content("\n").join(lines)


def _share_trained(plan: Plan | None) -> str:
    """How many parameters are trained, and which share of all."""
    if plan is None or plan.trainable_parameters is None:
        return ""
    share = plan.trainable_parameters / (plan.total_parameters or plan.trainable_parameters)
    percent = f"{100 * share:.0f}" if share > 0.1 else f"{100 * share:.2g}"
    return f"{short_count(plan.trainable_parameters)} ({percent}%)"


def _memory(plan: Plan | None) -> str:
    """The least that it needs; nothing where it cannot be had here at all."""
    live = plan.memory.live if plan is not None and _verdict(plan) != "not here" else None
    return _("from {size}").format(size=size(live.process)) if live else ""


def _verdict(plan: Plan) -> Verdict | Literal["not here"]:
    """Whether it fits, or that this machine or this model lacks what the method needs."""
    return "not here" if any(found.option in MADE_BY for found in plan.errors) else plan.memory.verdict
