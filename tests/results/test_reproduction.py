"""A run trained again comes out the same to the bit on a processor, and what has changed since is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.results.reproduction import again, agreement, differences, threads_of
from finetty.backend.runs import EventLog, Run
from finetty.backend.training import train
from finetty.backend.training.checkpoints import ABOUT, last_checkpoint
from finetty.backend.training.circumstances import versions


@pytest.fixture
def run(tuned_runs: dict[str, Run], tmp_path: Path) -> Run:
    """A copy of a finished run, to be changed."""
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / tuned_runs["lora"].id
    shutil.copytree(tuned_runs["lora"].path, path)
    return Run.open(path)


def noted(run: Run, **changes: Any) -> None:
    """Change what the last checkpoint says of the run."""
    checkpoint = last_checkpoint(run.checkpoints)
    assert checkpoint is not None
    about = json.loads((checkpoint / ABOUT).read_text()) | changes
    (checkpoint / ABOUT).write_text(json.dumps({key: value for key, value in about.items() if value is not None}))


def test_the_same_losses_to_the_bit(run: Run) -> None:
    assert differences(run) == []
    new = again(run)
    assert new.id != run.id
    assert new.recipe() == run.recipe()
    assert train(new) == "finished"
    compared = agreement(run, new)
    assert compared.same
    assert compared.largest == 0
    assert compared.compared > (run.status().total or 0), "each step, and evaluations"


def test_what_has_changed_is_named(run: Run, tiny_data: Path) -> None:
    noted(run, data="0" * 64, base="1" * 64, versions={**versions(), "torch": "1.0", "gone": "2"}, threads=3)
    found = {difference.what.id: difference for difference in differences(run)}
    assert {key for key, difference in found.items() if difference.decides} == {
        "reproduce.other_data",
        "reproduce.other_base",
    }
    texts = [difference.what.text for difference in differences(run)]
    assert f"torch: 1.0 then, {versions()['torch']} now" in texts
    assert "gone: 2 then, - now" in texts
    assert threads_of(run) == 3
    noted(run, versions=None)
    assert "reproduce.not_said" in {difference.what.id for difference in differences(run)}


def test_losses_that_differ_are_counted_from_the_first(run: Run) -> None:
    new = again(run)
    assert not agreement(run, new).same, "nothing was compared"
    log = EventLog(new)
    for step, loss in ((1, 1.0), (2, 2.0), (3, 4.0), (4, float("nan"))):
        log.append("step", step=step, loss=loss)
    log.close()
    other = again(run)
    log = EventLog(other)
    for step, loss in ((1, 1.0), (2, 2.0), (3, 5.0), (4, float("nan")), (5, 1.0)):
        log.append("step", step=step, loss=loss)
    log.close()
    compared = agreement(new, other)
    assert (compared.compared, compared.first_difference, compared.largest) == (4, 3, 0.25)
    assert not compared.same


def test_a_run_without_a_checkpoint_is_refused(run: Run) -> None:
    shutil.rmtree(run.checkpoints)
    with pytest.raises(Refusal, match="left no checkpoint"):
        differences(run)
