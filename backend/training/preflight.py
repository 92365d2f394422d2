"""What is tried before step 1, so that a run which cannot work says so at once."""

from __future__ import annotations

import math
import resource
import shutil
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from finetty.backend.conversation import Encoder, Row
from finetty.backend.messages import Refusal, message
from finetty.backend.planning.plan import Memory
from finetty.backend.training import out_of_memory
from finetty.backend.training.answer import continuation
from finetty.backend.training.batches import Example, in_batches, longest_batch
from finetty.backend.training.checkpoints import in_passing
from finetty.backend.training.randomness import random_states_kept
from finetty.backend.training.trained import trained_parameters

if TYPE_CHECKING:
    from finetty.backend.training.trainer import RunTrainer

OTHER_TOKENS = message(
    "training.other_tokens",
    "The model's own tokenizer reads this text differently: from token {place} on finetty has {ours}, it has {theirs}.",
)
REPORT_TOKENS = message(
    "training.report_tokens", "Please report this model; choose another template or model until it is mended."
)
LOSS_NOT_FINITE = message(
    "training.loss_not_finite", "The loss of the longest batch is {loss}, not a number to learn from."
)
LOSS_ZERO = message("training.loss_zero", "The loss of the longest batch is zero: there is nothing to learn in it.")
TRY_FP32 = message(
    "training.try_fp32", "Try precision.compute: fp32 or bf16, and check that the model's files are whole."
)
CHECK_ANSWERS = message(
    "training.check_answers", "Look at a row with `finetty preview`: which of its tokens are learned?"
)
NO_GRADIENT = message(
    "training.no_gradient", "{count} parameters that should be trained get no gradient, {name} among them."
)
WRONG_GRADIENT = message(
    "training.wrong_gradient", "{count} parameters that should stay frozen get a gradient, {name} among them."
)
OTHER_TARGETS = message("training.other_targets", "Choose the method's targets or modules by name.")
DISK_SHORT = message(
    "training.disk_short", "The run will write about {needed:size} of checkpoints and {free:size} are free."
)
FREE_DISK = message("training.free_disk", "Free some space, keep fewer checkpoints, or move the runs with --runs-dir.")

SMALL_VOCABULARY = message(
    "training.small_vocabulary",
    "The tokenizer writes token {largest} and the model's vocabulary has {size} tokens: they do not belong together.",
)
CHECK_TOKENIZER = message("training.check_tokenizer", "Put the tokenizer's files back that came with the model.")
MEASURED = message("training.measured", "The longest batch took {gib} GiB of memory.")
MEASURED_BESIDE = message(
    "training.measured_beside", "The longest batch took {gib} GiB of memory; {predicted} GiB were predicted."
)

OTHER_LOSS = message(
    "training.other_loss",
    "This model does more to its logits than finetty's chunked loss knows, so transformers' own loss is used.",
)
MORE_MEMORY = message("training.more_memory", "It takes more memory than was predicted; the loss is right.")

ROUNDING = {"fp32": 1e-4, "bf16": 1e-2, "fp16": 1e-2}
"""How far two sums of the same loss may be apart, by the format that the logits are in."""
ROWS_COMPARED = 8
TOKENS_READ, TOKENS_WRITTEN = 16, 4
"""The generation that is tried: long enough to use the cache, and soon over."""
BYTES_OF_OPTIMIZER = {"adamw": 8, "adamw_fused": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2, "adafactor": 1}
"""For each trained parameter, beside its own four."""


