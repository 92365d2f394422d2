"""Every dialog alike: how it is left, in which language it speaks, and which keys it offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tui.wizard_pilot import settled
from textual.widgets import Input

from finetty.backend.recipe import Recipe
from finetty.backend.runs import Run
from finetty.tui.actions import actions, key_name
from finetty.tui.app import FinettyApp
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.language import _
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.screens.check import Check
from finetty.tui.screens.choose import Choice, Choose
from finetty.tui.screens.compare import Compare
from finetty.tui.screens.dialogs import Help, Question, SaveRecipe
from finetty.tui.screens.home import Home
from finetty.tui.screens.load import LoadRecipe
from finetty.tui.screens.setup.command_pane import CommandPane
from finetty.tui.screens.tags import EditTags
from finetty.tui.widgets.keybar import KeyBar

from .looking import sees

DIALOGS: dict[str, Callable[[Run], TranslatedDialog[Any]]] = {
    "question": lambda _run: Question(lambda: (_("Leave finetty?"), "", _("Leave"))),
    "help": lambda _run: Help(Check()),
    "save": lambda _run: SaveRecipe(Recipe(), "x.yaml"),
    "load": lambda _run: LoadRecipe(),
    "choose": lambda _run: Choose(lambda: (_("Which models?"), "", [Choice("one", "o", _("Any tag"))])),
    "tags": EditTags,
    "beside": lambda run: Compare(run, ()),
    "command": lambda _run: CommandPane(["true"]),
}


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


async def test_ctrl_c_leaves_a_dialog_and_asks_nothing_over_it(made_run: Callable[..., Any]) -> None:
    made = made_run()
    made.train(2)
    app = FinettyApp()
    async with app.run_test() as pilot:
        for name, make in DIALOGS.items():
            results: list[object] = []
            await app.push_screen(make(made.run), results.append)
            await pilot.press("ctrl+c")
            await pilot.pause()
            assert isinstance(app.screen, Home), name
            assert len(app.screen_stack) == 1
            assert not any(results), name
        await pilot.press("ctrl+p", "ctrl+c")
        assert isinstance(app.screen, Home), "the palette"
    made.end()


async def test_ctrl_c_over_the_dashboards_help_leaves_the_help_alone(made_run: Callable[..., Any]) -> None:
    made = made_run()
    made.train(2)
    app = DashboardApp(made.run, owner=False, clock=made.clock)
    async with app.run_test() as pilot:
        below = list(app.screen_stack)
        await pilot.press("f1")
        assert isinstance(app.screen, Help)
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert list(app.screen_stack) == below
    made.end()


async def test_a_dialog_that_is_gone_takes_nothing_else_away() -> None:
    app = FinettyApp()
    async with app.run_test() as pilot:
        below, first, second = LoadRecipe(), LoadRecipe(), Question(lambda: (_("Leave finetty?"), "", _("Leave")))
        for dialog in (below, first):
            await app.push_screen(dialog)
        first.dismiss(None)
        first.dismiss(None)
        await settled(pilot)
        assert app.screen is below
        await app.push_screen(second)
        below.dismiss(None)
        await settled(pilot)
        assert isinstance(app.screen, Home), "what lies over it goes with it"


TITLES = {
    "question": "Leave finetty?",
    "help": "Help",
    "save": "Save the recipe",
    "load": "Load a recipe",
    "choose": "Which models?",
    "tags": "Tags of {run}",
    "beside": "Compare with",
    "command": "true",
}


async def test_the_language_is_a_key_in_every_dialog_and_takes_nothing_away(made_run: Callable[..., Any]) -> None:
    made = made_run()
    made.train(2)
    app = FinettyApp()
    async with app.run_test() as pilot:
        for name, make in DIALOGS.items():
            await app.push_screen(dialog := make(made.run))
            await pilot.press(*("tt" if name in ("save", "load", "tags") else ""))
            for _language in ("zh_CN", "en"):
                await sees(pilot, _(TITLES[name]).format(run=made.run.id))
                await sees(pilot, _("Commands"))
                await pilot.press("f2")
                await pilot.pause()
            if typed := dialog.query(Input):
                assert typed.first().value.endswith("tt"), name
                assert typed.first().has_focus
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, Home), name
    made.end()


async def test_every_key_of_a_dialog_is_in_its_footer_and_in_the_palette(made_run: Callable[..., Any]) -> None:
    made = made_run()
    made.train(2)
    app = FinettyApp()
    async with app.run_test(size=(120, 24)) as pilot:
        for name, make in DIALOGS.items():
            place: Any = name
            await app.push_screen(dialog := make(made.run))
            await pilot.pause()
            footer = dialog.query_one(KeyBar).render().plain
            palette = {command.help for command in app.get_system_commands(dialog)}
            for action in actions(place):
                assert f"{key_name(action.key)} {_(action.label)}" in footer
                assert _(action.help) in palette
            own = {key for key, _binding in dialog._bindings}
            known = {key for action in actions(place, "everywhere") for key in action.key.split(",")}
            assert own - known <= KEYS_OF_TEXTUAL, name
            dialog.dismiss(None)
    made.end()


KEYS_OF_TEXTUAL = {"tab", "shift+tab", "ctrl+c", "super+c"}
"""Those that every screen of Textual has, to move the focus and to copy."""
