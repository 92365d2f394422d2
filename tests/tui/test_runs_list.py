"""The list of runs: what waits and where, what is put away, and a run's recipe used again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tui.test_dashboard import ListApp
from textual.widgets import Input

from finetty.backend.recipe import Recipe
from finetty.backend.runs import Run
from finetty.backend.runs.labels import archive, disk_use, labels_of, tag
from finetty.backend.runs.queue import enqueue, waiting
from finetty.tui.app import FinettyApp
from finetty.tui.ending import failure_words, read_story
from finetty.tui.screens import dialogs, runs_list
from finetty.tui.screens.dashboard import DashboardScreen
from finetty.tui.screens.runs_list import RunsList
from finetty.tui.screens.tags import EditTags
from finetty.tui.screens.wizard import Wizard
from finetty.tui.styles import STYLES
from finetty.tui.text import size
from finetty.tui.widgets.runs_table import RunsTable

from .looking import sees, shown, until

Make = Callable[..., Any]


async def test_a_waiting_run_has_its_place_and_can_be_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_list, "SECONDS_BETWEEN_LOOKS", 0.02)
    run = Run.create(tmp_path, {"steps": 9}, Recipe())
    enqueue(run)
    tag(run, add=["good"])
    app = ListApp(tmp_path, time.time)
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "queued 1", "#good")
        await pilot.press("x")
        await sees(pilot, "stopped")
        assert waiting(tmp_path) == []
        await pilot.press("x")
        await until(pilot, lambda: any("does not wait" in said.message for said in app._notifications))
        archive(run)
        await sees(pilot, "put away; v shows them")


async def test_a_runs_recipe_begins_another_at_the_review(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.finish("finished")
    app = FinettyApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await app.push_screen(RunsList(made.path.parent, clock=made.clock))
        await sees(pilot, made.run.id)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, Wizard))
        assert isinstance(app.screen, Wizard)
        assert app.screen.state.draft.recipe == made.run.recipe()


def test_the_reason_of_a_failure_is_read_from_the_runs_folder(made_run: Make, tmp_path: Path) -> None:
    made = made_run()
    made.begin()
    assert failure_words(made.path) == ""
    made.alert("error", "It was too much.", "Take less.", option="training.micro_batch")
    made.finish("failed")
    assert failure_words(made.path) == "It was too much. Take less."
    assert failure_words(tmp_path / "nothing") == ""


def test_a_run_that_is_stopped_when_it_asks_has_the_option_that_it_asked_for(made_run: Make) -> None:
    made = made_run()
    made.begin()
    choices = ["shrink", "stop"]
    asked = {"level": "warning", "code": "made.alert", "message": "Memory ran out.", "advice": "Choose."}
    made.event("alert", **asked, option="training.micro_batch", choices=choices)
    made.finish("stopped")
    assert failure_words(made.path) == "Memory ran out."
    assert read_story(made.run).figures.fault == "training.micro_batch"


async def test_words_keep_the_runs_that_hold_them_and_esc_lets_go_first(two_runs: Two) -> None:
    app, (first, second) = two_runs
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, first.id, second.id)
        await pilot.press("slash", *"GOOD")
        await until(pilot, lambda: second.id not in shown(app))
        await sees(pilot, first.id)
        await app.speak("zh_CN")
        await until(pilot, lambda: isinstance(app.focused, Input) and app.focused.value == "GOOD")
        await app.speak("en")
        await pilot.press(*" no-such-word")
        await sees(pilot, "No run has these words.")
        await pilot.press("escape")
        await sees(pilot, second.id)
        assert isinstance(app.screen, RunsList)
        assert not app.screen.query_one("#runs-search").display
        await pilot.press("slash", *"good", "enter")
        await until(pilot, lambda: second.id not in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, RunsList))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not isinstance(app.screen, RunsList))


async def test_deleting_asks_says_what_is_free_and_touches_nothing_else(
    two_runs: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 0.01)
    app, (first, second) = two_runs
    outside = tmp_path / "outside" / "kept.bin"
    outside.parent.mkdir()
    outside.write_bytes(b"kept")
    (first.path / "output" / "weights").write_bytes(b"1" * (300 << 10))
    (first.path / "output" / "link").symlink_to(outside.parent)
    async with app.run_test(size=(80, 24)) as pilot:
        await highlight(pilot, first)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, dialogs.Question))
        use = {part: size(taken) for part, taken in disk_use(first).items()}
        said = f"{use['all']} become free: {use['checkpoints']} of checkpoints, {use['output']} of the result."
        await until(pilot, lambda: f"Delete {first.id}?" in shown(app) and said in flat(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsList))
        assert first.path.is_dir()
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, dialogs.Question))
        await pilot.press("y")
        await until(pilot, lambda: not first.path.exists() and first.id not in shown(app))
        await until(pilot, lambda: any("are free again" in said.message for said in app._notifications))
    assert second.path.is_dir()
    assert outside.read_bytes() == b"kept"


async def test_a_run_that_is_alive_is_not_deleted(two_runs: Two) -> None:
    app, (first, _second) = two_runs
    async with app.run_test(size=(80, 24)) as pilot:
        await highlight(pilot, first)
        with first.lock():
            await pilot.press("d")
            await until(pilot, lambda: any("still alive" in said.message for said in app._notifications))
            assert isinstance(app.screen, RunsList)
    assert first.path.is_dir()


async def test_a_run_that_went_meanwhile_is_refused(two_runs: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy whose name begins with the run's id is another run, and stays."""
    monkeypatch.setattr(dialogs, "SETTLED", 0.01)
    app, (first, _second) = two_runs
    async with app.run_test(size=(80, 24)) as pilot:
        await highlight(pilot, first)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, dialogs.Question))
        copy = first.path.rename(first.path.with_name(f"{first.id}.copy"))
        await pilot.press("y")
        await until(pilot, lambda: any("not the folder" in said.message for said in app._notifications))
        assert copy.is_dir()


