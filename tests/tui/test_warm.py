"""Begun before its run is known, off the screen: there is one, for the last wish, and it becomes the run or it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.survival import (
    ENVIRONMENT,
    STEPPING,
    end,
    has_no_terminal,
    pid,
    stepping_run,
    steps,
    typed_wizard,
    wait_until,
)
from tests.e2e.terminal import Terminal

from finetty.backend.planning import gather, plan
from finetty.backend.recipe import load_recipe, with_values
from finetty.backend.runs import Run
from finetty.tui.processes import warm_order
from finetty.tui.warm import Warm


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = stepping_run(tmp_path)
    yield made
    end(made)


@pytest.fixture
def wizard(tmp_path: Path) -> Iterator[Terminal]:
    """The trainer of every process below it only steps."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('stepping', {STEPPING!r})\n"
        "stepping = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(stepping)\nstepping.install()\n"
    )
    with Terminal(typed_wizard(), env=ENVIRONMENT | {"PYTHONPATH": str(site)}) as terminal:
        yield terminal


def warm(terminal: Terminal, *first: str) -> int:
    """Ask for one, and wait until it is there; returns its pid."""
    terminal.send(f"tell(do='warm', first={list(first)!r}, environment={{'SEEN': '1'}})\n")
    wait_until(lambda: [words[3:] for words in waiting(terminal).values()] == [list(first)], "one waits")
    return next(iter(waiting(terminal)))


def waiting(terminal: Terminal) -> dict[int, list[str]]:
    """The processes that wait for a run, with their words."""
    children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
    found = {int(child): words(int(child)) for child in children}
    return {child: said for child, said in found.items() if "finetty.tui.warm" in said}


def threads(process: int) -> list[str]:
    return [task.name for task in Path(f"/proc/{process}/task").iterdir()]


def words(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []


def start(terminal: Terminal, run: Run) -> None:
    terminal.send(f"tell(do='run', run={str(run.path)!r}, options=[], environment={{'FINETTY_LANG': 'en'}})\n")
    terminal.send("sys.exit(0)\n")
    terminal.wait_for("running")
    wait_until(lambda: steps(run) > 3, "steps")


def test_it_becomes_the_run_with_screen_and_holder(wizard: Terminal, run: Run) -> None:
    waits = warm(wizard)
    start(wizard, run)
    assert pid(run) == waits
    assert "finetty.tui.warm" in words(waits), "what it had imported is not thrown away"
    assert "SEEN=1" in Path(f"/proc/{waits}/environ").read_text()
    wizard.press("d")
    assert wizard.exit_code() == 0
    assert f"finetty attach {run.id}" in wizard.screen()
    assert wizard.leftovers() == []
    assert has_no_terminal(waits)


def test_another_wish_takes_its_place(wizard: Terminal, run: Run) -> None:
    before = warm(wizard)
    after = warm(wizard, "unsloth")
    assert after != before
    assert not Path(f"/proc/{before}").exists()
    start(wizard, run)
    assert pid(run) == after


def test_it_ends_with_a_wizard_that_starts_nothing(wizard: Terminal) -> None:
    waits = warm(wizard)
    wizard.send("sys.exit(0)\n")
    assert wizard.exit_code() == 0
    assert not Path(f"/proc/{waits}").exists()


def test_it_ends_with_its_holder(wizard: Terminal) -> None:
    waits = warm(wizard)
    os.kill(wizard.pid, signal.SIGKILL)
    wait_until(lambda: not words(waits), "it ended")


def test_one_that_died_is_done_without(wizard: Terminal, run: Run) -> None:
    waits = warm(wizard)
    os.kill(waits, signal.SIGKILL)
    start(wizard, run)
    assert pid(run) != waits


def test_libraries_that_do_not_import_begin_afresh(wizard: Terminal, run: Run, tmp_path: Path) -> None:
    with (tmp_path / "site" / "sitecustomize.py").open("a") as site:
        site.write("def broken(**_how): raise ImportError('no such symbol')\n")
        site.write("sys.modules['finetty.backend.training.ahead'].load_libraries = broken\n")
    waits = warm(wizard)
    wait_until(lambda: not Path(f"/proc/{waits}/task").exists() or len(threads(waits)) == 1, "the imports broke off")
    start(wizard, run)
    assert pid(run) == waits
    assert "finetty.tui.run" in words(waits), "a fresh interpreter"


def test_one_that_dies_as_it_begins_is_followed_by_another(wizard: Terminal, run: Run, tmp_path: Path) -> None:
    with (tmp_path / "site" / "sitecustomize.py").open("a") as site:
        site.write("if 'finetty.tui.warm' in sys.orig_argv: sys.modules['finetty.tui.run'] = None\n")
    waits = warm(wizard)
    start(wizard, run)
    assert pid(run) != waits


def test_it_is_asked_for_where_there_is_room_and_in_the_plans_order(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe)
    facts = gather(recipe, runs_root=tmp_path)
    planned = plan(recipe, facts.model, facts.machine, facts.data)
    roomy = replace(facts.machine, ram_available=64 << 30)
    asked = warm_order(planned, roomy)
    assert asked is not None
    assert asked["first"] == []
    assert asked["environment"]["OMP_WAIT_POLICY"] == "passive"
    assert warm_order(planned, replace(roomy, ram_available=4 << 30)) is None
    unsloth = replace(planned, recipe=with_values(planned.recipe, {"acceleration.unsloth": True}))
    assert (warm_order(unsloth, roomy) or {})["first"] == ["unsloth"]
    several = replace(planned, recipe=with_values(planned.recipe, {"hardware.devices": [0, 1]}))
    assert warm_order(several, roomy) is None


def test_without_room_for_another_process_the_wizard_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    before = len(list(Path("/proc/self/fd").iterdir()))
    waiting_one = Warm()
    waiting_one.hear({"do": "warm", "first": [], "environment": {}})
    assert waiting_one.taken({"do": "run", "run": "x"}) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
