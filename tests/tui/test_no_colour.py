"""NO_COLOR: not one colour reaches the terminal, and what has the focus or is chosen is seen all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.segment import Segment
from tests.tui.wizard_pilot import settled
from textual.app import App

from finetty.backend.demo import RECIPE
from finetty.backend.recipe import load_recipe
from finetty.tui.app import FinettyApp
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.wizard import Wizard

from .looking import until


@pytest.fixture(autouse=True)
def no_colour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def drawn(app: App[Any]) -> Iterator[Segment]:
    return (segment for line in app.screen._compositor.render_strips() for segment in line)


def colours(app: App[Any]) -> list[Segment]:
    return [one for one in drawn(app) if one.style and (one.style.color or one.style.bgcolor)]


def reversed_text(app: App[Any]) -> str:
    return "".join(one.text for one in drawn(app) if one.style and one.style.reverse)


async def test_the_wizard_shows_its_focus_without_a_colour() -> None:
    app = FinettyApp(draft=load_recipe(RECIPE), start="new")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        wizard = app.screen
        assert isinstance(wizard, Wizard)
        seen = {}
        for step in ("method", "acceleration", "review"):
            await wizard.open_step(step)
            await settled(pilot)
            assert not colours(app)
            seen[step] = reversed_text(app)
        assert "LoRA" in seen["method"] and "QLoRA" not in seen["method"]
        assert "[auto]" in seen["acceleration"]
        assert "Start" in seen["review"]


async def test_the_dashboard_and_its_questions_have_no_colour(made_run: Callable[..., Any]) -> None:
    made = made_run()
    made.train(123)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen) and app.screen.view is not None)
        assert not colours(app)
        await pilot.press("q")
        await pilot.pause()
        assert not colours(app)
        assert "Detach" in reversed_text(app), "the highlighted answer"
    made.end()
