"""The screen that asks which column is which: it opens by itself, by keyboard, beside the row as it will be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import OptionList

from finetty.backend.recipe import Recipe, with_values
from finetty.tui import language
from finetty.tui.app import FinettyApp
from finetty.tui.screens.columns import ColumnsScreen
from finetty.tui.screens.wizard import Wizard

from .looking import sees, shown
from .wizard_pilot import MACHINE, paste, settled, wizard

SMALL, LARGE = (80, 24), (120, 40)
ROWS = [
    {"id": 1, "frage": "Was ist ein Rang?", "thema": "LoRA", "reply": "Wie viel der Adapter fasst."},
    {"id": 2, "frage": "Was ist ein Schritt?", "thema": "", "reply": "Einmal rechnen,\neinmal lernen."},
    {"id": 3, "frage": "[red]\x1b[31m\u202e?", "thema": "x" * 300, "reply": "<|im_end|>"},
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for variable, folder in (("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"), ("HF_HOME", "hub")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setenv("COLORTERM", "truecolor")
    work = tmp_path / "work"
    work.mkdir()
    (work / "fragen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(work)
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: MACHINE)
    monkeypatch.setattr(Wizard, "typing_pause", 0)
    return work


def app_at_data(**file: Any) -> FinettyApp:
    return FinettyApp(draft=with_values(Recipe(), {"dataset.train": [{"path": "fragen.jsonl", **file}]}), start="new")


async def opened(pilot: Any) -> ColumnsScreen:
    """The wizard's step of the data, and from there the screen."""
    await settled(pilot)
    await wizard(pilot).open_step("data")
    await settled(pilot)
    await pilot.press("f8")
    await settled(pilot)
    assert isinstance(pilot.app.screen, ColumnsScreen)
    return pilot.app.screen


async def test_columns_that_are_not_recognised_are_asked_for_and_read() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await wizard(pilot).open_step("data")
        await paste(pilot, "fragen.jsonl")
        await sees(pilot, "F8 says which column is which")
        await pilot.press("enter")
        await settled(pilot)
        screen = app.screen
        assert isinstance(screen, ColumnsScreen)
        await sees(pilot, "Was ist ein Rang?", "LoRA")
        await pilot.press("right")
        assert screen.written == "alpaca"
        await pilot.press("down", "right", "right")
        assert screen.columns["instruction"] == "frage"
        await pilot.press("down", "down", "left")
        await sees(pilot, "user  Was ist ein Rang?")
        await sees(pilot, "assistant  Wie viel der Adapter fasst.")
        await pilot.press("pagedown")
        await sees(pilot, "user  Was ist ein Schritt?", "einmal lernen.")
        await pilot.press("enter")
        await settled(pilot)
        (file,) = wizard(pilot).state.draft.recipe.dataset.train
        assert (file.format, file.columns) == ("alpaca", {"instruction": "frage", "output": "reply"})
        assert wizard(pilot).standing.at == "data" and not wizard(pilot).state.known.data.rows.fault
        await sees(pilot, "alpaca · 3 rows")


async def test_keys_that_come_at_once_act_in_their_order() -> None:
    app = app_at_data()
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot)
        for key in ("right", "down", "right", "right", "down", "down", "left", "enter"):
            app.post_message(events.Key(key, None))
        await settled(pilot)
        assert app.screen is not screen
        (file,) = wizard(pilot).state.draft.recipe.dataset.train
        assert (file.format, file.columns) == ("alpaca", {"instruction": "frage", "output": "reply"})


async def test_esc_leaves_the_columns_as_they_were() -> None:
    columns = {"prompt": "frage", "completion": "reply"}
    app = app_at_data(format="prompt_completion", columns=columns)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot)
        assert screen.written == "prompt_completion" and screen.columns == columns
        await pilot.press("down", "right", "down", "left", "up", "up", "left", "escape")
        await settled(pilot)
        (file,) = wizard(pilot).state.draft.recipe.dataset.train
        assert (file.format, file.columns) == ("prompt_completion", columns)


