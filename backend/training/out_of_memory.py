"""Out of memory, told apart from other errors and said plainly."""

from __future__ import annotations

from finetty.backend.messages import Message, message
from finetty.backend.planning.plan import Memory

STAGES = {
    "loading": message("training.out_of_memory.loading", "Memory ran out while the model was loaded."),
    "preflight": message("training.out_of_memory.preflight", "Memory ran out on the longest batch, before step 1."),
    "running": message("training.out_of_memory.running", "Memory ran out in training."),
    "saving": message("training.out_of_memory.saving", "Memory ran out while the result was saved."),
}
WITH_SIZES = {
    "loading": message(
        "training.out_of_memory.loading.sizes",
        "Memory ran out while the model was loaded: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "preflight": message(
        "training.out_of_memory.preflight.sizes",
        "Memory ran out on the longest batch, before step 1: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "running": message(
        "training.out_of_memory.running.sizes",
        "Memory ran out in training: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "saving": message(
        "training.out_of_memory.saving.sizes",
        "Memory ran out while the result was saved: {predicted} GiB were predicted and {free} GiB were free.",
    ),
}
TAKE_LESS = message(
    "training.take_less",
    "Set training.micro_batch lower with the same training.batch, then training.gradient_checkpointing: true, "
    "then a shorter dataset.cutoff.",
)
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """torch's own error on a card, its allocator's RuntimeError on a CPU, or Python's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def said(state: str, memory: Memory) -> Message:
    """Where it ran out, and, where plan() knew them, what was predicted and what was free."""
    stage = state if state in STAGES else "running"
    predicted = memory.exact or memory.live
    free = memory.device.free if memory.device else None
    if predicted is None or free is None:
        return STAGES[stage]()
    return WITH_SIZES[stage](predicted=_gib(predicted.process), free=_gib(free))


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"
