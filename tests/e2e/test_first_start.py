"""The very first start on a real terminal: the set-up by keyboard, what it keeps, and the first screen after it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.terminal import Terminal

STEPS = ("Look", "This machine", "Where things live", "Where models come from", "Demo")


def test_a_new_person_is_led_to_the_demo_and_not_asked_again(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "FINETTY_LANG": ""}
    home |= {"XDG_STATE_HOME": "", "XDG_CACHE_HOME": "", "FINETTY_RUNS": "", "HF_HUB_OFFLINE": "1"}
    folder = tmp_path / "volume"
    folder.mkdir()
    with Terminal(["finetty"], env=home) as terminal:
        for number, step in enumerate(STEPS, 1):
            terminal.wait_for(f"▸{number} {step}")
            if step == "Where things live":
                terminal.wait_for("proposed")
                terminal.press("up")
                terminal.wait_for("Type a folder")
                terminal.send(str(folder))
                terminal.press("enter")
                terminal.wait_for(f"─{folder}─"[:40])
                terminal.press("enter")
            elif step != "Demo":
                terminal.press("ctrl+n")
        terminal.wait_for("Start with the demo")
        terminal.press("down", "down", "enter")
        terminal.wait_for("Tune my data")
    kept = json.loads((tmp_path / "config" / "finetty" / "settings.json").read_text())
    assert kept == {"folder": str(folder), "set_up": True}
    with Terminal(["finetty"], env=home) as terminal:
        terminal.wait_for("Tune my data")
        assert "Welcome" not in terminal.screen()
    with Terminal(["finetty", "doctor", "--json"], env=home) as terminal:
        assert terminal.exit_code(120) == 0
        assert str(folder / "runs") in terminal.raw.decode()
