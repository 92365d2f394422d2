"""What NVML shows of a run corrects the next plan for that card: the real binding above a compiled stub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.machine.conftest import stub_folder, with_cards

__all__ = ["stub_folder", "with_cards"]

Ask = Callable[..., Any]
RUN_AND_PLAN_AGAIN = """
import json, os, time
from pathlib import Path
from finetty.backend.machine import machine_facts
from finetty.backend.models.folder import model_facts
from finetty.backend.planning import plan
from finetty.backend.recipe import parse_recipe
from finetty.backend.runs import Run, history
from finetty.backend.training.cards import CardWatch
from finetty.backend.training.journal import Journal
from finetty.backend.training.peaks import remember_peak

os.environ["STUB_PID"] = str(os.getpid())
dataset = "{{train: [{{path: '{data}'}}], cutoff: 512}}"
recipe = parse_recipe(f"finetty: 1\\nmodel: {{{{path: '{model}'}}}}\\ndataset: {{dataset}}\\n")

def planned():
    return plan(recipe, model_facts("{model}"), machine_facts(), None)

before = planned()
run = Run.create(Path("{root}"), before.to_json(), before.recipe, asked=recipe)
with CardWatch(Journal(run), seconds=0.02):
    end = time.monotonic() + 60
    while not history(run.events_path, ("gpu",)):
        assert time.monotonic() < end
        time.sleep(0.01)
live = before.memory.live
remember_peak(run, before, {{"allocated": 2 * live.allocated, "reserved": 2 * live.reserved}})
after = planned()
print(json.dumps([before.to_json(), after.to_json()]))
"""


def test_a_runs_peak_as_nvml_shows_it_corrects_the_next_plan(
    with_cards: Ask, tmp_path: Path, tiny_model: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before, after = with_cards(RUN_AND_PLAN_AGAIN.format(model=tiny_model, data=tiny_data, root=tmp_path))
    assert before["memory"]["device"]["name"] == "Stub RTX 0"
    live, corrected = before["memory"]["live"], after["memory"]["live"]
    assert after["memory"]["uncorrected"] == live
    assert corrected["allocated"] == 2 * live["allocated"]
    assert corrected["reserved"] == 2 * live["reserved"]
    assert corrected["process"] == 18 << 30  # what the stub shows of the process
    (said,) = (one for one in after["findings"] if "corrected by 1 earlier run" in one["message"])
    assert f"{18:.1f} GiB are to be expected" in said["message"]
    assert after["memory"]["verdict"] == "over"  # 4 GiB are free