def check_tokens(folder: Path, encoder: Encoder, rows: Sequence[Row], *, trust_remote_code: bool) -> None:
    """finetty's token ids against those of the model's own tokenizer, on some rows. Raises Refusal on a difference."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    for row in rows[:: max(1, len(rows) // ROWS_COMPARED)][:ROWS_COMPARED]:
        for sequence in encoder.encode(row):
            theirs = tokenizer(sequence.text, add_special_tokens=False)["input_ids"]
            if list(sequence.ids) != theirs:
                raise _other_tokens(sequence.ids, theirs)


def check_vocabulary(model: Any, examples: Iterable[Example]) -> None:
    """Every token id has its row in the embeddings; on a card the error would not name it. Raises Refusal."""
    size = model.get_input_embeddings().weight.shape[0]
    largest = max(max(example.ids) for example in examples)
    if largest >= size:
        raise Refusal(SMALL_VOCABULARY(largest=largest, size=size), CHECK_TOKENIZER(), option="model.path")


def check_disk(folder: Path, parameters: int, optimizer: str, keep: int) -> None:
    """Free bytes against `keep` + 1 checkpoints of so many trained parameters, and the result. Raises Refusal."""
    _check_room(folder, parameters * ((4 + BYTES_OF_OPTIMIZER[optimizer]) * (keep + 1) + 4))


def rehearse(trainer: RunTrainer) -> None:
    """Everything that the run will do, once, at its largest: a step, an evaluation, a save and a generation.

    Afterwards weights, gradients, optimizer and random states are as if it had never happened. Raises Refusal.
    """
    began = time.monotonic()
    with random_states_kept():
        check_chunked_loss(trainer)
        with states_held(trainer):
            try_longest_batch(trainer)
            try_longest_evaluation(trainer)
            memory = measured_memory()
            try_saving(trainer)
        try_generation(trainer)
    _tell(trainer, memory, time.monotonic() - began)


def check_chunked_loss(trainer: RunTrainer) -> None:
    """The chunked loss of the shortest rows beside the model's own; where they differ the model's own is taken."""
    if trainer.loss is None:
        return
    rows = sorted(trainer.examples, key=len)[: trainer.planned.micro_batch]
    trainer.model.eval()
    trainer.loss.active = False
    own = trainer.evaluation.mean_loss(rows)
    trainer.loss.active = True
    try:
        ours = trainer.evaluation.mean_loss(rows)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        traceback.print_exception(error)
        ours = math.nan
    if not math.isclose(ours, own, rel_tol=ROUNDING[trainer.recipe.precision.compute]):
        trainer.loss.active = False
        trainer.journal.alert("warning", OTHER_LOSS(), MORE_MEMORY(), option="acceleration.loss")


@contextmanager
def states_held(trainer: RunTrainer) -> Iterator[None]:
    """The optimizer's states are in memory meanwhile, as they are from step 2 on, and gone afterwards.

    A step at rate 0 on gradients of zero makes them and moves nothing. States that came with a checkpoint stay as
    they are; paged ones do not count, since they make room by themselves. Raises OutOfMemory.
    """
    inner: Any = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    if inner.state or getattr(inner, "is_paged", False):
        yield
        return
    rates = [group["lr"] for group in inner.param_groups]
    try:
        for group in inner.param_groups:
            group["lr"] = 0.0
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        _step(trainer, inner)
        inner.zero_grad(set_to_none=True)
        yield
    finally:
        for group, rate in zip(inner.param_groups, rates, strict=True):
            group["lr"] = rate
        inner.zero_grad(set_to_none=True)
        inner.state.clear()


def _step(trainer: RunTrainer, optimizer: Any) -> None:
    try:
        optimizer.step()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        said = out_of_memory.said("preflight", trainer.memory)
        raise out_of_memory.OutOfMemory(said, out_of_memory.SMALLER_STATES(), option="training.optimizer") from error


def try_longest_batch(trainer: RunTrainer) -> float:
    """One forward and backward pass on the longest batch that the data makes; returns its loss. Raises Refusal."""
    model = trainer.model
    batch = trainer.collate(longest_batch(trainer.examples, trainer.planned.micro_batch))
    targets = (batch["labels"][..., 1:] != -100).sum()
    trainer.current_gradient_accumulation_steps = 1
    trainer.window.begin()
    try:
        loss = float(trainer.training_step(model, batch, targets))
        _check_loss(loss)
        _check_gradients(model)
    finally:
        model.zero_grad(set_to_none=True)
    return loss


def try_longest_evaluation(trainer: RunTrainer) -> None:
    """The held-out loss of the batch that takes the most memory in an evaluation."""
    longest = next(in_batches(trainer.evaluation.held_out, trainer.planned.micro_batch), None)
    if longest is not None:
        trainer.model.eval()
        trainer.evaluation.total_loss(longest)


def try_saving(trainer: RunTrainer) -> None:
    """A checkpoint beside the real ones, removed again; its size, so many times as they are kept, against the disk."""
    run, contents = trainer.journal.run, trainer.keeping.gathered()
    if not trainer.ranks.first:
        return
    with in_passing(run.path / ".preflight.writing") as folder:
        trainer.keeping.fill(folder, contents)
        size = sum(file.stat().st_size for file in folder.iterdir())
    trainer.lookout.checkpoint_bytes = size
    _check_room(run.path, size * (trainer.recipe.output.keep + 1 + bool(len(trainer.evaluation.held_out))))


def try_generation(trainer: RunTrainer) -> None:
    """A few tokens after the beginning of a row, as the sample answers are written."""
    continuation(trainer.model, trainer.examples[0].ids[:TOKENS_READ], longest=TOKENS_WRITTEN)


def _tell(trainer: RunTrainer, memory: dict[str, int], seconds: float) -> None:
    """Measured beside predicted: what the card has reserved, and without one what the process has taken. Bytes."""
    measure = "reserved" if memory["reserved"] else "process"
    predicted = predicted_bytes(trainer.memory, measure)
    gib = {"gib": f"{memory[measure] / 2**30:.2f}"}
    said = MEASURED(**gib) if predicted is None else MEASURED_BESIDE(**gib, predicted=f"{predicted / 2**30:.2f}")
    trainer.journal.note(said, **memory, predicted=predicted, measure=measure, seconds=seconds)


def predicted_bytes(memory: Memory, measure: str) -> int | None:
    """What plan() predicted for `measure`: allocated, reserved or process."""
    predicted = memory.exact or memory.live
    return None if predicted is None else int(getattr(predicted, measure))


def measured_memory() -> dict[str, int]:
    """Bytes at the peak so far: `allocated` and `reserved` on the card (0 without one), `process` in RAM."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if not torch.cuda.is_available():
        return {"allocated": 0, "reserved": 0, "process": peak}
    return {
        "allocated": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
        "process": peak,
    }


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Refusal(DISK_SHORT(needed=needed, free=free), FREE_DISK(), option="output.keep")


