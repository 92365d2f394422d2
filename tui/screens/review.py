"""The last step: everything that will happen, each automatic choice with its reason, and the start."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from finetty.backend.planning.methods import method_of
from finetty.backend.planning.numbers import UNUSED
from finetty.backend.planning.plan import Choice, Plan
from finetty.backend.recipe import Recipe
from finetty.tui.actions import bindings
from finetty.tui.draft import written
from finetty.tui.guide import label, word
from finetty.tui.language import _, mark, plural, translate
from finetty.tui.screens.state import State
from finetty.tui.screens.steps import Step
from finetty.tui.text import size, visible
from finetty.tui.widgets.outlook import finding_lines, rows_words, time_words, verdict_words
from finetty.tui.widgets.prose import Prose


class Start(Widget, can_focus=True):
    """The primary action; it says itself why it cannot be done when it cannot."""

    DEFAULT_CSS = """
    Start { dock: bottom; height: 1; width: 1fr; text-align: center; background: $surface; text-style: bold; }
    Start:focus { background: $success-darken-2; color: auto 95%; }
    Start.-refused:focus { background: $error-darken-2; color: auto 95%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("review")

    class Pressed(Message):
        """The person wants to start."""

    def __init__(self) -> None:
        super().__init__(id="start")
        self.said = ""

    def show(self, state: State) -> None:
        """Say what Enter does for answers as they are."""
        refused = bool(state.errors) and not state.only_lacks_model
        said = _start_words(state)
        if said != self.said or refused != self.has_class("-refused"):
            self.said = said
            self.set_class(refused, "-refused")
            self.refresh()

    def action_start(self) -> None:
        self.post_message(self.Pressed())

    def on_click(self, event: events.Click) -> None:
        self.action_start()

    def render(self) -> Content:
        return Content(self.said)


def _start_words(state: State) -> str:
    if state.fetching is not None:
        return "▼ " + visible(translate(state.fetching))
    if state.only_lacks_model:
        return "▼ " + _("Download the model, then start") + "  ↵"
    if state.errors:
        problem = plural("{count} thing to mend first", "{count} things to mend first", len(state.errors))
        return f"✗ {problem}: ↵"
    return "▶ " + _("Start training") + "  ↵"


class ReviewStep(Step):
    """What will happen, in words; the reasons scroll, the start stays."""

    step = "review"
    titled = mark("Review")
    room = "-own-room"

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="review"):
            yield Prose("", id="review-text")
        yield Start()

    def first_control(self) -> Widget | None:
        return self.query_one(Start)

    def show(self) -> None:
        plan = self.state.plan
        parts = summary(self.state.draft.recipe, plan)
        found = finding_lines(self.state.findings)
        if found:
            parts += [_heading(_("Findings")), *found]
        if plan is not None and plan.choices:
            parts.append(_heading(_("Chosen for you, and why")))
            made = [one for one in plan.choices if one.reason.id != UNUSED.id and one.value is not None]
            parts += [choice_line(choice) for choice in made]
        self.query_one("#review-text", Prose).say(Content("\n").join(parts))
        self.query_one(Start).show(self.state)


def summary(recipe: Recipe, plan: Plan | None) -> list[Content]:
    """Model, data, method, and what the run takes."""
    files = ", ".join(file.path.rsplit("/", 1)[-1] for file in recipe.dataset.train)
    lines = [
        _pair(_("Model"), visible(recipe.model.path) or "?"),
        _pair(
            _("Data"), " · ".join(part for part in (visible(files) or "?", rows_words(plan) if plan else "") if part)
        ),
        _pair(_("Method"), method_words(plan.recipe if plan else recipe)),
    ]
    if plan is None:
        return lines
    steps = plural("{count} step", "{count} steps", plan.steps) if plan.steps is not None else "?"
    lines.append(_pair(_("Length"), f"{steps} · {time_words(plan)}"))
    prediction = plan.memory.exact or plan.memory.live
    needed = ("= " if plan.memory.exact else "≈ ") + size(prediction.process) if prediction else "?"
    lines.append(_pair(_("Memory"), f"{needed} · {verdict_words(plan.memory)}"))
    disk = _("{needed} of {free} free").format(needed=size(plan.disk.needed), free=size(plan.disk.free))
    lines.append(_pair(_("Disk"), disk))
    return lines


def method_words(recipe: Recipe) -> str:
    """The method as the guide calls it, with the bits of the frozen weights where they are quantized."""
    bits = recipe.precision.quantization
    return _(word(method_of(recipe))) + (f" · {bits}" if bits not in ("auto", "none") else "")


def choice_line(choice: Choice) -> Content:
    """One automatic choice: name, value, reason."""
    name = Content.styled(_(label(choice.option)), "$muted")
    value = Content.styled(visible(_(word(written(choice.value)))), "bold")
    return Content.assemble(name, " ", value, ("  " + visible(translate(choice.reason)), "$muted"))


def _pair(name: str, value: str) -> Content:
    shown = Content.styled(name, "$muted")
    return Content.assemble(shown.pad_right(max(1, 9 - shown.cell_length)), value)


def _heading(text: str) -> Content:
    return Content.assemble("\n", (text, "bold $text-accent"))
