"""The wizard: model, data, method, template, acceleration, review; a view of plan() over the answers of a draft."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import OptionList

from finetty.backend.recipe import Recipe, options
from finetty.tui.actions import bindings
from finetty.tui.draft import Draft
from finetty.tui.exact import ExactFigure, Replayed
from finetty.tui.guide import STEPS
from finetty.tui.language import _, translate
from finetty.tui.screens.about import About, about_option, explained
from finetty.tui.screens.base import BREADTHS, HEIGHTS, TranslatedScreen
from finetty.tui.screens.dialogs import SaveRecipe
from finetty.tui.screens.facts_screen import FactsScreen
from finetty.tui.screens.guided import GuidedScreen
from finetty.tui.screens.model_step import ModelStep
from finetty.tui.screens.review import Start
from finetty.tui.screens.sources import DataStep, any_columns
from finetty.tui.screens.standing import ORDER, STEP_CLASSES, Standing
from finetty.tui.screens.starting import SECONDS_TO_READ, Starting
from finetty.tui.screens.state import step_of
from finetty.tui.screens.steps import Step
from finetty.tui.text import visible
from finetty.tui.warming import Warming
from finetty.tui.weighing import Weighed, Weighing
from finetty.tui.widgets.field import Answered, AnsweredAll, Confirmed, Typed, control_id
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.meaning import Meaning
from finetty.tui.widgets.outlook import Outlook
from finetty.tui.widgets.stepper import Stepper

if TYPE_CHECKING:
    from finetty.backend.recipe.files import Salvaged
    from finetty.tui.app import FinettyApp


class Wizard(FactsScreen, GuidedScreen[None]):
    """One screen, six steps; every change of an answer goes through here and is planned again at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("wizard"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]
    CSS_PATH = "../styles/wizard.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    app: FinettyApp

    def __init__(
        self,
        draft: Draft,
        *,
        at: str = "model",
        fault: str | None = None,
        why: str = "",
        fetch_at_once: bool = False,
    ) -> None:
        """`fault`: the option to open at, `why`: what is wrong with it, in the language of the screen."""
        super().__init__(draft, fetch_at_once=fetch_at_once)
        self.standing = Standing(self.state, at)
        self.fault = fault
        self.state.trouble = (fault, why) if why else None
        self.starting = Starting(self)
        self.exact = ExactFigure(self)
        self.weighing = Weighing(self)
        self.warming = Warming()
        self.has_before = draft.before is not None
        """Whether there are answers that a recipe took the place of."""

    def compose(self) -> ComposeResult:
        yield Stepper()
        with Horizontal(id="body"):
            yield Vertical(id="place")
            yield Outlook()
        yield Meaning()
        yield KeyBar()

    async def on_mount(self) -> None:
        await self.open_step(self.standing.at)
        self.look_around()
        self.read_soon(0)
        if self.fault:
            await self.go_to(self.fault)  # the panel below says why
        elif self.state.trouble is not None:
            self.app.notify(visible(self.state.trouble[1]), severity="error", markup=False, timeout=SECONDS_TO_READ)

    def on_unmount(self) -> None:
        self.exact.close()

    async def redrawn(self) -> None:
        await self._turn_to(self.standing.at)

    # Steps

    @property
    def step(self) -> Step:
        return self.query_one(Step)

    async def open_step(self, name: str, option: str | None = None) -> None:
        """Show a step, with the focus on an option's control or on the first one."""
        async with self.changing:
            await self._turn_to(name, option)

    async def _turn_to(self, name: str, option: str | None = None) -> None:
        with self.app.batch_update():
            step = STEP_CLASSES[name](self.state)
            if not await self.put(step):
                return
            self.standing.open(name)
            for room in ("-own-room", "-cards"):
                self.set_class(step.room == room, room)
            wanted = self.query(f"#{control_id(option)}") if option else None
            control = wanted.first() if wanted else step.first_control()
            if control is not None:
                self.set_focus(control)
            self.fill()

    async def action_next(self) -> None:
        async with self.changing:  # a key that is quicker than the step before it
            step = self.step
        if isinstance(step, ModelStep) and step.searching:
            step.enter_list()
            return
        standing = self.standing
        if standing.at == "model" and self.state.can_fetch:
            self.fetch()
        held = standing.held
        if isinstance(step, DataStep) and held is not None and any_columns([held]):
            step.action_columns()
        elif held is not None:
            self.app.notify(visible(translate(held.message)), severity="error", markup=False)
        elif standing.lacks_answer:
            missing = _("Choose a model first.") if standing.at == "model" else _("Choose a file of rows first.")
            self.app.notify(missing, severity="warning", markup=False)
        elif standing.at != ORDER[-1]:
            await self.open_step(ORDER[standing.place + 1])

    async def action_back(self) -> None:
        if self.standing.place:
            await self.open_step(ORDER[self.standing.place - 1])
        else:
            self.dismiss()

    async def action_review(self) -> None:
        await self.open_step("review")
        self.read_soon(0, again=True)

    async def go_to(self, option: str | None) -> None:
        """Open the place where an option is answered, with the focus on it."""
        step = step_of(option)
        if option and step and option in STEP_CLASSES[step].fields:
            await self.open_step(step, option)
            if isinstance(self.step, DataStep) and any_columns(self.state.findings_for(option)):
                self.step.action_columns()
        elif option in options():
            self.action_settings(option)
        else:
            await self.open_step(step or "review")

    async def action_mend(self) -> None:
        if self.state.errors:
            await self.go_to(self.state.errors[0].option)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """A key is there while there is something for it to do."""
        if action == "answers_before":
            return self.has_before
        return action != "make_fit" or self.state.too_large

    def action_make_fit(self) -> None:
        from finetty.tui.screens.fit import MakeFit

        self.app.push_screen(MakeFit(self))

    def action_compare(self) -> None:
        """Keep the settings as A, or show them beside A."""
        from finetty.tui.screens.compare_settings import CompareSettings

        setting = self.state.setting
        if setting is None:
            self.app.notify(_("Still reading; a moment."), markup=False)
        elif self.state.kept is None:
            self.state.kept = setting
            self.app.notify(_("Kept as A. Change something, and the same key compares."), markup=False)
            self.draw()
        else:
            self.app.push_screen(CompareSettings(self.state.kept, setting), self._take_setting)

    def _take_setting(self, taken: str | None) -> None:
        kept = self.state.kept
        if taken is None or kept is None:
            return
        self.state.kept = None
        if taken == "A":
            self.call_later(self.take_recipe, kept.recipe)
        else:
            self.draw()

    def action_preview(self) -> None:
        from finetty.tui.screens.preview import Preview

        data = self.state.known.data
        if data.encoder is None or data.rows.rows is None or not data.rows.rows.rows:
            missing = _("A row can be shown once a model that is here and the data are chosen.")
            self.app.notify(missing, severity="warning", markup=False)
        else:
            self.app.push_screen(Preview(self.state, data.encoder, data.rows.rows.rows, ask_base=self.ask_base))

    def action_base_answers(self) -> None:
        self.ask_base(0)

    def ask_base(self, at: int) -> None:
        """Let the base model answer three rows from this one on."""
        from finetty.tui.screens.base_answers import BaseAnswers

        known, plan = self.state.known, self.state.plan
        rows = known.data.rows.rows.rows if known.data.rows.rows is not None else ()
        if plan is None or not rows or known.model.facts is None or not known.model.facts.has_weights:
            missing = _(
                "The base model can answer once a model that is here, with its weights, and the data are chosen."
            )
            self.app.notify(missing, severity="warning", markup=False)
        else:
            self.app.push_screen(BaseAnswers(plan, rows, at))

    def action_settings(self, option: str | None = None) -> None:
        from finetty.tui.screens.settings import Settings

        self.app.push_screen(Settings(self, option))

    # Answers

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        self.take(event.option, event.value)

    @on(AnsweredAll)
    def _answered_all(self, event: AnsweredAll) -> None:
        self.take_all(event.values)

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
        self.state.answered_anew(option)
        self.state.draft.answer(option, value)
        self.changed()

    def take_all(self, values: Mapping[str, object]) -> None:
        """Several answers at once."""
        for option, value in values.items():
            self.state.answered_anew(option)
            self.state.draft.answer(option, value)
        self.changed()

    async def take_recipe(self, recipe: Recipe, unread: Mapping[str, str] | None = None) -> None:
        """Another recipe as a whole, and what could not be read of it; the answers until now can be had back."""
        self.state.draft.replace(recipe, unread)
        self.has_before = self.state.draft.before is not None
        self.changed()
        await self.open_step(self.standing.at)

    def take_text(self, option: str, text: str) -> None:
        """An answer as far as it is typed."""
        self.state.answered_anew(option)
        self.state.draft.type(option, text)
        self.changed()

    @on(Replayed)
    def _replayed(self, event: Replayed) -> None:
        self.exact.take(event)
        self.draw()

    @on(Weighed)
    def _weighed(self, event: Weighed) -> None:
        self.state.weighed(event.methods, event.largest)
        self.draw()

    def changed(self) -> None:
        self.read_soon(self.typing_pause)
        self.state.replan()
        self.draw()

    # Drawing

    def fill(self) -> None:
        """Everything that depends on answers, facts or the plan."""
        state = self.state
        self.exact.follow(state)
        self.weighing.follow(state)
        standing = self.standing
        if standing.at == "review":
            self.warming.follow(state)
        self.query_one(Stepper).show(standing.states, standing.place)
        elsewhere = state.fetching if standing.at != "model" else None
        self.query_one(Outlook).show(
            state.plan,
            standing.findings_beside,
            reading=state.reading,
            fetching=elsewhere,
            kept=state.kept is not None,
        )
        self.step.show()
        self.explain()
        self.refresh_bindings()
        for screen in self.app.screen_stack:
            if screen is not self and screen.is_mounted and isinstance(screen, TranslatedScreen):
                screen.draw()

    def explain(self) -> None:
        self.query_one(Meaning).show(self._about_focused())

    def help_on_focus(self) -> tuple[str, list[Content]]:
        """What is said about the focused part, for F1."""
        about = self._about_focused()
        return about.title, about.parts

    def _about_focused(self) -> About:
        if isinstance(self.focused, OptionList) and (models := self.query(ModelStep)):
            named = models.first().about_highlighted()
            if named is not None:
                return named
        option = getattr(self.focused, "option", None)
        guide = STEPS[self.standing.at]
        return self.about(option) if option else About(_(guide.title), explained(guide))

    def about(self, option: str) -> About:
        first = STEP_CLASSES[self.standing.at].fields[:1] == (option,)
        return about_option(self.state, option, STEPS[self.standing.at] if first else None)

    # Saving and starting

    def action_save_recipe(self) -> None:
        name = self.state.draft.recipe.output.name or "recipe"

        def saved(path: Path | None) -> None:
            if path is not None:
                self.app.notify(_("Saved as {path}.").format(path=visible(str(path))), markup=False)

        self.app.push_screen(SaveRecipe(self.state.draft.anchored, f"{name}.yaml"), saved)

    def action_load_recipe(self) -> None:
        from finetty.tui.screens.load import LoadRecipe

        self.app.push_screen(LoadRecipe(), self._loaded)

    def _loaded(self, read: Salvaged | None) -> None:
        if read is not None:
            # in this screen's own turn: a dialog's answer comes in the dialog's
            self.call_later(self._take_loaded, read)
            self.app.notify(_("Loaded. F7 goes back to the answers before it."), markup=False)

    async def _take_loaded(self, read: Salvaged) -> None:
        await self.open_step("review")
        await self.take_recipe(read.recipe, read.unread)
        for refusal in read.refusals[:1]:
            await self.go_to(refusal.option)

    async def action_answers_before(self) -> None:
        before = self.state.draft.before
        if before is not None:
            await self.take_recipe(before)

    @on(Start.Pressed)
    async def _start_pressed(self) -> None:
        await self.starting.asked()

    def all_is_read(self) -> None:
        """Nothing is left to be read: what waited for the model goes on, where the review still shows it."""
        if self.standing.at == "review" and self.app.screen is self and self.state.fetching is None:
            self.starting.go_on()
