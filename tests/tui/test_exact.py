"""The wizard's ≈ becomes = once the replay has answered, and ≈ again when a choice changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from finetty.backend.recipe import Recipe, with_values
from finetty.tui.app import FinettyApp
from finetty.tui.exact import ExactFigure
from finetty.tui.screens.fit import MakeFit

from .looking import sees
from .wizard_pilot import MACHINE, settled, wizard


async def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 900
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def exact_there(pilot: Pilot[object]) -> None:
    await until(lambda: (plan := wizard(pilot).state.plan) is not None and plan.memory.exact is not None)


async def test_the_figure_becomes_exact_and_is_asked_for_again_when_a_choice_changes(
    tiny_model: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: MACHINE)
    monkeypatch.setattr(ExactFigure, "pause", 0.1)
    recipe = with_values(Recipe(), {"model.path": str(tiny_model), "dataset.train": [{"path": str(tiny_data)}]})
    app = FinettyApp(recipe, "new")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await sees(pilot, "≈")
        await exact_there(pilot)
        await settled(pilot)
        await sees(pilot, "= ")
        before = wizard(pilot).state.plan
        wizard(pilot).take("method.rank", 64)
        assert wizard(pilot).state.plan.memory.exact is None
        await exact_there(pilot)
        after = wizard(pilot).state.plan
        assert before is not None and after is not None
        assert after.memory.exact.components["adapter"] > before.memory.exact.components["adapter"]
        wizard(pilot).take("method.rank", 32)
        warm = wizard(pilot).exact.replays._process
        assert warm is not None and warm.poll() is None
    assert warm.poll() is not None


async def test_what_a_change_saves_becomes_exact_and_is_not_asked_for_any_longer_than_the_list_stands(
    tiny_model: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    little = replace(MACHINE, ram_total=1 << 30, ram_available=900 << 20)
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: little)
    monkeypatch.setattr(ExactFigure, "pause", 1000)  # only the list asks
    asked = {"training.batch": 512, "training.micro_batch": 512, "training.gradient_checkpointing": False}
    model = {"model.path": str(tiny_model), "dataset.train": [{"path": str(tiny_data)}]}
    app = FinettyApp(with_values(Recipe(), asked | model), "new")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("f3")
        await settled(pilot)
        dialog = app.screen
        assert isinstance(dialog, MakeFit)
        await sees(pilot, "≈ −")
        await until(lambda: {0, 1} <= set(dialog.prices.peaks))
        await settled(pilot)
        await sees(pilot, "= −")
        saved = dialog.prices.peaks[0] - dialog.prices.peaks[1]
        assert dialog.changes is not None and saved == pytest.approx(dialog.changes[0].saved, rel=0.2)
        await pilot.press("escape")
        assert app.screen is wizard(pilot)
        assert dialog.prices._running is None
