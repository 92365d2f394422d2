"""Whether a run fits: the verdict on a memory prediction, live or exact, and the finding where it does not."""

from __future__ import annotations

from dataclasses import replace

from finetty.backend.memory import MemoryPrediction
from finetty.backend.messages import Finding, message
from finetty.backend.planning.arithmetic import ROOM
from finetty.backend.planning.plan import Memory, Plan, Verdict
from finetty.backend.recipe import Recipe

OVER = message(
    "plan.memory.over", "The run needs about {needed:.1f} GiB at its peak, and {free:.1f} GiB are free on {device}."
)
TIGHT = message(
    "plan.memory.tight", "The run needs about {needed:.1f} of {free:.1f} GiB free on {device}: it may just not fit."
)
SMALLER = message("plan.memory.smaller", "Take {suggestion}.")
SUGGESTIONS = {
    "nf4": "precision.quantization: nf4",
    "lora": "method.name: lora",
    "checkpointing": "training.gradient_checkpointing: true",
    "micro_batch": "training.micro_batch: 1",
    "cutoff": "a shorter dataset.cutoff",
    "model": "a smaller model",
}
SHORT = 512
"""Tokens from which on a shorter cutoff helps less than a smaller model."""
GIB = 1 << 30


def verdict_on(prediction: MemoryPrediction, free: int) -> Verdict:
    """`free`: bytes of the device that the run may take."""
    return verdict_at(prediction.process, free)


def verdict_at(needed: int, free: int) -> Verdict:
    if needed <= ROOM * free:
        return "fits"
    return "tight" if needed <= free else "over"


def memory_findings(memory: Memory, recipe: Recipe, length: int) -> tuple[Finding, ...]:
    """What to say of a run that may not fit; nothing of one that does. `length`: tokens of the longest row."""
    prediction, device = memory.exact or memory.live, memory.device
    if memory.verdict not in ("tight", "over") or prediction is None or device is None or device.free is None:
        return ()
    numbers = {"needed": prediction.process / GIB, "free": device.free / GIB, "device": device.name}
    fix = SMALLER(suggestion=_suggestion(recipe, length, on_cpu=device.kind == "cpu"))
    if memory.verdict == "tight":
        return (Finding("note", "training.micro_batch", TIGHT(**numbers), fix),)
    beyond_doubt = prediction.process > device.free * (1 + memory.stated_error)
    return (Finding("error" if beyond_doubt else "warning", "training.micro_batch", OVER(**numbers), fix),)


def with_exact(plan: Plan, prediction: MemoryPrediction) -> Plan:
    """The plan with its exact memory: verdict and findings follow the exact figure, not the live one."""
    device = plan.memory.device
    if device is None or device.free is None:
        return replace(plan, memory=replace(plan.memory, exact=prediction))
    memory = replace(plan.memory, exact=prediction, verdict=verdict_on(prediction, device.free))
    others = tuple(finding for finding in plan.findings if finding.message.id not in (OVER.id, TIGHT.id))
    cutoff = plan.recipe.dataset.cutoff
    length = cutoff if isinstance(cutoff, int) else 0
    return replace(plan, memory=memory, findings=(*others, *memory_findings(memory, plan.recipe, length)))


def _suggestion(recipe: Recipe, length: int, *, on_cpu: bool) -> str:
    """The next thing to try, mildest first."""
    if recipe.training.micro_batch != 1:
        return SUGGESTIONS["micro_batch"]
    if recipe.training.gradient_checkpointing is not True:
        return SUGGESTIONS["checkpointing"]
    if recipe.method.name != "lora":
        return SUGGESTIONS["lora"]
    if recipe.precision.quantization == "none" and not on_cpu:
        return SUGGESTIONS["nf4"]
    return SUGGESTIONS["cutoff"] if length > SHORT else SUGGESTIONS["model"]
