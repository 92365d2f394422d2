"""The app before a run: first screen, wizard, checks. It ends with the run that the person started, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from textual.screen import Screen

from finetty.tui import language
from finetty.tui.base_app import BaseApp
from finetty.tui.language import _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finetty.backend.planning.plan import Plan
    from finetty.backend.recipe import Recipe
    from finetty.tui.draft import Draft
    from finetty.tui.screens.setup import Ending

Start = Literal["home", "setup", "new", "demo"]


class FinettyApp(BaseApp[Any]):
    """The first screen and the wizard. `run()` returns the run to become, or None when the person left."""

    def __init__(
        self,
        draft: Recipe | None = None,
        start: Start = "home",
        *,
        fault: str | None = None,
        why: str = "",
        unread: Mapping[str, str] | None = None,
    ) -> None:
        """`fault`: the option that the wizard opens at, `why`: what is wrong with it; `unread`: what a recipe's file
        has where it could not be read."""
        super().__init__()
        self.why, self.unread = why, unread
        self.given, self.start, self.fault = draft, start, fault

    def get_default_screen(self) -> Screen[None]:
        from finetty.tui.screens.home import Home

        return Home()

    async def on_mount(self) -> None:
        if self.start == "setup":
            await self.open_set_up()
        elif self.start == "new":
            await self.open_wizard(self.given, fault=self.fault, why=self.why, unread=self.unread)
        elif self.start == "demo":
            await self.open_wizard(self.given, name="demo", fault=self.fault)

    async def open_wizard(
        self,
        recipe: Recipe | None = None,
        *,
        name: str = "draft",
        fault: str | None = None,
        why: str = "",
        unread: Mapping[str, str] | None = None,
    ) -> None:
        """The wizard, with this recipe or with the answers of last time."""
        from finetty.tui.screens.wizard import Wizard

        at = "review" if recipe is not None and name != "demo" else "model"
        draft = begun_draft(recipe, name, unread)
        await self.push_screen(Wizard(draft, at=at, fault=fault, why=why, fetch_at_once=name == "demo"))

    async def open_set_up(self) -> None:
        """The guided set-up, and after it what it ended with."""
        from finetty.tui.screens.setup import SetUp

        await self.push_screen(SetUp(), self._after_set_up)

    async def _after_set_up(self, ending: Ending | None) -> None:
        from finetty.tui.screens.home import Home

        for home in self.screen_stack:
            if isinstance(home, Home):
                home.look_at_the_machine()
        if ending == "demo":
            await self.open_demo()
        elif ending == "new":
            await self.open_wizard()

    async def open_demo(self) -> None:
        from finetty.backend.demo import RECIPE
        from finetty.backend.recipe import load_recipe

        await self.open_wizard(load_recipe(RECIPE), name="demo")

    def start_run(self, recipe: Recipe, plan: Plan) -> None:
        """Make the run's folder and end the app with it. Raises Refusal where it cannot be made."""
        from finetty.backend.runs import Run, runs_root

        self.exit(Run.create(runs_root(), plan.to_json(), recipe))

    def run_and_hand_over(self) -> None:
        """Run the app; where it ends with a run, this process hands it to the one that trains."""
        started = self.run()
        if started is not None:
            from finetty.tui.processes import hand_over

            hand_over(started, plain=False, resume=False)

    async def action_language(self) -> None:
        self.keep(language=language.other_language())
        await super().action_language()

    def leave_screen(self, screen: Screen[Any]) -> None:
        from finetty.tui.screens.dialogs import Question

        question = Question(lambda: (_("Leave finetty?"), _("Your answers are kept for next time."), _("Leave")))
        self.push_screen(question, lambda leave: self.exit() if leave else None)


def begun_draft(recipe: Recipe | None, name: str, unread: Mapping[str, str] | None = None) -> Draft:
    """The draft to work on. A given recipe takes the place of kept answers, which can be had back."""
    from finetty.tui.draft import Draft, draft_path

    draft = Draft.kept(draft_path(name))
    if recipe is not None:
        draft.replace(recipe, unread)
    return draft
