"""The dashboard on runs made by hand: what it shows, what its keys leave in the run's folder, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, Log

from finetty.backend.machine.host import HostReading
from finetty.tui.actions import actions
from finetty.tui.app import FinettyApp
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.holder import Holder
from finetty.tui.screens import choose, dialogs, following, runs_list, steering
from finetty.tui.screens.compare import MOST_BESIDE
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.following import ConsoleGrew, Polled, RunGone
from finetty.tui.screens.runs_list import RunsList
from finetty.tui.screens.settings import Settings
from finetty.tui.styles import STYLES
from finetty.tui.watch import Watch
from finetty.tui.widgets.chart import Chart
from finetty.tui.widgets.field import control_id
from finetty.tui.widgets.keybar import KeyBar

from .looking import sees, shown, until

Make = Callable[..., Any]
SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.fixture(autouse=True)
def quick_and_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The run is looked at all the time, questions take their answer at once, and memory is what it always is."""
    monkeypatch.setattr(following, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(dialogs, "SETTLED", 0.001)
    monkeypatch.setattr(Watch, "_resident", lambda _self, _status: 1_900_000_000)
    monkeypatch.setattr(
        Watch, "_look_at_host", lambda _self, _status: HostReading(0.87, 12_900_000_000, 16_000_000_000)
    )
    monkeypatch.delenv("FINETTY_ASCII", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


@asynccontextmanager
async def opened(made: Any, size: tuple[int, int] = (80, 24), *, owner: bool = True) -> AsyncIterator[Pilot[Any]]:
    app = DashboardApp(made.run, owner=owner, clock=made.clock)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen) and app.screen.view is not None)
        await until(pilot, lambda: app.screen.query_one("#state").render().plain)
        yield pilot


def commands(made: Any) -> list[str]:
    """The names of the commands in the run's inbox, oldest first."""
    return [json.loads(path.read_bytes())["name"] for path in sorted(made.run.commands_path.glob("*.json"))]


def answer(made: Any, result: str = "done", **values: Any) -> None:
    path = next(made.run.commands_path.glob("*.json"))
    made.event("command", id=path.stem.rpartition("-")[2], name="x", result=result, **values)
    path.unlink()


# Messages


