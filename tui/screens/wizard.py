"""The wizard: model, data, method, template, acceleration, review; a view of plan() over the answers of a draft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import OptionList
from textual.worker import get_current_worker

from finetty.backend.messages import Finding, Refusal
from finetty.backend.messages import Message as Said
from finetty.backend.recipe import Recipe, dump_recipe, options
from finetty.tui.actions import bindings
from finetty.tui.draft import Draft
from finetty.tui.guide import STEPS, explanation, label, word
from finetty.tui.language import _, plural, translate
from finetty.tui.reading import (
    DataRead,
    Fault,
    Known,
    ModelRead,
    data_key,
    fetch_model,
    model_key,
    read_data,
    read_model,
    rows_key,
)
from finetty.tui.screens.base import BREADTHS, HEIGHTS, TranslatedScreen
from finetty.tui.screens.dialogs import Question, SaveRecipe
from finetty.tui.screens.model_step import ModelStep
from finetty.tui.screens.review import ReviewStep, Start
from finetty.tui.screens.sources import DataStep
from finetty.tui.screens.state import State, step_of
from finetty.tui.screens.steps import AccelerationStep, MethodStep, Step, blocking
from finetty.tui.screens.template_step import TemplateStep
from finetty.tui.text import visible
from finetty.tui.widgets.field import Answered, Confirmed, Typed, control_id
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.meaning import Meaning, explained
from finetty.tui.widgets.outlook import Outlook, time_words
from finetty.tui.widgets.stepper import Stepper, StepState

if TYPE_CHECKING:
    from finetty.backend.machine.facts import MachineFacts
    from finetty.tui.app import FinettyApp
    from finetty.tui.shelf import Shelf

STEP_CLASSES: dict[str, type[Step]] = {
    one.step: one for one in (ModelStep, DataStep, MethodStep, TemplateStep, AccelerationStep, ReviewStep)
}
ORDER = list(STEP_CLASSES)


class Wizard(TranslatedScreen[None]):
    """One screen, six steps; every change of an answer goes through here and is planned again at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("wizard"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]
    CSS_PATH = "../styles/wizard.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    typing_pause: ClassVar[float] = 0.25
    """Seconds without a key before a typed path is read."""
    app: FinettyApp

    class Looked(Message):
        """The machine and the models that can be chosen are known."""

        def __init__(self, machine: MachineFacts, shelf: Shelf) -> None:
            self.machine, self.shelf = machine, shelf
            super().__init__()

    class Read(Message):
        """A model or data was read; what was not read again is None."""

        def __init__(self, model: ModelRead | None, data: DataRead | None, *, last: bool) -> None:
            self.model, self.data, self.last = model, data, last
            super().__init__()

    class Fetching(Message):
        """How far the download of the model is."""

        def __init__(self, said: Said) -> None:
            self.said = said
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, type(self))

    class Fetched(Message):
        """The download for the answer `key` has ended, with what went wrong if something did."""

        def __init__(self, key: tuple[str, str | None], fault: Fault | None) -> None:
            self.key, self.fault = key, fault
            super().__init__()

    def __init__(self, draft: Draft, *, at: str = "model", fault: str | None = None) -> None:
        super().__init__()
        self.state = State(draft)
        self.at = at
        self.seen: set[str] = set()
        self.fault = fault
        self._asked: object = None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Stepper()
        with Horizontal(id="body"):
            yield Vertical(id="place")
            yield Outlook()
        yield Meaning()
        yield KeyBar()

    async def on_mount(self) -> None:
        await self.open_step(self.at)
        self._look_around()
        self._read_soon(0)
        if self.fault:
            await self.go_to(self.fault)

    async def redrawn(self) -> None:
        await self.open_step(self.at)

    # Steps

    @property
    def step(self) -> Step:
        return self.query_one(Step)

    async def open_step(self, name: str, option: str | None = None) -> None:
        """Show a step, with the focus on an option's control or on the first one."""
        place = self.query_one("#place")
        with self.app.batch_update():
            await place.remove_children()
            step = STEP_CLASSES[name](self.state)
            await place.mount(step)
            self.at = name
            self.seen.add(name)
            self.set_class(not step.wide_meaning, "-own-room")
            wanted = self.query(f"#{control_id(option)}") if option else None
            control = wanted.first() if wanted else step.first_control()
            if control is not None:
                self.set_focus(control)
            self.draw()

    async def action_next(self) -> None:
        step = self.step
        if isinstance(step, ModelStep) and step.searching:
            step.enter_list()
            return
        if self.at == "model" and self.state.can_fetch:
            self.fetch()
            return
        held = blocking(self.state, self.at)
        empty = {"model": not self.state.draft.recipe.model.path, "data": not self.state.draft.data_files}
        if held is not None:
            self.app.notify(visible(translate(held.message)), severity="error", markup=False)
        elif empty.get(self.at):
            missing = _("Choose a model first.") if self.at == "model" else _("Choose a file of rows first.")
            self.app.notify(missing, severity="warning", markup=False)
        elif self.at != ORDER[-1]:
            await self.open_step(ORDER[ORDER.index(self.at) + 1])

    async def action_back(self) -> None:
        index = ORDER.index(self.at)
        if index:
            await self.open_step(ORDER[index - 1])
        else:
            self.dismiss()

    async def action_review(self) -> None:
        await self.open_step("review")
        self._read_soon(0, again=True)

    async def go_to(self, option: str | None) -> None:
        """Open the place where an option is answered, with the focus on it."""
        step = step_of(option)
        if option and step and option in STEP_CLASSES[step].fields:
            await self.open_step(step, option)
        elif option in options():
            self.action_settings(option)
        else:
            await self.open_step(step or "review")

    async def action_mend(self) -> None:
        if self.state.errors:
            await self.go_to(self.state.errors[0].option)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """The key that makes it fit is there while there is something to make fit."""
        return action != "make_fit" or self.state.too_large

    def action_make_fit(self) -> None:
        from finetty.tui.screens.fit import MakeFit

        self.app.push_screen(MakeFit(self))

    def action_settings(self, option: str | None = None) -> None:
        from finetty.tui.screens.settings import Settings

        self.app.push_screen(Settings(self, option))

    # Answers

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        self.take(event.option, event.value)

    @on(Typed)
    def _typed(self, event: Typed) -> None:
        if event.option == "dataset.train":
            self.state.draft.set_data_file(event.index, event.text)
            self.changed()
        else:
            self.take_text(event.option, event.text)

    @on(Confirmed)
    async def _confirmed(self) -> None:
        await self.action_next()

    def take(self, option: str, value: object) -> None:
        """An answer that was chosen."""
        self.state.draft.answer(option, value)
        self.changed()

    def take_all(self, values: Mapping[str, object]) -> None:
        """Several answers at once."""
        for option, value in values.items():
            self.state.draft.answer(option, value)
        self.changed()

    def take_text(self, option: str, text: str) -> None:
        """An answer as far as it is typed."""
        self.state.draft.type(option, text)
        self.changed()

    def changed(self) -> None:
        self._read_soon(self.typing_pause)
        self.state.replan()
        self.draw()

    # Reading

    @work(thread=True, group="machine")
    def _look_around(self) -> None:
        from finetty.backend.machine import machine_facts
        from finetty.backend.models import local_models
        from finetty.tui.shelf import Shelf

        machine = machine_facts()
        self.post_message(self.Looked(machine, Shelf(local_models(), machine)))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self.state.shelf = event.shelf
        self.state.known = replace(self.state.known, machine=event.machine)
        self.state.replan()
        for step in self.query(ModelStep):
            step.list_models()
        self.draw()

    def _read_soon(self, seconds: float, *, again: bool = False) -> None:
        """Read model and data when nothing has been typed for so long, if an answer about them has changed."""
        asked = _what_is_read(self.state.draft.recipe)
        if asked == self._asked and not again:
            return
        self._asked = asked
        self.state.reading = True
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, self._read_now) if seconds else None
        if not seconds:
            self._read_now()

    def _read_now(self) -> None:
        self._read(self.state.draft.recipe, self.state.known)

    @work(thread=True, exclusive=True, group="reading")
    def _read(self, recipe: Recipe, known: Known) -> None:
        worker = get_current_worker()
        model = known.model
        if (recipe.model.path, recipe.model.revision) != model.key or model.facts is None:
            model = read_model(recipe)
            if worker.is_cancelled:
                return
            self.post_message(self.Read(model, None, last=False))
        folder = model.facts.folder if model.facts and model.facts.has_tokenizer_json else None
        data = known.data
        if data.key is None or data.key != data_key(recipe, folder):
            usable = data.rows if data.rows.key == rows_key(recipe) else DataRead(None, known.data.rows).rows
            data = read_data(recipe, folder, usable)
        if not worker.is_cancelled:
            self.post_message(self.Read(None, data, last=True))

    @on(Read)
    def _was_read(self, event: Read) -> None:
        known = self.state.known
        self.state.known = Known(event.model or known.model, event.data or known.data, known.machine)
        if event.last:
            self.state.reading = False
        self.state.replan()
        self.draw()

    def fetch(self) -> None:
        """Download the model in a thread of its own, which does not hold up leaving; what has come is kept."""
        from finetty.backend.models.folder import FETCH_IT

        if self.state.fetching is None:
            self.state.fetching = FETCH_IT()
            recipe = self.state.draft.recipe
            Thread(target=self._fetch, args=(recipe,), daemon=True).start()
            self.draw()

    def _fetch(self, recipe: Recipe) -> None:
        fault = fetch_model(recipe, lambda said: self._tell(self.Fetching(said)))
        self._tell(self.Fetched(model_key(recipe), fault))

    def _tell(self, message: Message) -> None:
        if self.is_attached:
            self.post_message(message)

    @on(Fetching)
    def _fetching(self, event: Fetching) -> None:
        self.state.fetching = event.said
        self.draw()

    @on(Fetched)
    def _fetched(self, event: Fetched) -> None:
        self.state.fetching = None
        if event.fault is None:
            self._read_soon(0, again=True)
        elif event.key == model_key(self.state.draft.recipe):
            self.state.known = replace(self.state.known, model=ModelRead(event.key, fault=event.fault))
        self.draw()

    # Drawing

    def draw(self) -> None:
        """Everything that depends on answers, facts or the plan."""
        state = self.state
        self.query_one(Stepper).show(self._step_states(), ORDER.index(self.at))
        self.query_one(Outlook).show(state.plan, self._findings_beside(), reading=state.reading)
        if steps := self.query(Step):
            steps.first().show()
        self._explain()
        self.refresh_bindings()
        for screen in self.app.screen_stack:
            if screen is not self and screen.is_mounted and hasattr(screen, "draw"):
                screen.draw()

    def _findings_beside(self) -> list[Finding]:
        """What the panel says: not what the step says itself, nor that an answer is missing before it was asked for."""
        if self.at == "review":
            return []
        said_by_step = {"model": "model.path", "data": "dataset.train"}.get(self.at)
        return [found for found in self.state.findings if found.option != said_by_step and not self._too_early(found)]

    def _too_early(self, found: Finding) -> bool:
        draft = self.state.draft
        unanswered = {"model.path": not draft.recipe.model.path, "dataset.train": not draft.data_files}
        return unanswered.get(found.option or "", False) and step_of(found.option) not in self.seen - {self.at}

    def _step_states(self) -> list[StepState]:
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

    @on(events.DescendantFocus)
    @on(OptionList.OptionHighlighted)
    def _explain(self) -> None:
        title, parts = self.help_on_focus()
        self.query_one(Meaning).show(title, parts)

    def help_on_focus(self) -> tuple[str, list[Content]]:
        """What the focused part means, for the panel below and for F1."""
        if isinstance(self.focused, OptionList):
            named = self.step.about_highlighted() if isinstance(self.step, ModelStep) else None
            if named is not None:
                return named
        option = getattr(self.focused, "option", None)
        if option is None:
            return _(STEPS[self.at].title), explained(STEPS[self.at])
        return self.about(option)

    def about(self, option: str) -> tuple[str, list[Content]]:
        """An option: plan()'s reason, what the guide says of its value, and its own help."""
        value = self.state.resolved(option)
        chosen = value if value is not None else self.state.draft.text(option)
        parts = []
        if value is not None and self.state.plan is not None and (reason := self.state.plan.reason(option)):
            shown = Content.styled(f"→ {visible(_(word(value)))} ", "bold")
            parts.append(Content.assemble(shown, visible(translate(reason))))
        guide = explanation(option, chosen)
        first = STEP_CLASSES[self.at].fields[:1] == (option,)
        if guide is not None:
            parts += explained(guide)
        elif first:
            parts += explained(STEPS[self.at])
        parts.append(Content.styled(_(options()[option].help), "$muted"))
        title = f"{_(guide.title)}" if guide else _(STEPS[self.at].title) if first else _(label(option))
        return f"{title} · {option}", parts

    # Saving and starting

    def action_save_recipe(self) -> None:
        name = self.state.draft.recipe.output.name or "recipe"

        def saved(path: Path | None) -> None:
            if path is not None:
                self.app.notify(_("Saved as {path}.").format(path=visible(str(path))), markup=False)

        self.app.push_screen(SaveRecipe(self.state.draft.anchored, f"{name}.yaml"), saved)

    @on(Start.Pressed)
    async def _start_pressed(self) -> None:
        state = self.state
        if state.errors:
            self.app.notify(visible(translate(state.errors[0].message)), severity="error", markup=False)
            await self.go_to(state.errors[0].option)
        elif state.reading or state.plan is None:
            self.app.notify(_("Still reading; a moment."), markup=False)
        else:
            question = Question(_("Start training?"), self._what_starts(), _("Start"))
            self.app.push_screen(question, self._start_if_asked)

    def _what_starts(self) -> str:
        plan = self.state.plan
        if plan is None or plan.steps is None:
            return ""
        return plural("{count} step", "{count} steps", plan.steps) + f" · {time_words(plan)}"

    def _start_if_asked(self, yes: bool | None) -> None:
        if not yes or self.state.plan is None:
            return
        try:
            self.app.start_run(self.state.draft.anchored, self.state.plan)
        except Refusal as refusal:
            fix = f" {translate(refusal.fix)}" if refusal.fix else ""
            self.app.notify(visible(translate(refusal.said) + fix), severity="error", markup=False, timeout=30)


def _what_is_read(recipe: Recipe) -> tuple[str, ...]:
    """The answers that model and data are read by."""
    relevant = Recipe(model=recipe.model, dataset=recipe.dataset, template=recipe.template)
    return (dump_recipe(relevant),)
