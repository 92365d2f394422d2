"""A person's whole way by keyboard on a terminal of 80 by 24: from `finetty` to a result that plain peft loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.terminal import Terminal

STEPS = ("Model", "Data", "Method", "Template", "Speed", "Review")

LOAD_WITH_PLAIN_PEFT = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, output = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(output)
asked = [{"role": "user", "content": "hi"}]
ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
ids = ids["input_ids"] if hasattr(ids, "keys") else ids
model = AutoModelForCausalLM.from_pretrained(base)
before = model(ids).logits
tuned = PeftModel.from_pretrained(model, output)
print(json.dumps({"moved": float((tuned(ids).logits - before).abs().max()), "template": tokenizer.chat_template}))
"""


@pytest.mark.trains
def test_from_the_first_screen_to_a_result(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    with Terminal(["finetty"], env=env) as terminal:
        terminal.wait_for("Tune my data")
        terminal.press("n")
        terminal.wait_for("Path or name")
        terminal.send(str(tiny_model))
        terminal.wait_for("✓ LlamaForCausalLM")
        terminal.press("enter")
        terminal.wait_for("▸2 Data")
        terminal.send(str(tiny_data))
        terminal.wait_for("40 rows")
        for number, step in enumerate(STEPS[2:], 3):
            terminal.press("enter")
            terminal.wait_for(f"▸{number} {step}")
        for number, step in reversed(list(enumerate(STEPS[:-1], 1))):
            terminal.press("escape")
            terminal.wait_for(f"▸{number} {step}")
        assert tiny_model.name in terminal.screen()
        terminal.press("ctrl+r")
        terminal.wait_for("▸6 Review")
        terminal.press("enter")
        terminal.wait_for("Start training?")
        terminal.press("y")
        terminal.wait_for("finished", seconds=180)
        terminal.press("q")
        assert terminal.exit_code() == 0
        assert not terminal.leftovers()
        closing = terminal.screen()
    (run,) = (tmp_path / "finetty" / "runs").glob("[0-9]*")
    assert f"finetty chat {run.name}" in closing
    said = subprocess.run(
        [sys.executable, "-c", LOAD_WITH_PLAIN_PEFT, tiny_model, run / "output"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(said.stdout.splitlines()[-1])
    assert loaded["moved"] > 0
    assert "<|im_start|>" in loaded["template"]


@pytest.mark.trains
def test_stop_and_save_from_the_dashboard(tiny_recipe: Path, tmp_path: Path) -> None:
    """It ends with exit code 130 and an adapter that can be used, and the run can be resumed to its end."""
    env = {"XDG_STATE_HOME": str(tmp_path)}
    with Terminal(["finetty", "train", str(tiny_recipe), "--set", "training.max_steps=100000"], env=env) as terminal:
        terminal.wait_for("running", seconds=180)
        terminal.press("s")
        terminal.wait_for("Stop the run?")
        while "Stop the run?" in terminal.screen():  # a yes counts once the keyboard has been quiet
            terminal.press("y")
            terminal.read(0.6)
        terminal.wait_for("stopped", seconds=60)
        terminal.press("q")
        assert terminal.exit_code() == 130
        assert not terminal.leftovers()
    (run,) = (tmp_path / "finetty" / "runs").glob("[0-9]*")
    assert (run / "output" / "adapter_model.safetensors").is_file()
    assert json.loads((run / "status.json").read_text("utf-8"))["state"] == "stopped"
