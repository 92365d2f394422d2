"""The steps of the wizard: each one draws the draft's answers as fields and says what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from finetty.backend.messages import Finding
from finetty.backend.planning.methods import Method, method_of
from finetty.backend.recipe import options
from finetty.backend.recipe.options import WRONG_VALUE
from finetty.tui.guide import word
from finetty.tui.language import _, mark, translate
from finetty.tui.machine_words import accelerator_lines
from finetty.tui.screens.state import State
from finetty.tui.widgets.cards import MethodCards
from finetty.tui.widgets.field import Field, field_for
from finetty.tui.widgets.prose import Prose


class Step(Vertical):
    """One step. `name` is what findings are sorted by, `fields` the options that have a line in it."""

    DEFAULT_CSS = """
    Step { height: 1fr; width: 1fr; padding: 0 1; }
    Step > .heading { text-style: bold; color: $text-accent; height: 1; }
    Step > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    """
    step: ClassVar[str]
    titled: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    room: ClassVar[Literal["", "-own-room", "-cards"]] = ""
    """The wizard's class while the step is open; steps that show much of their own take room from the panel below."""

    def __init__(self, state: State) -> None:
        super().__init__(id=f"step-{self.step}")
        self.state = state

    def field(self, option: str) -> Field:
        return field_for(options()[option], self.state.draft.text(option))

    def first_control(self) -> Widget | None:
        """What has the focus when the step opens."""
        return next((widget for widget in self.query("*").results(Widget) if widget.focusable), None)

    def show(self) -> None:
        """Draw again what plan() and the readers have found out."""
        for field in self.query(Field):
            show_field(field, self.state)


def show_field(field: Field, state: State) -> None:
    """The field's answer, and beside it what is wrong with it or what plan() made of `auto`."""
    field.show(state.draft.text(field.option))
    faults = [found for found in state.findings_for(field.option) if found.level == "error"]
    if faults:
        field.note("✗ " + _short(faults[0]), fault=True)
        return
    value = state.resolved(field.option)
    shown = _(word(value)) if value is not None else ""
    field.note(f"→ {shown}" if shown else "")


def _short(found: Finding) -> str:
    """What is wrong in the room beside a field: of a value that is none, what is expected."""
    if found.message.id == WRONG_VALUE.id:
        return _("expected: {what}").format(what=translate(found.message.values["expected"]))
    return translate(found.message)


class MethodStep(Step):
    """Which parameters are trained, and how precisely the model is kept and computed."""

    step = "method"
    titled = mark("Method")
    of_method: ClassVar[dict[str, tuple[str, ...]]] = {
        "lora": ("method.rank", "method.alpha", "method.targets"),
        "freeze": ("method.layers",),
        "full": (),
    }
    fields = ("method.name", "precision.quantization", "precision.compute", "method.rank", "method.alpha")
    room = "-cards"

    def compose(self) -> ComposeResult:
        yield Prose(_("What is trained"), classes="heading")
        yield MethodCards(self._chosen)
        yield Prose(_("How precisely"), classes="heading")
        yield self.field("precision.quantization")
        yield self.field("precision.compute")
        with VerticalScroll(id="of-method", can_focus=False):
            yield from self._of_method()

    def _of_method(self) -> Iterable[Widget]:
        chosen = self.state.draft.recipe.method.name
        if self.of_method[chosen]:
            yield Prose(_("How it learns"), classes="heading")
        for option in (*self.of_method[chosen], "training.epochs", "training.learning_rate"):
            yield self.field(option)

    @property
    def _chosen(self) -> Method:
        plan = self.state.plan
        return method_of(plan.recipe if plan is not None else self.state.draft.recipe)

    def show(self) -> None:
        recommendation = self.state.recommendation("method.name")
        methods = self.state.methods or {}
        self.query_one(MethodCards).show(self._chosen, methods, recommendation.value if recommendation else None)
        self._follow_method()
        super().show()

    def _follow_method(self) -> None:
        """The fields below are those of the chosen method."""
        chosen = self.state.draft.recipe.method.name
        wanted = {*self.of_method[chosen], "training.epochs", "training.learning_rate"}
        place = self.query_one("#of-method", VerticalScroll)
        if {field.option for field in place.query(Field)} != wanted:
            place.remove_children()
            place.mount_all(self._of_method())


class AccelerationStep(Step):
    """Faster kernels, where this machine has them."""

    step = "acceleration"
    titled = mark("Speed")
    fields = ("acceleration.attention", "acceleration.unsloth", "acceleration.liger")

    def compose(self) -> ComposeResult:
        yield Prose(_("Faster, or in less memory"), classes="heading")
        for option in self.fields:
            yield self.field(option)
        yield self.field("acceleration.fallback")
        yield Prose(_("On this machine"), classes="heading")
        with VerticalScroll(can_focus=False):
            yield Prose("", id="libraries")

    def show(self) -> None:
        super().show()
        self.query_one("#libraries", Prose).say(Content("\n").join(self._libraries()))

    def _libraries(self) -> list[Content]:
        machine = self.state.known.machine
        if machine is None:
            return [Content.styled(_("Looking at this machine …"), "$muted")]
        return accelerator_lines(machine)