async def test_a_run_is_put_away_shown_and_brought_back(two_runs: Two) -> None:
    app, (first, second) = two_runs
    async with app.run_test(size=(80, 24)) as pilot:
        await highlight(pilot, first)
        await pilot.press("a")
        await until(pilot, lambda: first.id not in table_text(app))
        assert labels_of(first).archived
        await sees(pilot, "1 put away")
        await pilot.press("v")
        await sees(pilot, "(archived)", second.id)
        await highlight(pilot, first)
        await pilot.press("a")
        await until(pilot, lambda: "(archived)" not in shown(app))
        assert not labels_of(first).archived
        archive(first)
        archive(second)
        await pilot.press("v")
        await sees(pilot, "put away; v shows them")


async def test_tags_are_changed_in_a_line(two_runs: Two) -> None:
    app, (first, _second) = two_runs
    async with app.run_test(size=(80, 24)) as pilot:
        await highlight(pilot, first)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, EditTags))
        await pilot.press(*" #fast")
        await app.speak("zh_CN")
        await app.speak("en")
        assert app.screen.query_one(Input).value == "good #fast"
        await pilot.press(*" !", "enter")
        await sees(pilot, "cannot be a tag")
        await pilot.press("escape")
        assert labels_of(first).tags == ("good",)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, EditTags))
        app.screen.query_one(Input).value = "fast 好"
        await pilot.press("enter")
        await until(pilot, lambda: "#fast #好" in shown(app) and "#good" not in shown(app))
    assert labels_of(first).tags == ("fast", "好")


async def test_the_disk_that_a_run_takes_is_counted_in_a_thread(two_runs: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()

    def counted(run: Run) -> dict[str, int]:
        threads.add(threading.get_ident())
        return disk_use(run)

    monkeypatch.setattr(runs_list, "disk_use", counted)
    app, (first, _second) = two_runs
    (first.path / "checkpoints" / "weights").write_bytes(b"1" * (4 << 20))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "4.0 MB" in table_text(app) and "on the disk" in shown(app))
        (first.path / "checkpoints" / "weights").write_bytes(b"1" * (8 << 20))
        await pilot.press("r")
        await until(pilot, lambda: "8.0 MB" in table_text(app))
    assert threading.get_ident() not in threads


async def test_marks_stay_while_a_search_hides_their_runs(two_runs: Two) -> None:
    app, (first, second) = two_runs
    async with app.run_test(size=(80, 24)) as pilot:
        await highlight(pilot, first)
        await pilot.press("space")
        await highlight(pilot, second)
        await pilot.press("space", "slash", *"good", "enter")
        await until(pilot, lambda: second.id not in shown(app))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, DashboardScreen))
        assert {app.screen.run.id, *(run.id for run in app.screen.beside)} == {first.id, second.id}


Two = tuple[FinettyApp, tuple[Run, Run]]


class RunsApp(FinettyApp):
    """The list of runs on the first screen."""

    CSS_PATH = STYLES / "app.tcss"

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        super().__init__()
        self.root, self.clock = root, clock

    async def on_mount(self) -> None:
        await self.push_screen(RunsList(self.root, clock=self.clock))


@pytest.fixture
def two_runs(made_run: Make) -> Iterator[Two]:
    """An app on two runs that are over, the first of which is tagged "good"."""
    first, second = made_run(), made_run(name="calm")
    for made in (first, second):
        made.train(40)
        made.finish()
    tag(first.run, add=["good"])
    yield RunsApp(first.path.parent, first.clock), (Run(first.path), Run(second.path))


async def highlight(pilot: Any, run: Run) -> None:
    await until(pilot, lambda: run.id in pilot.app.screen.table.rows)
    pilot.app.screen.table.move_cursor(row=pilot.app.screen.table.get_row_index(run.id))


def table_text(app: FinettyApp) -> str:
    table = app.screen.query_one(RunsTable)
    return "\n".join(cell.plain for row in table.rows for cell in table.get_row(row))


def flat(app: FinettyApp) -> str:
    """The text on the screen in one line, without frames."""
    return " ".join(shown(app).replace("│", " ").replace("┃", " ").split())
