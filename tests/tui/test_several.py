"""Several cards: the command line of torchrun, and who becomes what."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.training.conftest import plan_of, resolved_recipe

from finetty.backend.runs import Run
from finetty.tui import several


def run_on(root: Path, devices: Any) -> Run:
    recipe = resolved_recipe(Path("model"), Path("data.jsonl"), **{"hardware.devices": devices})
    return Run.create(root, plan_of(recipe).to_json(), recipe)


def test_torchrun_starts_a_process_for_each_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    run = run_on(tmp_path, ["GPU-1", "GPU-2", "GPU-3"])
    assert several.needed(run)
    assert several.command(run, ["--plain", "--resume"]) == [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"),
        *("-m", "finetty.tui.run", str(run.path), "--resume", "--plain"),
    ]
    for devices in ("cpu", 0, ["GPU-1"]):
        assert not several.needed(run_on(tmp_path, devices))


def test_a_process_that_torchrun_started_starts_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_on(tmp_path, [0, 1])
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert not several.needed(run)
        assert several.follows() is (rank == "1")


STANDS_FOR_TORCHRUN = """
import sys
from pathlib import Path
from finetty.backend.runs import Inbox, EventLog, Run
run = Run.open(Path(sys.argv[1]))
inbox = Inbox(run, EventLog(run))
print("begun", flush=True)
while not (heard := inbox.take()):
    pass
assert [one.name for one in heard] == ["stop-and-save"]
run.write_status(state="stopped")
sys.exit(1)
"""
LAUNCHES = """
import sys
from pathlib import Path
from finetty.backend.runs import Run
from finetty.tui import several
several.command = lambda run, options: [sys.executable, "-c", sys.argv[2], str(run.path)]
sys.exit(several.launch(Run.open(Path(sys.argv[1])), ["--plain"]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_and_saves_and_the_code_is_the_runs(tmp_path: Path, number: int, code: int) -> None:
    run = run_on(tmp_path, [0, 1])
    command = [sys.executable, "-c", LAUNCHES, str(run.path), STANDS_FOR_TORCHRUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "begun\n"
        launcher.send_signal(number)
        assert launcher.wait(60) == code


def test_a_dashboard_watches_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from finetty.tui.dashboard_app import DashboardApp

    begun: list[Any] = []
    watched: list[bool] = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: begun.append((words, how["start_new_session"])))
    monkeypatch.setattr(DashboardApp, "run", lambda app: watched.append(True))
    run = run_on(tmp_path, [0, 1])
    assert several.launch(run, []) == 0
    assert begun == [(several.command(run, []), True)]
    assert watched == [True]
