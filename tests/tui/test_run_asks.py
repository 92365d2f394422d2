"""A run that ran out of memory asks on every dashboard that looks at it, and takes an answer from any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.tui.test_dashboard import SIZES, answer, commands, opened
from textual.widgets import OptionList

from finetty.backend.machine.host import HostReading
from finetty.backend.runs import Run
from finetty.backend.training.journal import Journal
from finetty.backend.training.out_of_memory import CHOOSE, STAGES
from finetty.tui import language
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.screens import dialogs, following
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.run_asks import RunAsks
from finetty.tui.watch import Watch
from finetty.tui.widgets.keybar import KeyBar

from .looking import sees, shown, until
from .mashing import COUNTS, strike, struck

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick_and_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(dialogs, "SETTLED", 0.001)
    monkeypatch.setattr(Watch, "_resident", lambda _self, _status: 1_900_000_000)
    monkeypatch.setattr(
        Watch, "_look_at_host", lambda _self, _status: HostReading(0.87, 12_900_000_000, 16_000_000_000)
    )
    monkeypatch.delenv("FINETTY_ASCII", raising=False)


def asks(made: Any) -> None:
    """What the trainer writes when memory runs out in a step."""
    journal = Journal(Run.open(made.path))
    advice = CHOOSE(minutes=30, run=made.run.id, rows=2)
    choices = ("shrink", "stop-and-save", "stop")
    journal.alert(
        "warning", STAGES["running"](), advice, option="training.micro_batch", choices=choices, rows=2,
        until=made.now + 1800,
    )  # fmt: skip
    journal.log.close()
    made.state("paused")


def goes_on(made: Any) -> None:
    made.state("running")


def asked(app: Any) -> bool:
    return isinstance(app.screen, RunAsks) and "Esc" in shown(app)


@pytest.mark.parametrize(("letter", "command"), [("g", "shrink"), ("s", "stop-and-save"), ("x", "stop")])
@pytest.mark.parametrize("owner", [True, False])
async def test_a_letter_marks_and_enter_answers(made_run: Make, letter: str, command: str, owner: bool) -> None:
    made = made_run()
    made.train(40)
    async with opened(made, owner=owner) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        text = shown(pilot.app)
        for words in ("Memory ran out in training.", "held at step 40", "until 20:58", "Go on, 2 rows at once"):
            assert words in text, words
        await pilot.press(letter)
        assert asked(pilot.app)
        assert commands(made) == []
        await pilot.pause(0.01)
        await pilot.press("enter")
        await until(pilot, lambda: commands(made) == [command])
        answer(made)
        goes_on(made)
        await until(pilot, lambda: pilot.app.screen.view.question is None)
        assert isinstance(pilot.app.screen, DashboardScreen)
    made.end()


async def test_no_key_in_passing_answers(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        await pilot.press(
            "enter", "space", "g", "enter", "down", "enter", "s", "enter", "x", "enter", "p", "c", "d", "q", "y"
        )
        assert asked(pilot.app)
        assert commands(made) == []
        await pilot.press("escape", "p", "g", "enter", "s", "escape", "x", "escape")
        assert commands(made) == []
        assert pilot.app.return_value is None
    made.end()


async def test_a_key_that_closed_a_help_above_answers_nothing(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        for key in ("s", "f1", "f1", "enter"):
            strike(pilot.app, key)
            await pilot.pause(0)
        await pilot.pause()
        assert asked(pilot.app)
        assert commands(made) == []
    made.end()


@pytest.mark.parametrize("count", COUNTS)
async def test_mashed_keys_answer_nothing(made_run: Make, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    made = made_run()
    made.train(40)
    keys = [*"apcxsgqzfmnNly/", "enter", "escape", "up", "down", "space", "tab", "f1", "f2", "backspace"]
    async with opened(made) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        async for _key in struck(pilot, keys, count, seed=5):
            assert pilot.app.return_value is None
        assert set(commands(made)) <= {"checkpoint"}
    made.end()


async def test_enter_alone_takes_nothing(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        assert pilot.app.screen.query_one(OptionList).highlighted is None
        await pilot.pause(0.01)
        await pilot.press("enter")
        await pilot.pause(0.05)
        assert asked(pilot.app)
        assert commands(made) == []
    made.end()


async def test_left_with_escape_it_waits_and_comes_back_by_its_key(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        assert "Answer" not in pilot.app.screen.query_one(KeyBar).render().plain
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
        await sees(pilot, "it asks: a answers")
        assert pilot.app.screen.query_one(KeyBar).render().plain.startswith("a Answer")
        seen = pilot.app.screen.view
        await until(pilot, lambda: pilot.app.screen.view is not seen)
        assert not asked(pilot.app)
        for key in ("a", "p"):  # to go on would be an answer, so that key asks too
            await pilot.press(key)
            await until(pilot, lambda: asked(pilot.app))
            await pilot.press("escape")
            await until(pilot, lambda: not asked(pilot.app))
        assert commands(made) == []
    made.end()


async def test_it_goes_when_somebody_else_has_answered(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    asks(made)
    async with DashboardApp(made.run, owner=False, clock=made.clock).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(pilot.app))
        goes_on(made)
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
        assert commands(made) == []
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        made.end()
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
        await sees(pilot, "crashed")


async def test_what_lies_over_it_stays_when_somebody_else_has_answered(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        dashboard, over = pilot.app.screen_stack[1], dialogs.Question(lambda: ("Over it", "", "Yes"))
        assert isinstance(dashboard, DashboardScreen)
        pilot.app.push_screen(over)
        goes_on(made)
        await until(pilot, lambda: dashboard.view is not None and dashboard.view.question is None)
        await pilot.pause()
        assert pilot.app.screen is over
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is dashboard)
    made.end()


async def test_it_waits_behind_another_question(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press("q")
        asks(made)
        dashboard = pilot.app.screen_stack[-2]
        await until(pilot, lambda: dashboard.view.question is not None)
        assert not asked(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: asked(pilot.app))
    made.end()


async def test_a_question_of_the_past_does_not_come_up(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    asks(made)
    goes_on(made)
    made.steps(41, 44)
    async with opened(made) as pilot:
        assert pilot.app.screen.view.figures.question is None
        assert not asked(pilot.app)
        made.state("paused")
        await sees(pilot, "paused")
        assert not asked(pilot.app)
    made.end()


async def test_it_changes_its_language(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        asks(made)
        await until(pilot, lambda: asked(pilot.app))
        await pilot.app.action_language()
        assert language.language() == "zh_CN"
        await until(pilot, lambda: "显存" in shown(pilot.app) or "内存" in shown(pilot.app))
    made.end()


@pytest.mark.parametrize("size", SIZES)
def test_picture_of_a_run_that_asks(made_run: Make, snap_compare: Any, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(123)
    asks(made)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    assert snap_compare(app, terminal_size=size, run_before=settled_question)
    made.end()


async def settled_question(pilot: Any) -> None:
    await until(pilot, lambda: asked(pilot.app))
    await pilot.pause(0.1)
