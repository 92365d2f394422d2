"""Time from Enter to the first screen of `finetty`, against a bare Textual app that shows one label."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.pseudo_terminal import program

BARE = """
from textual.app import App
from textual.widgets import Label

class Bare(App):
    def compose(self):
        yield Label("try the demo")

Bare().run()
"""
PAIRS = 12
GOAL = 1.4


def main() -> None:
    finetty = [str(Path(sys.executable).with_name("finetty"))]
    bare = [sys.executable, "-c", BARE]
    with tempfile.TemporaryDirectory() as state:
        environment = {"XDG_STATE_HOME": state, "XDG_CONFIG_HOME": state, "FINETTY_LANG": "en"}
        settings = Path(state) / "finetty" / "settings.json"
        settings.parent.mkdir()
        settings.write_text('{"set_up": true}')
        seconds(finetty, environment), seconds(bare, environment)
        pairs = [(seconds(finetty, environment), seconds(bare, environment)) for _ in range(PAIRS)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    print(f"finetty {ours:.3f} s, bare Textual app {theirs:.3f} s")
    print(f"ratio {ratio:.2f} (median of {PAIRS} pairs; goal at most {GOAL})")


def seconds(command: list[str], environment: dict[str, str]) -> float:
    with program(command, environment) as started:
        return started.seconds_until(b"demo", timeout=30)
