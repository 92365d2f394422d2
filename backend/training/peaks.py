"""Once a run on a card is over: its memory as it was predicted and as it was, kept for later predictions."""

from __future__ import annotations

import time
from typing import Any

import torch

from finetty.backend.machine.gpus import cards
from finetty.backend.machine.peaks import Peak, store_peak
from finetty.backend.planning.learned import way_of
from finetty.backend.planning.plan import Plan
from finetty.backend.runs import Run, history


def remember_peak(run: Run, plan: Plan, memory: dict[str, int]) -> None:
    """Store one record; nothing without a card, or where the run came out smaller than it was planned.

    `memory` is what PyTorch counted, `allocated` and `reserved` in bytes; the whole process is what NVML showed.
    """
    device, predicted = plan.memory.device, plan.memory.uncorrected or plan.memory.live
    if device is None or device.kind != "cuda" or predicted is None:
        return
    events = history(run.events_path, ("alert", "gpu"))
    if any(one["kind"] == "alert" and one["code"].startswith("training.out_of_memory") for one in events):
        return
    store_peak(
        Peak(
            card=device.name,
            uuid=device.uuid,
            driver=cards().driver,
            torch=torch.__version__,
            way=way_of(plan.recipe),
            predicted_allocated=predicted.allocated,
            predicted_reserved=predicted.reserved,
            predicted_process=predicted.process,
            allocated=memory["allocated"] or None,
            reserved=memory["reserved"] or None,
            process=_process(events, device.uuid),
            date=time.time(),
        )
    )


def _process(events: list[dict[str, Any]], uuid: str | None) -> int | None:
    taken = [one["process"] for one in events if one["kind"] == "gpu" and one["uuid"] == uuid and one["process"]]
    return max(taken, default=None)
