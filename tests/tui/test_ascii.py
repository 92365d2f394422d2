"""ASCII mode: asked for or forced by the locale, and no other character on any screen of the app in English."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tui.wizard_pilot import settled

from finetty.backend.demo import RECIPE
from finetty.backend.recipe import load_recipe
from finetty.tui.app import FinettyApp
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.text import ascii_only

from .looking import sees, shown, until

SIZES = [(80, 24), (120, 40)]
WIZARD = (["enter"], ["enter"], ["enter"], ["enter"], ["enter"], ["ctrl+o"], ["escape", "f4"])
"""The keys from the step of the model through all others to the settings and the preview."""
OVER_ANY = (["f1"], ["escape", "ctrl+p"], ["escape"])
NAME = "中文"
"""What stands on the key of the language, in its own language."""


@pytest.fixture(autouse=True)
def in_ascii(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINETTY_ASCII", "1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"LANG": "zh_CN.UTF-8"}, False),
        ({"LANG": "C.utf8"}, False),
        ({"LANG": "en_US.ISO-8859-1"}, True),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
        ({"FINETTY_ASCII": "1", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_the_locale_decides_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: bool
) -> None:
    for name in ("FINETTY_ASCII", "LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ascii_only() is wanted


async def walk(pilot: Any, *walks: tuple[list[str], ...]) -> None:
    """Go on by these keys; on each screen everything that is drawn is ASCII."""
    for keys in (key for one in walks for key in one):
        check(pilot.app)
        await pilot.press(*keys)
        await (pilot.pause(0.1) if isinstance(pilot.app, DashboardApp) else settled(pilot))
    check(pilot.app)


def check(app: Any) -> None:
    text = shown(app).replace(NAME, "")
    strange = {character for character in text if not character.isascii()}
    assert not strange, (app.screen, strange, next(line for line in text.splitlines() if not line.isascii()))
    assert text.strip()


@pytest.mark.parametrize("size", SIZES)
async def test_the_wizard_and_all_that_opens_over_it(size: tuple[int, int]) -> None:
    app = FinettyApp(draft=load_recipe(RECIPE), start="demo")
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        await walk(pilot, WIZARD, OVER_ANY)


@pytest.mark.parametrize("key", ["c", "w"])
async def test_the_first_screen_and_those_behind_it(key: str) -> None:
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("escape")
        await settled(pilot)
        await walk(pilot, ([key],), OVER_ANY)


@pytest.mark.parametrize("size", [*SIZES, (200, 60)])
async def test_the_dashboard_and_all_that_opens_over_it(made_run: Callable[..., Any], size: tuple[int, int]) -> None:
    made = made_run()
    made.begin()
    made.state("running")
    made.steps(1, 80)
    made.held_out(80)
    made.gpu(0, throttling=["power"], others=[{"pid": 4, "used": 3 << 30}])
    made.alert("warning", "The gradient norm jumped.", "Take less.")
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen) and app.screen.view is not None)
        await sees(pilot, "o held-out")
        keys = (["plus"], ["left"], ["u"], ["tab"], ["tab"], ["tab"], ["f"], ["f", "q"], ["escape", "o"], ["escape"])
        await walk(pilot, keys, OVER_ANY)
    made.end()
