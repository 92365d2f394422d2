"""What torch is shown of the machine: one function for a run, its dashboard's process and a chat."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.memory.prediction import Device
from finetty.backend.training.place import settle


@pytest.mark.parametrize(
    ("devices", "uuid", "shown"),
    [
        ("auto", "GPU-1", "GPU-1"),
        (1, None, "1"),
        ([0, 2], "GPU-1", "0,2"),
        ("auto", None, None),
        ("cpu", "GPU-1", None),
    ],
)
def test_torch_sees_the_cards_of_the_plan(
    monkeypatch: pytest.MonkeyPatch, devices: Any, uuid: str | None, shown: str | None
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    conftest = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("training_conftest", conftest)
    assert spec is not None and spec.loader is not None
    making = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(making)
    plan = making.plan_of(making.resolved_recipe(Path("m"), Path("d"), **{"hardware.devices": devices}))
    card = Device("cuda", "A card", 24 << 30, 20 << 30, uuid)
    settle(replace(plan, memory=replace(plan.memory, device=card)))
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == shown
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
