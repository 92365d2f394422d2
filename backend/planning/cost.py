"""What a run will take of disk and of time."""

from __future__ import annotations

from finetty.backend.memory.estimate import STATES
from finetty.backend.memory.job import STORED_BYTES
from finetty.backend.messages import message
from finetty.backend.planning.arithmetic import longest
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.numbers import packs_texts
from finetty.backend.planning.plan import Disk, Time
from finetty.backend.planning.steps import Schedule

DISK_FULL = message(
    "plan.disk.full", "The run will write about {needed:.1f} GiB, and {free:.1f} GiB are free where runs are kept."
)
DISK_FIX = message("plan.disk.fix", "Free some space, set output.keep lower, or move the runs with --runs-dir.")
NOT_KNOWN = message("plan.time.not_known", "not known until the model and the data are")
NOT_MEASURED = message("plan.time.not_measured", "not known until the first steps are measured")
BY_ARITHMETIC = message(
    "plan.time.by_arithmetic",
    "{operations:.1f} trillion operations at {low:.0f} to {high:.0f} billion a second, as {cores} cores do them",
)

SLOW_CORE, FAST_CORE = 15e9, 80e9
"""Floating-point operations a second a core of a server's or laptop's processor does in training, at either end."""
TOKENIZER_BYTES = 20 << 20
GIB = 1 << 30


def disk(draft: Draft, trained: int | None) -> Disk:
    """Checkpoints (weights and optimizer states), one more while the next is written, and the result."""
    free = draft.machine.disk_free or None
    if trained is None:
        return Disk(None, free)
    keep = draft.asked.output.keep
    checkpoint = round(trained * (4 + STATES[draft.value("training.optimizer")]))
    output = 4 * trained
    if draft.method != "lora" and draft.model is not None:
        stored = STORED_BYTES.get(draft.model.stored_dtype or "", 4)
        output = stored * (draft.model.parameters or trained)
    best = 1 if draft.asked.dataset.validation != 0 else 0  # it is kept beside the newest
    needed = checkpoint * (keep + best + 1) + output + TOKENIZER_BYTES
    if free is not None and needed > free:
        draft.find("error", "output.keep", DISK_FULL(needed=needed / GIB, free=free / GIB), DISK_FIX())
    return Disk(needed, free)


def time(draft: Draft, schedule: Schedule | None) -> Time:
    """A range from arithmetic on a processor; on a card nothing is claimed before it is measured."""
    tokens = _tokens(draft, schedule)
    parameters = draft.model.trainable_text_parameters if draft.model else None
    if tokens is None or parameters is None:
        return Time(None, None, NOT_KNOWN())
    if not draft.on_cpu:
        return Time(None, None, NOT_MEASURED())
    operations = tokens * parameters * _passes(draft)
    cores = draft.machine.cores
    basis = BY_ARITHMETIC(
        operations=operations / 1e12, low=cores * SLOW_CORE / 1e9, high=cores * FAST_CORE / 1e9, cores=cores
    )
    return Time(operations / (cores * FAST_CORE), operations / (cores * SLOW_CORE), basis)


def _tokens(draft: Draft, schedule: Schedule | None) -> int | None:
    """Tokens that go through the model, without padding."""
    if schedule is None or draft.data is None or not draft.data.measured or not draft.data.lengths:
        return None
    cutoff = longest(draft)
    sequences = draft.data.blocks_at(cutoff) if packs_texts(draft) else draft.data.sequences_at(cutoff)
    average = draft.data.tokens_at(cutoff) / sequences
    return round(average * schedule.steps * schedule.micro_batch * schedule.accumulation)


def _passes(draft: Draft) -> int:
    """Operations a parameter a token: 2 forward, 2 for the inputs' gradients, 2 for the weights' where all are trained
    (Kaplan et al. 2020), and 2 more where checkpointing computes the forward pass again."""
    trained = 2 if draft.method == "full" else 0
    return 4 + trained + (2 if draft.value("training.gradient_checkpointing") else 0)
