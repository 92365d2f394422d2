"""On the real model: a run that was killed and resumed has the same losses, to the bit, as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FINETTY = Path(sys.executable).with_name("finetty")
STEPS = 6
SETTINGS = [
    f"training.max_steps={STEPS}",
    "output.checkpoint_every=2",
    "output.samples=[]",
    "dataset.validation=4",
]
pytestmark = [pytest.mark.proof, pytest.mark.trains]


def start(state: Path) -> subprocess.Popen[bytes]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return subprocess.Popen(
        [FINETTY, "demo", "--plain", *settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment(state),
    )


def environment(state: Path) -> dict[str, str]:
    return os.environ | {"XDG_STATE_HOME": str(state), "HF_HUB_OFFLINE": "1"}


def losses(state: Path) -> dict[int, float]:
    """The loss of each step, the last one told where a step was done again."""
    told: dict[int, float] = {}
    for path in (state / "finetty" / "runs").glob("[0-9]*/events.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            event = json.loads(line)
            if event["kind"] == "step":
                told[event["step"]] = event["loss"]
    return told


def test_killed_and_resumed_is_the_same_to_the_bit(tmp_path: Path) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert start(alone).wait(timeout=900) == 0
    victim = start(killed)
    deadline = time.monotonic() + 900
    while max(losses(killed), default=0) < 3:
        assert victim.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    resumed = subprocess.run(
        [FINETTY, "resume", "latest", "--plain"], env=environment(killed), capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert losses(killed) == losses(alone)
    assert sorted(losses(alone)) == list(range(1, STEPS + 1))
