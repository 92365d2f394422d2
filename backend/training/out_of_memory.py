"""Out of memory, told apart from other errors and said plainly."""

from __future__ import annotations

from finetty.backend.messages import Message, message
from finetty.backend.planning.plan import Memory

OUT_OF_MEMORY = message(
    "training.out_of_memory",
    "Memory ran out while the run was {stage}: {predicted} were predicted, {free} were free before it.",
)
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


def said(stage: str, memory: Memory) -> Message:
    predicted = memory.exact or memory.live
    free = memory.device.free if memory.device else None
    return OUT_OF_MEMORY(stage=stage, predicted=_size(predicted.process if predicted else None), free=_size(free))


def _size(count: int | None) -> str:
    return "an unknown number of bytes" if count is None else f"{count / 2**30:.2f} GiB"