async def test_a_recognition_that_is_doubted_is_answered_and_given_back(home: Path) -> None:
    rows = [{"instruction": "Q", "context": "C", "output": f"A{number}"} for number in range(3)]
    (home / "fragen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = app_at_data()
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot)
        await sees(pilot, "recognised by itself: instruction and answer")
        assert screen.column("input") == "context"
        await pilot.press("down", "down", "left", "left")
        assert screen.column("input") is None
        assert "user  Q\n" in shown(pilot).replace(" " * 10, "") or screen.example.row.turns[0].content == "Q"  # type: ignore[union-attr]
        await pilot.press("enter")
        await settled(pilot)
        (file,) = wizard(pilot).state.draft.recipe.dataset.train
        assert file.columns["input"] is None
        screen = await opened(pilot)
        while screen.file.format != "auto":
            await pilot.press("left")
        await pilot.press("enter")
        await settled(pilot)
        (file,) = wizard(pilot).state.draft.recipe.dataset.train
        assert (file.format, file.columns) == ("auto", {})


async def test_strange_values_are_shown_as_text_and_the_lines_stay_whole() -> None:
    app = app_at_data(columns={"instruction": "frage", "output": "reply"})
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("pagedown", "pagedown")
        await sees(pilot, "[red]\\x1b[31m\\u202e?")
        assert "\x1b" not in shown(pilot) and "\u202e" not in shown(pilot)
        assert all(len(line) <= 80 for line in shown(pilot).splitlines())


async def test_several_files_are_answered_one_by_one(home: Path) -> None:
    (home / "talk.jsonl").write_text(
        json.dumps({"log": [{"who": "customer", "says": "Q"}, {"who": "agent", "says": "A"}]})
    )
    files = [{"path": "fragen.jsonl", "columns": {"instruction": "frage", "output": "reply"}}, {"path": "talk.jsonl"}]
    app = FinettyApp(draft=with_values(Recipe(), {"dataset.train": files}), start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await wizard(pilot).open_step("data")
        await settled(pilot)
        await pilot.press("down", "down", "f8")
        await settled(pilot)
        screen = app.screen
        assert isinstance(screen, ColumnsScreen)
        assert screen.index == 1, "the second file is the one at fault"
        parts = screen.query_one("#parts", OptionList)
        await pilot.press("right", "right", "right")
        assert screen.written == "messages"
        for line, name in (("messages", "log"), ("role", "who"), ("content", "says"), ("user", "customer")):
            parts.highlighted = screen.lines.index(line)
            while screen.column(line) != name:
                await pilot.press("right")
        parts.highlighted = screen.lines.index("assistant")
        await pilot.press("left")
        await sees(pilot, "user  Q", "assistant  A")
        parts.highlighted = 0
        await pilot.press("right")
        await settled(pilot)
        assert screen.index == 0
        await sees(pilot, "Was ist ein Rang?")
        await pilot.press("enter")
        await settled(pilot)
        first, second = wizard(pilot).state.draft.recipe.dataset.train
        assert first.columns == {"instruction": "frage", "output": "reply"}
        named = {"messages": "log", "role": "who", "content": "says", "user": "customer", "assistant": "agent"}
        assert (second.format, second.columns) == ("messages", named)
        assert len(wizard(pilot).state.known.data.rows.rows.rows) == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
@pytest.mark.parametrize("name", ["en", "zh_CN"])
def test_it_looks_as_it_should(name: str, size: tuple[int, int], snap_compare: Any) -> None:
    language.set_language(name)
    app = app_at_data(columns={"instruction": "frage", "output": "reply"})

    async def go(pilot: Any) -> None:
        await opened(pilot)
        await pilot.press("down")

    assert snap_compare(app, terminal_size=size, run_before=go)
