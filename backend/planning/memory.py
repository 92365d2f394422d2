"""What depends on memory: micro-batch, checkpointing, optimizer; and the verdict on the whole."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from finetty.backend.memory import Job, MemoryPrediction, fits, predict, stated_error
from finetty.backend.messages import message
from finetty.backend.planning.arithmetic import ROOM, longest
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.plan import Memory, Verdict

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
OVER = message(
    "plan.memory.over", "The run needs about {needed:.1f} GiB at its peak, and {free:.1f} GiB are free on {device}."
)
TIGHT = message(
    "plan.memory.tight", "The run needs about {needed:.1f} of {free:.1f} GiB free on {device}: it may just not fit."
)
SMALLER = message("plan.memory.smaller", "Take {suggestion}.")
UNKNOWN = message("plan.memory.unknown", "The memory of this model cannot be predicted: its shape is not known.")
SUGGESTIONS = {
    "nf4": "precision.quantization: nf4",
    "lora": "method.name: lora",
    "checkpointing": "training.gradient_checkpointing: true",
    "micro_batch": "training.micro_batch: 1",
    "cutoff": "a shorter dataset.cutoff",
    "model": "a smaller model",
}

TOKENS_ENOUGH = 16_384
"""Tokens in a micro-batch beyond which a card only gets fuller, not faster."""
ROWS_ON_CPU = 4
GIB = 1 << 30


def choose_by_memory(draft: Draft) -> None:
    """Largest micro-batch first without, then with checkpointing; an optimizer whose states fit."""
    job = _job(draft)
    _choose_optimizer(draft, job)
    job = _job(draft)
    open_batch, open_checkpointing = (
        draft.left_open("training.micro_batch"),
        draft.left_open("training.gradient_checkpointing"),
    )
    if job is None or _fits(draft, replace(job, checkpointing=True)) is None:
        draft.choose("training.micro_batch", 1, MICRO_UNKNOWN())
        draft.choose("training.gradient_checkpointing", not draft.on_cpu, CHECKPOINTING_UNKNOWN())
        return
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


def _rows(draft: Draft) -> list[int]:
    """Micro-batches to try, largest first: whole parts of the batch, no more rows than there are."""
    batch = draft.value("training.batch")
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
    return ROOM * draft.device.free if draft.device and draft.device.free is not None else None


def _fits(draft: Draft, job: Job) -> bool | None:
    room = _room(draft)
    if draft.model is None or draft.device is None or room is None:
        return None
    return fits(job, draft.model, draft.device, room)


def _say_rows(draft: Draft, rows: int, most: int) -> None:
    tokens = rows * longest(draft)
    if rows == draft.value("training.batch"):
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
    whole = _fits(draft, replace(job, checkpointing=True)) if job else None
    if draft.on_cpu or whole is not False or not draft.machine.usable("bitsandbytes"):
        draft.choose("training.optimizer", "adamw_fused", FUSED_FITS())
    else:
        draft.choose("training.optimizer", "adamw_8bit", EIGHT_BIT())


def judge(draft: Draft) -> Memory:
    """The prediction for the finished recipe, with a finding where it does not fit."""
    job, device = draft.job(), draft.device
    live = (
        predict(job, draft.model, device.kind, card=device.name, room=device.total)
        if job and draft.model and device
        else None
    )
    free, error = device.free if device else None, stated_error(device)
    if live is None or free is None:
        if draft.model is not None and live is None:
            draft.find("note", "model.path", UNKNOWN())
        return Memory(live, None, draft.device, "unknown", error)
    verdict: Verdict = "fits" if live.process <= ROOM * free else "tight" if live.process <= free else "over"
    _say_verdict(draft, live, verdict, free)
    return Memory(live, None, draft.device, verdict, error)


def _say_verdict(draft: Draft, live: MemoryPrediction, verdict: Verdict, free: int) -> None:
    if verdict == "fits" or draft.device is None:
        return
    numbers = {"needed": live.process / GIB, "free": free / GIB, "device": draft.device.name}
    fix = SMALLER(suggestion=_suggestion(draft))
    if verdict == "tight":
        draft.find("note", "training.micro_batch", TIGHT(**numbers), fix)
        return
    beyond_doubt = live.process > free * (1 + stated_error(draft.device))
    draft.find("error" if beyond_doubt else "warning", "training.micro_batch", OVER(**numbers), fix)


def _suggestion(draft: Draft) -> str:
    """The next thing to try, mildest first."""
    if draft.value("training.micro_batch") > 1:
        return SUGGESTIONS["micro_batch"]
    if not draft.value("training.gradient_checkpointing"):
        return SUGGESTIONS["checkpointing"]
    if draft.method != "lora":
        return SUGGESTIONS["lora"]
    if draft.value("precision.quantization") == "none" and not draft.on_cpu:
        return SUGGESTIONS["nf4"]
    return SUGGESTIONS["cutoff"] if longest(draft) > 512 else SUGGESTIONS["model"]