def _check_loss(loss: float) -> None:
    if not math.isfinite(loss):
        raise Refusal(LOSS_NOT_FINITE(loss=str(loss)), TRY_FP32(), option="precision.compute")
    if loss == 0:
        raise Refusal(LOSS_ZERO(), CHECK_ANSWERS(), option="dataset.train_on")


def _check_gradients(model: Any) -> None:
    trained = trained_parameters(model)
    without = [name for name, parameter in trained.items() if parameter.grad is None]
    if without:
        raise Refusal(NO_GRADIENT(count=len(without), name=without[0]), OTHER_TARGETS(), option="method.targets")
    wrong = [name for name, one in model.named_parameters() if one.grad is not None and name not in trained]
    if wrong:
        raise Refusal(WRONG_GRADIENT(count=len(wrong), name=wrong[0]), OTHER_TARGETS(), option="method.targets")


def _other_tokens(ours: Sequence[int], theirs: Sequence[int]) -> Refusal:
    pairs = enumerate(zip(ours, theirs, strict=False))
    place = next((place for place, (one, other) in pairs if one != other), min(len(ours), len(theirs)))
    shown = slice(place, place + 4)
    said = OTHER_TOKENS(place=place, ours=list(ours[shown]), theirs=list(theirs[shown]))
    return Refusal(said, REPORT_TOKENS(), option="template.name")
