"""Keys mashed at random, by a seed, on every screen that has no such test beside its own: nothing crashes or starts."""

from __future__ import annotations

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
from finetty.tui.screens.wizard import Wizard

from .looking import until
from .mashing import COUNTS, KEYS, struck

pytestmark = pytest.mark.parametrize("count", COUNTS)


@pytest.fixture(autouse=True)
def nothing_may_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TERM", "xterm-256color")


def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "create", lambda *_a, **_k: pytest.fail("a run was started"))


@pytest.mark.parametrize("key", ["ctrl+o", "f4", None], ids=["settings", "preview", "fit"])
async def test_over_the_wizard(key: str | None, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    no_run(monkeypatch)
    over = {"ctrl+o": Settings, "f4": Preview, None: MakeFit}[key]
    app, opened = FinettyApp(draft=load_recipe(RECIPE), start="new"), 0
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)

        async def back() -> None:  # wherever the keys have led
            nonlocal opened
            if not any(isinstance(screen, Wizard) for screen in app.screen_stack):
                await app.open_wizard()
                await settled(pilot)
            if not any(isinstance(screen, over) for screen in app.screen_stack):
                if app.screen is not wizard(pilot):
                    await pilot.press("escape")
                elif key:
                    await pilot.press(key)
                else:
                    await app.push_screen(MakeFit(wizard(pilot)))
            opened += isinstance(app.screen, over)

        async for _key in struck(pilot, KEYS, count, seed=5):
            await back()
        assert app.return_value is None
        assert Draft.kept(draft_path()).recipe.model.path
    assert opened > 10, "what should have been mashed was not open"


@pytest.mark.parametrize(("screen", "seed"), [(Home, 1), (Check, 2)])
async def test_the_first_screen_and_the_machines(
    screen: type[Any], seed: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_run(monkeypatch)
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)

        async def back() -> None:
            if screen is Check and not isinstance(app.screen, Check) and isinstance(app.screen, Home):
                await app.push_screen(Check())

        async for _key in struck(pilot, KEYS, count, seed=seed):
            await back()
        assert app.return_value is None


async def test_the_list_of_runs_and_the_comparison(
    made_run: Callable[..., Any], count: int, monkeypatch: pytest.MonkeyPatch
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

        async for _key in struck(pilot, KEYS, count, seed=3):
            await back()
        assert app.return_value is None
    assert {path.name for path in made.path.parent.iterdir()} >= {made.path.name, other.path.name}
    made.end()


async def test_the_conversation(made_run: Callable[..., Any], count: int) -> None:
    made = made_run()
    app = ChatApp(made.run, open_talker=Parrot)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        async for _key in struck(pilot, [key for key in KEYS if key not in ("escape", "ctrl+c")], count, seed=4):
            pass
