"""The app before a run: first screen, wizard, checks. It ends with the run that the person started, if any."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from finetty.tui import language
from finetty.tui.actions import bindings
from finetty.tui.language import _
from finetty.tui.styles.themes import MUTED, THEMES, suitable_theme

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import SystemCommand

    from finetty.backend.planning.plan import Plan
    from finetty.backend.recipe import Recipe
    from finetty.tui.draft import Draft

Start = Literal["home", "new", "demo"]


class FinettyApp(App[Any]):
    """The first screen and the wizard. `run()` returns the run to become, or None when the person left."""

    TITLE = "finetty"
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere")
    CSS_PATH = "styles/app.tcss"
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, draft: Recipe | None = None, start: Start = "home", *, fault: str | None = None) -> None:
        super().__init__()
        self.animation_level = "none"
        self.given, self.start, self.fault = draft, start, fault
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = suitable_theme(os.environ)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"muted": MUTED}

    def get_default_screen(self) -> Screen[None]:
        from finetty.tui.screens.home import Home

        return Home()

    async def on_mount(self) -> None:
        if self.start == "new":
            await self.open_wizard(self.given, fault=self.fault)
        elif self.start == "demo":
            await self.open_wizard(self.given, name="demo", fault=self.fault)

    async def open_wizard(self, recipe: Recipe | None = None, *, name: str = "draft", fault: str | None = None) -> None:
        """The wizard, with this recipe or with the answers of last time."""
        from finetty.tui.screens.wizard import Wizard

        at = "review" if recipe is not None and name != "demo" else "model"
        await self.push_screen(Wizard(begun_draft(recipe, name), at=at, fault=fault))

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
        """Every screen again, in the next language."""
        language.set_language(language.other_language())
        for screen in self.screen_stack:
            relabel = getattr(screen, "relabel", None)
            if relabel is not None:
                await relabel()

    def action_help(self) -> None:
        from finetty.tui.screens.dialogs import Help

        explain = getattr(self.screen, "help_on_focus", None)
        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.screen, explain() if explain is not None else ("", [])))

    def action_leave(self) -> None:
        from finetty.tui.screens.dialogs import Question

        if isinstance(self.screen, Question):
            return
        question = Question(_("Leave finetty?"), _("Your answers are kept for next time."), _("Leave"))
        self.push_screen(question, lambda leave: self.exit() if leave else None)

    def action_command_palette(self) -> None:
        from textual.command import CommandPalette

        if not CommandPalette.is_open(self):
            self.push_screen(CommandPalette(placeholder=_("Search for an action …"), id="--command-palette"))

    async def action_quit(self) -> None:
        self.action_leave()

    def action_help_quit(self) -> None:
        self.action_leave()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette: every action that the screen or the app can do now, and the themes."""
        from textual.app import SystemCommand

        from finetty.tui.actions import ACTIONS

        for action in ACTIONS:
            target = next((one for one in (screen, self) if hasattr(one, f"action_{action.name}")), None)
            if target is not None and action.name != "command_palette":
                yield SystemCommand(_(action.label), _(action.help), getattr(target, f"action_{action.name}"))
        yield SystemCommand(_("Theme"), _("Change the colours of the screen."), self.action_change_theme)


def begun_draft(recipe: Recipe | None, name: str) -> Draft:
    """The draft to work on. A given recipe takes the place of kept answers, which stay beside as `<name>.before`."""
    from finetty.tui.draft import Draft, draft_path

    path = draft_path(name)
    kept = Draft.kept(path)
    if recipe is None:
        return kept
    if not kept.empty and kept.recipe != recipe:
        _keep_beside(path)
    begun = Draft(recipe, path)
    begun.save()
    return begun


def _keep_beside(path: Path) -> None:
    try:
        path.replace(path.with_suffix(".before.yaml"))
    except OSError:
        return
