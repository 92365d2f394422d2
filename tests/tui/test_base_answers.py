"""The base model's answers before training: three rows, streamed, stopped, and never in the way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.tui.parrot import Parrot

from finetty.backend.conversation import Row, Turn
from finetty.tui import language
from finetty.tui.app import FinettyApp
from finetty.tui.base_answers import rows_from
from finetty.tui.screens.base_answers import BaseAnswers

from .looking import sees, shown

ROWS = [
    Row((Turn("user", "What is a [bold]rank[/]?"), Turn("assistant", "How much the adapter holds."))),
    Row((Turn("system", "Be kind."), Turn("user", "什么是学习率？"), Turn("assistant", "一步走多远。"))),
    Row((Turn("assistant", "The sea is blue, and the night is black."),)),
    Row((Turn("user", "A fourth?"), Turn("assistant", "Yes."))),
]


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


async def opened(pilot: Any, at: int = 0) -> BaseAnswers:
    screen = BaseAnswers("plan", ROWS, at, open_talker=Parrot)  # type: ignore[arg-type]
    await pilot.app.push_screen(screen)
    await pilot.pause()
    return screen


def test_three_rows_and_no_row_twice() -> None:
    assert rows_from(10, 8) == [8, 9, 0]
    assert rows_from(2, 1) == [1, 0]
    assert rows_from(1, 0) == [0]


async def test_three_rows_are_answered_one_after_the_other() -> None:
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await sees(pilot, "Loading the model")
        assert Parrot.last.asked == []
        await sees(pilot, "What is a [bold]rank[/]?", "How much the adapter holds.")
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        assert Parrot.last.asked[-1]["turns"] == [["user", "What is a [bold]rank[/]?", None, [], None, None]]
        assert Parrot.last.asked[-1]["base"] is True
        Parrot.last.answer("A ra", "nk is \x1b[31ma number.")
        await pilot.pause()
        await sees(pilot, "A rank is \\x1b[31ma number.")
        assert [turn[:2] for turn in Parrot.last.asked[-1]["turns"]] == [
            ["system", "Be kind."],
            ["user", "什么是学习率？"],
        ]
        Parrot.last.hear({"id": 2, "problem": {"said": {"id": "x", "values": {}, "text": "No."}, "fix": None}})
        Parrot.last.answer()
        await pilot.pause()
        await sees(pilot, "✗ No.")
        assert Parrot.last.asked[-1]["turns"][0][:2] == ["assistant", "The sea is blue, and"]
        Parrot.last.answer(" the sky")
        await pilot.pause()
        assert len(Parrot.last.asked) == 3


async def test_other_rows_and_leaving_end_what_is_being_written() -> None:
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        Parrot.last.say("half an ans")
        await pilot.pause()
        await pilot.press("n")
        assert Parrot.last.stopped == 1 and screen.places == [3, 0, 1]
        Parrot.last.answer("wer")
        await pilot.pause()
        assert [turn[1] for turn in Parrot.last.asked[-1]["turns"]] == ["A fourth?"]
        Parrot.last.answer("Yes, a fourth.")
        await pilot.pause()
        assert Parrot.last.asked[-1]["turns"][0][1] == "What is a [bold]rank[/]?", "what was stopped is answered anew"
        await pilot.press("escape")
        await pilot.pause()
        assert Parrot.last.closed and app.screen is not screen


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"ended": "exit code 1"}, "The process with the model ended: exit code 1"),
        ({"problem": {"said": {"id": "y", "values": {}, "text": "Too large."}, "fix": None}}, "✗ Too large."),
    ],
)
async def test_a_model_that_cannot_answer_says_why(said: dict[str, Any], expected: str) -> None:
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        Parrot.last.hear(said)
        if "problem" in said:
            Parrot.last.hear({"ended": "exit code 0"})
        await pilot.pause()
        await sees(pilot, expected)


async def test_a_process_that_dies_is_said_and_can_be_asked_again() -> None:
    app = FinettyApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, first = await opened(pilot), Parrot.last
        await pilot.press("r")
        assert Parrot.last is first, "there is nothing to ask again yet"
        first.hear({"ready": True})
        await pilot.pause()
        first.say("A rank is")
        first.hear({"ended": "the system ended it"})
        await pilot.pause()
        assert "▌" not in shown(pilot), "nobody is writing"
        await sees(pilot, "the system ended it  r asks again.")
        await pilot.press("r")
        second = Parrot.last
        assert first.closed and second is not first
        assert "asks again" not in shown(pilot)
        second.hear({"ready": True})
        await pilot.pause()
        second.answer("A rank is a number.")
        await pilot.pause()
        await sees(pilot, "A rank is a number.")
        assert screen.done == {0}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("name", ["en", "zh_CN"])
def test_it_looks_as_it_should(name: str, size: tuple[int, int], snap_compare: Any) -> None:
    language.set_language(name)

    async def go(pilot: Any) -> None:
        await opened(pilot)
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        Parrot.last.answer("A rank is a number that is used in many fields of mathematics and of science.")
        await pilot.pause()
        Parrot.last.say("学习率是一个")
        await pilot.pause()

    assert snap_compare(FinettyApp(), terminal_size=size, run_before=go)
