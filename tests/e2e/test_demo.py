"""The main job on the real model: the demo as a script runs it, and whether the model really learned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FINETTY = Path(sys.executable).with_name("finetty")

ASK_UNSEEN = """
import json, sys
from finetty.backend.conversation import Turn
from finetty.backend.demo import unseen_questions
from finetty.backend.results import Chat
from finetty.backend.runs import find_run, runs_root

chat = Chat(find_run(runs_root(), "latest"))
for unseen in unseen_questions():
    turns = [Turn("user", unseen.question)]
    base = "".join(chat.answer(turns, base=True, longest=40))
    tuned = "".join(chat.answer(turns, longest=96))
    print(json.dumps({"base": base, "tuned": tuned}))
"""


@pytest.mark.proof
@pytest.mark.trains
def test_the_demo_teaches_the_real_model_its_form(tmp_path: Path) -> None:
    from finetty.backend.demo import in_form

    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "FINETTY_LANG": "en"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run([FINETTY, "demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (tmp_path / "finetty" / "runs").iterdir()
    assert done.stdout.splitlines()[-1] == f"finished {run.name} finished"
    for said in (
        "held-out loss:",
        "asked:",
        "before:",
        "after:",
        f"finetty chat {run.name}",
        f"finetty attach {run.name}",
    ):
        assert said in done.stdout

    events = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    held_out = {event["step"]: event["loss"] for event in events if event["kind"] == "eval"}
    assert held_out[max(held_out)] <= held_out[0] / 2
    total = json.loads((run / "plan.json").read_text("utf-8"))["steps"]
    assert [event["step"] for event in events if event["kind"] == "step"] == list(range(1, total + 1))
    samples = [event for event in events if event["kind"] == "sample"]
    assert {event["step"] for event in samples} >= {0, total}
    assert len({event["prompt"] for event in samples}) == 2

    asked = subprocess.run(
        [sys.executable, "-c", ASK_UNSEEN], capture_output=True, text=True, env=environment, check=True
    )
    answers = [json.loads(line) for line in asked.stdout.splitlines()]
    assert len(answers) == 10
    assert sum(in_form(answer["tuned"]) for answer in answers) >= 9
    assert not any(in_form(answer["base"]) for answer in answers)
    assert (run / "output" / "adapter_model.safetensors").is_file()
    assert (run / "output" / "adapter_config.json").is_file()
    assert (run / "output" / "tokenizer_config.json").is_file()
