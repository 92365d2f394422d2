"""The log's search: what is found is marked and counted, and gone through line by line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.tui.test_dashboard import SIZES, opened, quick_and_still
from textual.widgets import Input

from finetty.tui.widgets import console
from finetty.tui.widgets.console import ConsolePanel

from .looking import sees, shown, until

Make = Callable[..., Any]
__all__ = ["quick_and_still"]


def lines_of(numbers: range) -> str:
    return "".join(f"line {number} of the libraries\n" for number in numbers)


def marked(pilot: Any) -> list[tuple[str, bool]]:
    """What is marked on the screen, from above, and whether it is in the line that was gone to."""
    strips = pilot.app.screen._compositor.render_strips()
    segments = [segment for strip in strips for segment in strip if segment.style and segment.text.strip()]
    return [
        (segment.text, bool(segment.style.reverse))
        for segment in segments
        if segment.style.bold and (segment.style.underline or segment.style.reverse)
    ]


async def at(pilot: Any, text: str) -> None:
    """Wait until the line that was gone to holds this."""
    panel = pilot.app.screen.query_one(ConsolePanel)
    await until(pilot, lambda: panel.log_view.at is not None and text in panel.log_view.lines[panel.log_view.at])


@pytest.mark.parametrize("size", SIZES)
async def test_the_newest_match_comes_first_and_the_keys_go_round(made_run: Make, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(40)
    made.run.console_path.write_text(lines_of(range(300)))
    async with opened(made, size) as pilot:
        await pilot.press("l")
        await sees(pilot, "line 299")
        await pilot.press("slash", *"LINE 77")
        await at(pilot, "line 77 ")
        await sees(pilot, "1 of 1 lines")
        assert marked(pilot) == [("line 77", True)]
        for _ in range(4):
            await pilot.press("backspace")
        await pilot.press(*" 1", "enter")  # now "LIN 1", which no line holds
        await sees(pilot, "no line holds it")
        await pilot.press("slash", *["backspace"] * 6, *"29 of", "enter")
        await at(pilot, "line 229 ")
        await sees(pilot, "3 of 3 lines")
        for key, line in (("n", "29"), ("n", "129"), ("n", "229"), ("N", "129"), ("N", "29"), ("N", "229")):
            await pilot.press(key)
            await at(pilot, f"line {line} of")
            await sees(pilot, f"line {line} of")
        await pilot.press("escape")
        await until(pilot, lambda: not pilot.app.screen.query_one("#search", Input).display)
        assert marked(pilot) == []
    made.end()


async def test_what_comes_is_counted_and_old_lines_go(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "KEPT_LINES", 50)
    made = made_run()
    made.train(40)
    made.run.console_path.write_text(lines_of(range(100, 140)))
    async with opened(made, (120, 40)) as pilot:
        await pilot.press("l", "slash", *"0 of", "enter")
        await sees(pilot, "4 of 4 lines")
        await at(pilot, "line 130")
        with made.run.console_path.open("a") as log:
            log.write(lines_of(range(140, 165)))
        await sees(pilot, "2 of 5 lines")  # 100 and 110 are gone
        await at(pilot, "line 130")
        with made.run.console_path.open("a") as log:
            log.write(lines_of(range(165, 205)))
        await sees(pilot, "0 of 5 lines")
        await pilot.press("n")
        await at(pilot, "line 160")
    made.end()


@pytest.mark.parametrize("wanted", ["[bold]", "(a+", ".*", "\\d", "什么"])
async def test_signs_of_markup_and_patterns_are_text(made_run: Make, wanted: str) -> None:
    made = made_run()
    made.train(40)
    made.run.console_path.write_text("[bold]x[/bold]\n(a+b)\n.* all\n\\d digits\n\x1b[31m什么红\x1b[0m\n[/]\nplain\n")
    async with opened(made, (120, 40)) as pilot:
        await pilot.press("l", "slash")
        pilot.app.screen.query_one("#search", Input).value = wanted
        await sees(pilot, "1 of 1 lines")
        assert marked(pilot) == [(wanted, True)]
        assert "\x1b" not in shown(pilot.app)
    made.end()


async def test_a_match_far_to_the_right_is_brought_into_sight(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.run.console_path.write_text("x" * 400 + " needle\n")
    async with opened(made) as pilot:
        await pilot.press("l", "slash", *"needle")
        await until(pilot, lambda: ("needle", True) in marked(pilot))
    made.end()


async def test_the_keys_of_matches_are_there_while_there_are_matches(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.run.console_path.write_text(lines_of(range(9)))
    async with opened(made) as pilot:
        screen = pilot.app.screen
        assert not screen.check_action("next_match", ())
        await pilot.press("l", "slash", *"line", "enter")
        await until(pilot, lambda: screen.check_action("next_match", ()))
        await pilot.press("escape")
        await until(pilot, lambda: not screen.check_action("next_match", ()))
    made.end()
