"""Keys mashed at random, by a seed, on every screen that has no such test beside its own: nothing crashes or starts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tui.parrot import Parrot
from tests.tui.wizard_pilot import settled, wizard

from finetty.backend.demo import RECIPE
from finetty.backend.recipe import load_recipe
from finetty.backend.runs import Run
from finetty.tui.app import FinettyApp
from finetty.tui.draft import Draft, draft_path
from finetty.tui.screens import dialogs, run_keeping
from finetty.tui.screens.chat import ChatApp
from finetty.tui.screens.check import Check
from finetty.tui.screens.compare import Compare
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.fit import MakeFit
from finetty.tui.screens.home import Home
from finetty.tui.screens.preview import Preview
from finetty.tui.screens.runs_list import RunsList
from finetty.tui.screens.settings import Settings

from .looking import until

PRESSED = 60
NAMED = (
    "enter escape tab shift+tab up down left right space home end pageup pagedown backspace delete f1 f2 ctrl+n ctrl+p"
    " ctrl+b ctrl+t ctrl+c shift+left shift+right"
)
KEYS = [*NAMED.split(), *"abcdefgklmnopqrstuwxyz0123+-,./=漢"]


@pytest.fixture(autouse=True)
def nothing_may_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TERM", "xterm-256color")


def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "create", lambda *_a, **_k: pytest.fail("a run was started"))


async def mash(pilot: Any, seed: int, back: Callable[[], Any]) -> None:
    """Press keys; wherever they lead, `back` opens the screen again."""
    dice = random.Random(seed)
    for _key in range(PRESSED):
        await pilot.press(dice.choice(KEYS))
        await back()
        assert pilot.app.is_running
    assert pilot.app.return_value is None


@pytest.mark.parametrize("key", ["ctrl+o", "f4", None], ids=["settings", "preview", "fit"])
async def test_over_the_wizard(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    no_run(monkeypatch)
    over = {"ctrl+o": Settings, "f4": Preview, None: MakeFit}[key]
    app, opened = FinettyApp(draft=load_recipe(RECIPE), start="new"), 0
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)

        async def back() -> None:
            nonlocal opened
            if not any(isinstance(screen, over) for screen in app.screen_stack):
                await pilot.press("escape", *([key] if key else []))
            if not key and app.screen is wizard(pilot):
                await app.push_screen(MakeFit(wizard(pilot)))
            opened += isinstance(app.screen, over)

        await mash(pilot, 5, back)
        assert Draft.kept(draft_path()).recipe.model.path
    assert opened > 10, "what should have been mashed was not open"


@pytest.mark.parametrize(("screen", "seed"), [(Home, 1), (Check, 2)])
async def test_the_first_screen_and_the_machines(screen: type[Any], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    no_run(monkeypatch)
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)

        async def back() -> None:
            if screen is Check and not isinstance(app.screen, Check) and isinstance(app.screen, Home):
                await app.push_screen(Check())

        await mash(pilot, seed, back)


async def test_the_list_of_runs_and_the_comparison(
    made_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_keeping, "remove_run", lambda *_a: pytest.fail("a run was deleted"))
    made = made_run()
    made.train(40)
    other = made_run(name="calm")
    other.steps(1, 20)
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(RunsList(made.path.parent, clock=made.clock))
        await until(pilot, lambda: app.screen.listed)

        async def back() -> None:
            if isinstance(app.screen, Home):
                await app.push_screen(RunsList(made.path.parent, clock=made.clock))
            elif isinstance(app.screen, DashboardScreen) and not app.screen.beside:
                await app.push_screen(Compare(made.run, ()), app.screen._compare)

        await mash(pilot, 3, back)
    assert {path.name for path in made.path.parent.iterdir()} >= {made.path.name, other.path.name}
    made.end()


async def test_the_conversation(made_run: Callable[..., Any]) -> None:
    made = made_run()
    app = ChatApp(made.run, open_talker=Parrot)  # type: ignore[arg-type]
    dice = random.Random(4)
    async with app.run_test(size=(80, 24)) as pilot:
        for _key in range(PRESSED):
            await pilot.press(dice.choice([key for key in KEYS if key not in ("escape", "ctrl+c")]))
            assert app.is_running
        assert app._exception is None