async def test_the_run_comes_as_messages_and_the_newest_is_enough(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        seen: list[object] = []
        screen = pilot.app.screen
        original = screen.post_message
        screen.post_message = lambda message: (seen.append(message), original(message))[1]  # type: ignore[method-assign]
        made.steps(41, 42)
        made.run.console_path.write_text("x\n" * 40)
        await until(pilot, lambda: any(isinstance(one, ConsoleGrew) for one in seen))
        await until(pilot, lambda: any(isinstance(one, Polled) and one.view.step == 42 for one in seen))
        polled = [one for one in seen if isinstance(one, Polled)]
        assert polled[-1].can_replace(polled[0])
        assert not ConsoleGrew([]).can_replace(polled[0])
        made.run.status_path.unlink()
        await until(pilot, lambda: any(isinstance(one, RunGone) for one in seen))
        await sees(pilot, "status cannot be read")
    made.end()


@pytest.mark.parametrize("size", SIZES)
async def test_everything_is_said(made_run: Make, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(123)
    async with opened(made, size) as pilot:
        await sees(pilot, "What does the learning rate do?")
        text = shown(pilot.app)
        for expected in (
            "▶ running", "helper", "step 123 of 300", "41%", "5m 54s left", "done at 20:36", "held-out loss",
            "at first 3.9000", "best held-out", "step 120",
            "learning rate", "gradient norm", "tokens/s", "4m 15s", "2s a step", "6s ago",
            "processors", "87%", "12.0 GB RAM free",
            "memory peak", "1.8 GB", "foreseen ≈ 2.0 GB", "smoothed", "◆", "Alerts (1)", "Checkpoint",
        ):  # fmt: skip
            assert expected in text, expected
        assert "…" not in text
    made.end()


async def test_the_curve_moves_and_only_every_other_second(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        chart = pilot.app.screen.query_one("#chart", Chart)
        await until(pilot, lambda: "smoothed" in chart.render_line(0).text)
        legend = chart.render_line(0).text
        screen = pilot.app.screen
        made.steps(41, 41, seconds=1.0)
        await until(pilot, lambda: screen.view.step == 41)
        assert chart.render_line(0).text == legend
        made.steps(42, 42, seconds=1.0)
        await until(pilot, lambda: chart.render_line(0).text != legend)
    made.end()


async def test_loading_says_what_it_does(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.state("loading")
    made.now += 7
    async with opened(made) as pilot:
        await sees(pilot, "Loading the libraries, the model and the data.  7s")
        made.state("preflight")
        await sees(pilot, "Trying the longest rows")
        made.state("running")
        made.steps(1, 3)
        await sees(pilot, "each step")
    made.end()


@pytest.mark.parametrize("size", SIZES)
async def test_silence_is_shown(made_run: Make, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(40)
    async with opened(made, size) as pilot:
        assert "no event" not in shown(pilot.app)
        made.now += 130
        await sees(pilot, "no event for 2m 10s")
    made.end()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cards", [1, 8])
async def test_cards_are_watched(made_run: Make, size: tuple[int, int], cards: int) -> None:
    made = made_run()
    made.train(40)
    for index in range(cards):
        made.gpu(index)
    made.gpu(0, throttling=["power", "heat"], others=[{"pid": 4, "used": 3 << 30}])
    async with opened(made, size) as pilot:
        await sees(pilot, "97%  ")
        await pilot.press("tab", "tab", "tab", "f")
        await sees(pilot, "slowed by heat")
        text = shown(pilot.app)
        assert "20.0 of 24.0 GB  312 of 450 W  64°C" in text
        assert "slowed by heat  1 other process (3.0 GB)" in text
        assert text.count("312 of 450 W") == cards
        assert "N/A" not in text
        made.gpu(0, lost=True, used=None, utilisation=None, power=None, temperature=None)
        await sees(pilot, "N/A: it does not answer any more")
        await pilot.press("f")
        await sees(pilot, "1 lost")
    made.end()


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([{"pid": 4, "used": 1 << 30, "user": "alice", "command": "python train.py"}], "alice: python train.py 1.0 GB"),
        ([{"pid": 4, "used": 1 << 30, "user": "bob", "command": None}], "bob: not readable by this user 1.0 GB"),
        ([{"pid": 4, "used": 1 << 30, "user": "eve", "command": "x\x1b[31m"}], "eve: x\\x1b[31m 1.0 GB"),
        (
            [{"pid": pid, "used": 1 << 30, "user": "alice", "command": "python train.py"} for pid in range(4, 16)],
            "12 other processes (12.0 GB)",
        ),
    ],
)
async def test_who_else_computes_on_a_card_is_named_where_there_is_room(
    made_run: Make, others: list[dict[str, Any]], said: str
) -> None:
    made = made_run()
    made.train(40)
    made.gpu(0, others=others)
    async with opened(made) as pilot:
        await pilot.press("tab", "tab", "tab", "f")
        await sees(pilot, said)
    made.end()


async def test_what_a_card_does_not_say_is_not_applicable(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.gpu(0, used=None, utilisation=None, power=None, temperature=None, throttling=None, others=None, process=None)
    async with opened(made) as pilot:
        await pilot.press("shift+tab", "shift+tab")
        await sees(pilot, "N/A of 24.0 GB  N/A W  N/A °C")
        await sees(pilot, "this card, its driver or this container does not say")
        made.now += 45
        await sees(pilot, "45s ago")
    made.end()


async def test_without_a_card_there_is_no_panel_of_cards(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made, (200, 60)) as pilot:
        assert "Cards" not in shown(pilot.app)
        await pilot.press("tab", "tab", "tab")
        assert pilot.app.screen.active == "console"
    made.end()


async def test_what_a_model_says_is_text(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    nasty = "[bold red]x[/] [@click=app.quit]y[/] \x1b[31mred \x1b]0;title\x07 \u202eabc [/unclosed"
    made.samples(0, ("[b]why?[/b]", nasty))
    made.alert("error", "[link=x]alert[/link] \x1b[2J", "[/]")
    made.run.console_path.write_text("[bold]log[/bold] \x9b31m\n")
    made.status(name="[reverse]name[/reverse]\x1b[H")
    async with opened(made, (200, 60)) as pilot:
        await sees(pilot, "[b]why?[/b]")
        await sees(pilot, "[bold]log[/bold]")
        text = shown(pilot.app)
        assert "\x1b" not in text and "\u202e" not in text and "\x9b" not in text
        for written in ("[@click=app.quit]y[/]", "\\x1b[31mred", "\\u202eabc", "[link=x]alert[/link]", "\\x1b[2J"):
            assert written in text, written
        assert "[reverse]name[/reverse]" in text
    made.end()


# Keys


@pytest.mark.parametrize(
    ("keys", "command", "words"),
    [
        (["p"], "pause", "Paused: p goes on."),
        (["c"], "checkpoint", "The checkpoint is written."),
        (["s", "y"], "stop-and-save", "Stopping and saving."),
        (["x", "y"], "stop", "Stopping; nothing is saved."),
        (["q", "s"], "stop-and-save", "Stopping and saving."),
        (["ctrl+c", "s"], "stop-and-save", "Stopping and saving."),
    ],
)
async def test_a_key_is_a_command_and_its_answer_is_shown(
    made_run: Make, keys: list[str], command: str, words: str
) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press(*keys)
        await until(pilot, lambda: commands(made) == [command])
        await sees(pilot, "Asked:")
        answer(made)
        await sees(pilot, words)
        made.now += 11
        await until(pilot, lambda: words not in shown(pilot.app))
    made.end()


async def test_a_paused_run_goes_on_with_the_same_key(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.state("paused")
    async with opened(made) as pilot:
        await sees(pilot, "‖ paused")
        await pilot.press("p")
        await until(pilot, lambda: commands(made) == ["resume"])
    made.end()


async def test_where_no_command_can_be_left_a_signal_is_offered(
    made_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_run()
    made.train(40)
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(steering.os, "kill", lambda pid, number: signals.append((pid, number)))
    shutil.rmtree(made.run.commands_path, ignore_errors=True)
    made.run.commands_path.write_text("")
    async with opened(made) as pilot:
        await pilot.press("c")
        await sees(pilot, "could not be left in the run's inbox")
        await pilot.press("s", "y")
        await sees(pilot, "Send SIGTERM")
        await pilot.press("escape", "s", "y")
        await sees(pilot, "Send SIGTERM")
        assert not signals
        await pilot.press("y")
        await until(pilot, lambda: signals == [(os.getpid(), signal.SIGTERM)])
        await sees(pilot, "Asked: stop and save")
    made.end()


async def test_an_error_is_shown_and_a_command_without_answer_is_taken_back(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: commands(made) == ["checkpoint"])
        answer(made, "error", reason="the disk is full")
        await sees(pilot, "the disk is full")
        await pilot.press("c")
        await until(pilot, lambda: commands(made) == ["checkpoint"])
        made.now += 31
        await sees(pilot, "No answer to: write a checkpoint")
        assert commands(made) == []
    made.end()


async def test_every_command_is_answered_also_one_that_takes_its_time(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: commands(made) == ["checkpoint"])
        [asked] = made.run.commands_path.glob("*.json")
        asked.unlink()  # it was taken, and a step is long
        made.now += 31
        await pilot.press("p")
        await until(pilot, lambda: commands(made) == ["pause"])
        answer(made)
        await sees(pilot, "Paused: p goes on.")
        made.event("command", id=asked.stem.rpartition("-")[2], name="checkpoint", result="done")
        await sees(pilot, "The checkpoint is written.")
        assert not pilot.app.screen.sent
    made.end()


@pytest.mark.parametrize("keys", [["s", "escape"], ["x", "n"], ["q", "escape"], ["q", "g"], ["s", "enter", "escape"]])
async def test_going_back_from_a_question_leaves_the_run_alone(made_run: Make, keys: list[str]) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
        assert commands(made) == []
        assert pilot.app.return_value is None
    made.end()


async def test_a_key_on_its_way_answers_no_question(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press("q", "s", "d", "enter")
        assert isinstance(pilot.app.screen, choose.Choose)
        assert commands(made) == []
    made.end()


@pytest.mark.parametrize("keys", [["d"], ["q", "d"], ["ctrl+c", "enter"]])
async def test_detaching_leaves_the_run_alone(made_run: Make, keys: list[str]) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press(*keys)
        await until(pilot, lambda: pilot.app.return_value is not None)
        assert pilot.app.return_value == "detach"
        assert commands(made) == []
    made.end()


async def test_panels_are_reached_by_keys(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        screen = pilot.app.screen
        seen = []
        for _ in range(4):
            seen.append(screen.active)
            await pilot.press("tab")
        assert seen == ["chart", "samples", "alerts", "console"]
        assert screen.active == "chart"
        await pilot.press("shift+tab")
        assert screen.active == "console"
        await pilot.press("f")
        await until(pilot, lambda: screen.query_one("#log", Log).size.height > 15)
        assert "each step" not in shown(pilot.app)
        await pilot.press("escape")
        await sees(pilot, "each step")
    made.end()


@pytest.mark.parametrize("size", SIZES)
async def test_the_panels_fold_and_open_again(made_run: Make, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(40)
    async with opened(made, size) as pilot:
        screen = pilot.app.screen
        await sees(pilot, "before, step 0")
        height = screen.query_one("#chart").size.height
        await pilot.press("tab", "z")
        await until(pilot, lambda: "before, step 0" not in shown(pilot.app))
        assert screen.query_one("#chart").size.height > height
        assert screen.active == "chart"
        await sees(pilot, "Samples", "Alerts (1)", "z Fold", "tokens seen")
        await pilot.press("z")
        await sees(pilot, "before, step 0")
        await pilot.press("z", "l")
        await sees(pilot, "A red line.")
        assert not screen.folded
    made.end()


async def test_letters_typed_into_the_search_are_no_commands(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made) as pilot:
        await pilot.press("l", "slash", *"pcsxdq")
        await pilot.pause()
        assert pilot.app.screen.query_one("#search", Input).value == "pcsxdq"
        assert commands(made) == []
        assert pilot.app.return_value is None
    made.end()


async def test_every_action_is_in_the_palette_and_in_help(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    async with opened(made, (120, 60)) as pilot:
        app = pilot.app
        offered = {command.title for command in app.get_system_commands(app.screen)}
        possible = {one.label for one in actions("dashboard") if app.screen.check_action(one.name, ())}
        assert possible <= offered
        assert {"Pause", "Checkpoint", "Stop", "Discard", "Detach"} <= possible
        await pilot.press("f1")
        await sees(pilot, "how surprised the model is")
        await sees(pilot, "Write a checkpoint at the next step.")
    made.end()


async def test_keys_mashed_at_random_do_not_hurt(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    monkeypatch.setattr(following, "SECONDS_BETWEEN_LOOKS", 2.0)
    made = made_run()
    made.train(40)
    dice = random.Random(11)
    keys = [*"pcldgfxsq/", "tab", "shift+tab", "escape", "left", "right", "home", "end", "up", "down", "f1", "enter"]
    async with opened(made) as pilot:
        for _ in range(60):
            await pilot.press(dice.choice([key for key in keys if key != "d"]))
            if pilot.app.return_value is not None:
                break
        assert pilot.app.return_code in (None, 0)
        assert pilot.app._exception is None
    made.end()


async def test_the_language_is_changed_in_place(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.run.console_path.write_text("a line\n")
    async with opened(made) as pilot:
        await pilot.press("l", "f2")
        await until(pilot, lambda: "step" in shown(pilot.app) or "步" in shown(pilot.app))
        await sees(pilot, "a line", "◆")
        assert pilot.app.screen.panel == "console"
    made.end()


# Other runs beside it


def two_others(made_run: Make) -> list[Any]:
    others = [made_run(name="calm"), made_run(name="bold")]
    for other, last in zip(others, (90, 200), strict=True):
        other.begin()
        other.state("running")
        other.steps(1, last)
        other.held_out(last)
        other.end()
    return others


async def test_other_runs_are_drawn_beside_it(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_run()
    made.train(123)
    two_others(made_run)
    async with opened(made, (120, 40)) as pilot:
        await pilot.press("o")
        await sees(pilot, "calm", "bold")
        await pilot.press("space", "down", "enter")
        await until(pilot, lambda: shown(pilot.app).count("✓") == 2)
        await pilot.press("escape")
        await sees(pilot, "b bold", "c calm")
        screen = pilot.app.screen
        chart = screen.query_one("#chart", Chart)
        legend = chart.render_line(1).text
        assert [view.status.name for view in screen.others] == ["bold", "calm"]
        held_out = [view.figures.held_out for view in screen.others]
        assert f"B {held_out[0]:.4g}" in legend and f"C {held_out[1]:.4g}" in legend
        await pilot.press("u")
        await until(pilot, lambda: "by tokens" in chart.render_line(0).text)
        assert "400k" in chart.render_line(chart.size.height - 1).text
        await pilot.press("f2")
        await sees(pilot, "按 token", "b bold")
        await pilot.press("f2", "o")
        await until(pilot, lambda: shown(pilot.app).count("✓") == 2)
        await pilot.press("space", "down", "space", "o")
        await until(pilot, lambda: "b bold" not in shown(pilot.app))
        assert pilot.app.screen.beside == ()
    made.end()


async def test_a_mark_too_many_is_refused_in_words(made_run: Make) -> None:
    made = made_run()
    made.train(2)
    others = [made_run(name=f"other{index}", mark=f"aaa{index}") for index in range(MOST_BESIDE + 1)]
    async with opened(made) as pilot:
        await pilot.press("o")
        await until(pilot, lambda: all(f"other{index}" in shown(pilot.app) for index in range(len(others))))
        await pilot.press(*["space", "down"] * len(others))
        compare = pilot.app.screen
        assert [run.path for run in compare.chosen] == [other.path for other in reversed(others)][:MOST_BESIDE]
        await sees(pilot, f"At most {MOST_BESIDE} runs fit beside this one")
        await pilot.press("home", "space")
        assert "At most" not in shown(pilot.app)
        assert len(compare.chosen) == MOST_BESIDE - 1
    made.end()


async def test_a_run_beside_it_may_be_removed(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    calm, bold = two_others(made_run)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.push_screen(DashboardScreen(made.run, clock=made.clock, beside=[calm.run, bold.run]))
        await sees(pilot, "b calm", "c bold")
        assert app.screen.filled
        shutil.rmtree(calm.path)
        await sees(pilot, "b bold")
    made.end()


async def test_marked_runs_of_the_list_are_compared(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    two_others(made_run)
    app = ListApp(made.path.parent, made.clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, made.run.id)
        await pilot.press("o")
        await until(pilot, lambda: any("Mark two or more runs" in said.message for said in app._notifications))
        await pilot.press("space", "space")
        await until(pilot, lambda: shown(app).count("✓ 2026") == 2)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen) and app.screen.others)
        await until(pilot, lambda: "b " in app.screen.query_one("#chart", Chart).render_line(1).text)
    made.end()


async def test_all_charts_show_the_same_part(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    async with opened(made, (120, 40)) as pilot:
        screen = pilot.app.screen
        chart, small = screen.query_one("#chart", Chart), screen.query_one("#grad-norm", Chart)
        await until(pilot, lambda: chart.span())
        await pilot.press("g", "plus", "left")
        await until(pilot, lambda: small.look.cursor is not None)
        assert (small.look.window, small.look.cursor) == (chart.look.window, chart.look.cursor)
        assert chart.look.log and not small.look.log
        await pilot.press("f2")
        await until(pilot, lambda: screen.whole and screen.query_one("#chart", Chart).look == chart.look)
    made.end()


async def test_smoothing_goes_through_its_strengths(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    async with opened(made) as pilot:
        chart = pilot.app.screen.query_one("#chart", Chart)
        await until(pilot, lambda: "smoothed " in chart.render_line(0).text)
        said = []
        for _ in range(4):
            await pilot.press("m")
            said.append(
                next((word for word in ("much", "little", "smoothed") if word in chart.render_line(0).text), "")
            )
        assert said == ["much", "", "little", "smoothed"]
    made.end()


# Endings


async def test_a_finished_run_says_whether_it_was_worth_it(made_run: Make) -> None:
    made = made_run()
    made.train(300)
    made.finish()
    async with opened(made) as pilot:
        await sees(pilot, "✓ Finished")
        text = shown(pilot.app)
        for expected in (
            "✓ Finished: 300 steps in 10m 09s.", "held-out loss 3.9000 → 0.7216 (-81%)", "loss 3.6422 → ",
            f"finetty chat {made.run.id}", f"finetty attach {made.run.id}", "Setting: learning rate",
        ):  # fmt: skip
            assert expected in text, expected
        assert str(made.run.output) in text.replace("\n", "").replace(" ", "") or made.run.id in text
        keys = pilot.app.screen.query_one(KeyBar).render().plain
        assert "Leave" in keys and "Pause" not in keys
        await pilot.press("p", "c", "s", "x")
        assert commands(made) == []
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.return_value == "ended")


async def test_a_run_that_ends_before_the_eyes(made_run: Make) -> None:
    made = made_run()
    made.train(300)
    async with opened(made) as pilot:
        made.state("saving")
        await sees(pilot, "saving")
        made.finish()
        await sees(pilot, "✓ Finished")
        await sees(pilot, "after, step 300")
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_value == "ended")


async def test_a_failed_run_says_why_and_what_to_do(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    made.alert("error", "The device ran out of memory.", "Take a smaller micro-batch.")
    made.finish("failed")
    async with opened(made) as pilot:
        text = shown(pilot.app)
        assert "✗ Failed at step 123 of 300" in text
        assert "The device ran out of memory. Take a smaller micro-batch." in text
        assert f"finetty resume {made.run.id}   (from step 120)" in text
        assert "finetty chat" not in text


async def test_a_failed_run_leads_back_to_the_answer_at_fault(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    async with opened(made) as pilot:
        await pilot.press("e")
        assert pilot.app.return_value is None
        made.alert("error", "The device ran out of memory.", "Take less.", option="training.micro_batch")
        made.finish("failed")
        await sees(pilot, "e Edit")
        await pilot.press("e")
        await until(pilot, lambda: pilot.app.return_value == "edit")
        assert pilot.app.fault == "training.micro_batch"


async def test_a_viewer_of_a_run_that_is_over_asks_the_holder_for_the_wizard(
    made_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_run()
    made.train(300)
    made.finish()
    heard, talk = os.pipe()
    monkeypatch.setattr(Holder, "_ours", Holder(talk, heard))
    async with opened(made, owner=False) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: pilot.app.return_value == "edit")
    order = json.loads(os.read(heard, 1 << 16))
    os.close(talk)
    os.close(heard)
    assert (order["do"], order["draft"], order["fault"]) == ("wizard", str(made.run.recipe_path), None)


async def test_from_the_list_of_runs_the_answers_open_in_the_same_app(made_run: Make, tmp_path: Path) -> None:
    made = made_run()
    made.train(40)
    made.alert("error", "The loss is lost.", "Take a lower rate.", option="training.learning_rate")
    made.finish("failed")
    app = FinettyApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await app.push_screen(RunsList(made.path.parent, clock=made.clock))
        await sees(pilot, made.run.id)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen) and app.screen.view is not None)
        await sees(pilot, "e Edit")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Settings))
        await until(pilot, lambda: app.focused and app.focused.id == control_id("training.learning_rate"))


async def test_a_crashed_run_says_so_to_a_viewer(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    async with opened(made, owner=False) as pilot:
        made.end()
        await sees(pilot, "✗ crashed", f"resume {made.run.id}")
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_value == "ended")


# The list of runs


class ListApp(App[None]):
    """The list of runs, as the first screen opens it."""

    CSS_PATH = STYLES / "app.tcss"

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__()
        self.root, self.clock = root, clock

    def on_mount(self) -> None:
        self.push_screen(RunsList(self.root, clock=self.clock))


async def test_the_list_of_runs_opens_one(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_list, "SECONDS_BETWEEN_LOOKS", 0.02)
    made = made_run()
    made.train(40)
    app = ListApp(made.path.parent, made.clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, made.run.id)
        await sees(pilot, "▶ running", "40/300", "20:26")
        made.steps(41, 50)
        await sees(pilot, "50/300")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen) and app.screen.view is not None)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, RunsList))
        made.end()
        await sees(pilot, "✗ crashed")


async def test_a_list_without_runs_says_how_to_make_one(made_run: Make, tmp_path: Path) -> None:
    made = made_run()
    app = ListApp(tmp_path / "none", made.clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "finetty demo")


# Pictures


def settled(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    async def settle(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen) and pilot.app.screen.view is not None)
        await until(pilot, lambda: "before, step 0" in shown(pilot.app) or not pilot.app.screen.view.samples)
        await until(pilot, lambda: pilot.app.screen.console_lines or not pilot.app.screen.run.console_path.exists())
        await pilot.press(*keys)
        await pilot.pause(0.1)

    return settle


@pytest.mark.parametrize("size", SIZES)
def test_picture_running(made_run: Make, snap_compare: Any, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(123)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    assert snap_compare(app, terminal_size=size, run_before=settled())
    made.end()


@pytest.mark.parametrize(("size", "cards"), [((80, 24), 1), ((120, 40), 8), ((200, 60), 2)])
def test_picture_of_cards(made_run: Make, snap_compare: Any, size: tuple[int, int], cards: int) -> None:
    made = made_run()
    made.train(123)
    for index in range(cards):
        made.gpu(index, utilisation=90 + index, temperature=60 + index)
    made.gpu(0, throttling=["power"], others=[{"pid": 4, "used": 3 << 30}])
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    assert snap_compare(app, terminal_size=size, run_before=settled("tab", "tab", "tab"))
    made.end()


@pytest.mark.parametrize("size", SIZES[:2])
def test_picture_failed(made_run: Make, snap_compare: Any, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(123)
    made.alert("error", "The device ran out of memory at step 124.", "Take a smaller micro-batch.")
    made.finish("failed")
    assert snap_compare(DashboardApp(made.run, owner=True, clock=made.clock), terminal_size=size, run_before=settled())


@pytest.mark.parametrize("size", SIZES[:2])
def test_picture_loading(made_run: Make, snap_compare: Any, size: tuple[int, int]) -> None:
    made = made_run()
    made.begin()
    made.state("loading")
    made.now += 7
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    assert snap_compare(app, terminal_size=size, run_before=settled())
    made.end()


async def test_ascii_is_ascii(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETTY_ASCII", "1")
    made = made_run()
    made.begin()
    made.state("running")
    made.steps(1, 80)
    made.held_out(80)
    async with opened(made) as pilot:
        await sees(pilot, "o held-out")
        assert shown(pilot.app).isascii()
        await pilot.press("p")
        await sees(pilot, "Asked: pause")
        assert shown(pilot.app).isascii()
    made.end()


def test_picture_in_ascii(made_run: Make, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETTY_ASCII", "1")
    made = made_run()
    made.train(123)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    assert snap_compare(app, terminal_size=(80, 24), run_before=settled())
    made.end()


def test_picture_of_the_question(made_run: Make, snap_compare: Any) -> None:
    made = made_run()
    made.train(123)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    assert snap_compare(app, terminal_size=(80, 24), run_before=settled("q"))
    made.end()
