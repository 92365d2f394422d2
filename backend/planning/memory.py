"""What depends on memory: micro-batch, checkpointing, optimizer; and the verdict on the whole."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from finetty.backend.memory import Job, fits, predict, predictable, stated_error
from finetty.backend.messages import message
from finetty.backend.planning.arithmetic import ROOM, longest
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.learned import corrected, correction_for, way_of
from finetty.backend.planning.plan import Memory
from finetty.backend.planning.verdict import GIB, memory_findings, verdict_on
from finetty.backend.recipe import Recipe

MICRO_FITS = message("plan.micro_batch.fits", "the most rows that fit, {tokens:,} tokens of them at once")
MICRO_WHOLE = message("plan.micro_batch.whole", "the whole batch fits at once")
MICRO_ENOUGH = message("plan.micro_batch.enough", "more rows at once would not be faster on a processor")
MICRO_BUSY = message("plan.micro_batch.busy", "{tokens:,} tokens at once keep the card busy")
MICRO_ONE = message("plan.micro_batch.one", "one row at a time needs the least memory")
MICRO_UNKNOWN = message("plan.micro_batch.unknown", "one row at a time, since the model's memory is not known")
CHECKPOINTING_OFF = message(
    "plan.checkpointing.off", "the predicted peak is below 85% of the free memory without it, and it costs a third"
)
CHECKPOINTING_ON = message("plan.checkpointing.on", "without it the peak would be above 85% of the free memory")
CHECKPOINTING_UNKNOWN = message("plan.checkpointing.unknown", "to be safe, since the model's memory is not known")
FUSED = message("plan.optimizer.fused", "AdamW in one kernel; an adapter's states are small")
FUSED_FITS = message("plan.optimizer.fused_fits", "AdamW in one kernel, and its states fit")
EIGHT_BIT = message(
    "plan.optimizer.eight_bit", "AdamW's states do not fit in 32 bits here, and in 8 they take a quarter"
)
CUTOFF_MEMORY = message(
    "plan.cutoff.memory", "the most that fits in the free memory; the longest row has {longest:,} tokens"
)
LEARNED = message(
    "plan.memory.learned",
    "The memory is corrected by {runs} earlier runs on this card: {predicted:.1f} GiB were predicted,"
    " {corrected:.1f} GiB are to be expected.",
)
UNKNOWN = message("plan.memory.unknown", "The memory of this model cannot be predicted: its shape is not known.")

TOKENS_ENOUGH = 16_384
"""Tokens in a micro-batch beyond which a card only gets fuller, not faster."""
ROWS_ON_CPU = 4
SHORTEST = 512
"""Tokens below which a cutoff is not shortened unasked: then the plan says that it does not fit."""


def choose_by_memory(draft: Draft) -> None:
    """Largest micro-batch first without, then with checkpointing; an optimizer whose states fit."""
    job = _job(draft)
    _choose_optimizer(draft, job)
    job = _job(draft)
    open_batch, open_checkpointing = (
        draft.left_open("training.micro_batch"),
        draft.left_open("training.gradient_checkpointing"),
    )
    if job is None or not _predictable(draft, job):
        draft.choose("training.micro_batch", 1, MICRO_UNKNOWN())
        draft.choose("training.gradient_checkpointing", not draft.on_cpu, CHECKPOINTING_UNKNOWN())
        return
    job = _within_memory(draft, job)
    rows = _rows(draft) if open_batch else [draft.value("training.micro_batch")]
    tries = [False, True] if open_checkpointing else [draft.value("training.gradient_checkpointing")]
    rows_taken, checkpointing = _first_that_fits(draft, job, rows, tries)
    _say_rows(draft, rows_taken, rows[0])
    draft.choose(
        "training.gradient_checkpointing", checkpointing, CHECKPOINTING_ON() if checkpointing else CHECKPOINTING_OFF()
    )


def _job(draft: Draft) -> Job | None:
    """The job with one row at a time and no checkpointing, wherever those are open."""
    stand_ins = {
        "training.micro_batch": 1,
        "training.gradient_checkpointing": False,
        "training.batch": 16,
        "training.optimizer": "adamw_fused",
    }
    return draft.job(**{option: value for option, value in stand_ins.items() if draft.left_open(option)})


def _within_memory(draft: Draft, job: Job) -> Job:
    """Where the longest row does not fit even by itself, an automatic cutoff is the longest that does."""
    least = replace(job, micro_batch=1, checkpointing=True)
    if draft.asked.dataset.cutoff != "auto" or _fits(draft, least) is not False:
        return job
    lengths = range(SHORTEST, job.length, 64)
    place = bisect_left(lengths, True, key=lambda length: not _fits(draft, replace(least, length=length)))
    if place == 0:
        return job
    draft.decide("dataset.cutoff", lengths[place - 1], CUTOFF_MEMORY(longest=job.length))
    return replace(job, length=lengths[place - 1])


def _rows(draft: Draft) -> list[int]:
    """Micro-batches to try, largest first: whole parts of the batch, no more rows than there are."""
    batch = max(1, draft.value("training.batch") // draft.processes)
    most = ROWS_ON_CPU if draft.on_cpu else max(1, TOKENS_ENOUGH // longest(draft))
    whole = [rows for rows in range(1, min(batch, most) + 1) if batch % rows == 0]
    return sorted(whole, reverse=True)


def _first_that_fits(draft: Draft, job: Job, rows: list[int], tries: list[bool]) -> tuple[int, bool]:
    """A small micro-batch without checkpointing beats a large one with it: it is a third faster.

    `rows` are largest first, and what fits for one count fits for all that follow.
    """
    for checkpointing in tries:

        def enough(count: int, checkpointing: bool = checkpointing) -> bool:
            return bool(_fits(draft, replace(job, micro_batch=count, checkpointing=checkpointing)))

        place = bisect_left(rows, True, key=enough)
        if place < len(rows):
            return rows[place], checkpointing
    return rows[-1], tries[-1]


def _room(draft: Draft) -> float | None:
    """Bytes that a prediction may come to; fewer where runs on this card took more than was predicted for them."""
    if draft.device is None or draft.device.free is None:
        return None
    machine = draft.machine
    way = way_of(draft.recipe()) if machine.peaks else ""
    correction = correction_for(draft.gpu, way, machine.torch_version, machine.peaks)
    return ROOM * draft.device.free / (correction.reserved if correction else 1)


def _fits(draft: Draft, job: Job) -> bool | None:
    room = _room(draft)
    if draft.model is None or draft.device is None or room is None or draft.asked.hardware.fsdp:
        return None
    return fits(job, draft.model, draft.device, room)


def _predictable(draft: Draft, job: Job) -> bool:
    return draft.model is not None and _room(draft) is not None and predictable(job, draft.model)


def _say_rows(draft: Draft, rows: int, most: int) -> None:
    tokens = rows * longest(draft)
    if rows * draft.processes == draft.value("training.batch"):
        draft.choose("training.micro_batch", rows, MICRO_WHOLE())
    elif rows == 1:
        draft.choose("training.micro_batch", 1, MICRO_ONE())
    elif rows < most:
        draft.choose("training.micro_batch", rows, MICRO_FITS(tokens=tokens))
    else:
        draft.choose("training.micro_batch", rows, MICRO_ENOUGH() if draft.on_cpu else MICRO_BUSY(tokens=tokens))


def _choose_optimizer(draft: Draft, job: Job | None) -> None:
    if draft.method == "lora":
        draft.choose("training.optimizer", "adamw_fused", FUSED())
        return
    if not draft.left_open("training.optimizer"):
        return
    whole = _fits(draft, replace(job, checkpointing=True)) if job else None
    if draft.on_cpu or whole is not False or not draft.machine.usable("bitsandbytes"):
        draft.choose("training.optimizer", "adamw_fused", FUSED_FITS())
    else:
        draft.choose("training.optimizer", "adamw_8bit", EIGHT_BIT())


def judge(draft: Draft, recipe: Recipe, job: Job | None) -> Memory:
    """The prediction for the finished recipe, with a finding where it does not fit."""
    device = draft.device
    live = (
        predict(job, draft.model, device.kind, card=device.name, room=device.total)
        if job and draft.model and device and not draft.asked.hardware.fsdp
        else None
    )
    uncorrected, runs = None, 0
    machine = draft.machine
    way = way_of(recipe) if machine.peaks else ""
    correction = correction_for(draft.gpu, way, machine.torch_version, machine.peaks)
    if live is not None and correction is not None:
        uncorrected, runs, live = live, correction.runs, corrected(live, correction)
        numbers = {"predicted": uncorrected.process / GIB, "corrected": live.process / GIB}
        draft.find("note", "hardware.devices", LEARNED(runs=runs, **numbers))
    free, error = device.free if device else None, stated_error(device)
    if live is None or free is None:
        if draft.model is not None and live is None and not draft.asked.hardware.fsdp:
            draft.find("note", "model.path", UNKNOWN())
        return Memory(live, None, draft.device, "unknown", error, uncorrected, runs)
    memory = Memory(live, None, draft.device, verdict_on(live, free), error, uncorrected, runs)
    draft.findings += memory_findings(memory, recipe, longest(draft))
    return memory
