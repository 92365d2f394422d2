"""Drives the real app through the demo and writes a picture of every screen: `python -m tools.screenshots`.

The dashboard is shown on a real run of the demo, which is trained first unless `--run FOLDER` names one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from finetty.backend.demo import RECIPE
from finetty.backend.recipe import load_recipe
from finetty.backend.runs import Run, find_run
from finetty.tui.app import FinettyApp
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.language import LANGUAGES, Language, set_language

FOLDER = Path(__file__).parent.parent / "screenshots"
SIZES = ((80, 24), (120, 40), (200, 60))
WIZARD = ("model", "data", "method", "template", "acceleration", "review")
SET_UP = ("look", "machine", "place", "source", "demo")
Shoot = Callable[[str], None]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--run", type=Path, help="a finished run of the demo")
    given = arguments.parse_args().run
    os.environ |= {"TEXTUAL_ANIMATIONS": "none", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = os.environ["XDG_CONFIG_HOME"] = state
        run = Run.open(given) if given else demo_run(Path(state))
        os.environ["FINETTY_RUNS"] = str(run.path.parent)
        for language in LANGUAGES:
            for size in SIZES:
                asyncio.run(pictures(run, language, size))
    for picture in sorted(FOLDER.glob("*.svg")):
        print(picture.relative_to(FOLDER.parent))


def demo_run(state: Path) -> Run:
    subprocess.run([Path(sys.executable).with_name("finetty"), "demo", "--plain"], check=True, stdin=subprocess.DEVNULL)
    return find_run(state / "finetty" / "runs", "latest")


async def pictures(run: Run, language: Language, size: tuple[int, int]) -> None:
    set_language(language)
    suffix = f"{size[0]}x{size[1]}-{language.partition('_')[0]}"
    await drive(FinettyApp(), size, suffix, home)
    await drive(FinettyApp(start="setup"), size, suffix, set_up)
    await drive(FinettyApp(draft=load_recipe(RECIPE), start="demo"), size, suffix, wizard)
    await drive(DashboardApp(run, owner=False), size, suffix, dashboard)


async def drive(
    app: Any, size: tuple[int, int], suffix: str, visit: Callable[[Pilot[Any], Shoot], Awaitable[None]]
) -> None:
    def shoot(name: str) -> None:
        app.save_screenshot(f"{name}-{suffix}.svg", path=str(FOLDER))

    async with app.run_test(size=size) as pilot:
        await visit(pilot, shoot)


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until what the screen reads in the background is there."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def home(pilot: Pilot[Any], shoot: Shoot) -> None:
    await settled(pilot)
    shoot("home")


async def set_up(pilot: Pilot[Any], shoot: Shoot) -> None:
    await settled(pilot)
    for step in SET_UP:
        shoot(f"setup-{step}")
        await pilot.press("ctrl+n")
        await settled(pilot)


async def wizard(pilot: Pilot[Any], shoot: Shoot) -> None:
    await settled(pilot)
    for step in WIZARD:
        shoot(step)
        if step != WIZARD[-1]:
            await pilot.press("enter")
            await settled(pilot)
    await pilot.press("ctrl+o")
    await settled(pilot)
    shoot("settings")
    await pilot.press("f1")
    await pilot.pause()
    shoot("help")


async def dashboard(pilot: Pilot[Any], shoot: Shoot) -> None:
    await pilot.pause(1.5)
    shoot("dashboard")


if __name__ == "__main__":
    main()
