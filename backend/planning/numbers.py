"""The numbers of the training: rows, steps, learning rate, adapter size. Each rule with its reason.

Sources: the learning rates are those of the QLoRA paper (Dettmers et al. 2023) and Unsloth's guide; that LoRA's best
is about ten times full tuning's, and that it dislikes large batches, is from "LoRA Without Regret" (Thinking Machines
2025); the square root for the batch follows Malladi et al. 2022.
"""

from __future__ import annotations

import math

from finetty.backend.messages import Message, message
from finetty.backend.models import ModelFacts
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.steps import Schedule, steps_of

EVERYWHERE = message("plan.targets.everywhere", "adapters in all linear layers learn best")
RANK = message("plan.rank", "{rows:,} rows: 16 holds up to 10,000 rows, 32 up to 50,000, then 64")
RANK_NO_ROWS = message("plan.rank_no_rows", "the usual size, until the data is known")
ALPHA = message("plan.alpha", "twice the rank")
ALPHA_RSLORA = message("plan.alpha_rslora", "twice the square root of the rank, since rsLoRA scales by it")
UNUSED = message("plan.unused", "not used by this method")
FREEZE_LAYERS = message("plan.freeze_layers", "the last eighth of the {count} layers, at least two")
FREEZE_TWO = message("plan.freeze_two", "the last two layers")
CUTOFF_LONGEST = message("plan.cutoff.longest", "the longest row has {longest:,} tokens, rounded up to 64")
CUTOFF_CONTEXT = message(
    "plan.cutoff.context", "the model reads at most {context:,} tokens; the longest row has {longest:,}"
)
CUTOFF_UNKNOWN = message("plan.cutoff.unknown", "an upper bound, until the rows are read")
CUTOFF_TEXTS = message(
    "plan.cutoff.texts",
    "texts fill sequences of this length: at most {most:,} tokens, so short that {total:,} tokens fill a hundred",
)
VALIDATION_SMALL = message("plan.validation.small", "10% of {rows:,} rows, at least 20: fewer would be noise")
VALIDATION_FEW = message("plan.validation.few", "a third of only {rows:,} rows")
VALIDATION_LARGE = message("plan.validation.large", "5% of {rows:,} rows, at most 500")
VALIDATION_UNKNOWN = message("plan.validation.unknown", "5%, until the rows are read")
EPOCHS = message("plan.epochs", "{rows:,} rows: 3 times below 1,000 rows, twice up to 50,000, then once")
EPOCHS_UNKNOWN = message("plan.epochs_unknown", "the usual number, until the rows are read")
EPOCHS_STEPS = message("plan.epochs_steps", "max_steps decides the length")
BATCH_WHOLE = message("plan.batch.whole", "16 rows are a steady step, and {steps:,} steps are enough")
BATCH_HALVED = message(
    "plan.batch.halved", "halved from 16 for more steps: {steps:,} now; LoRA learns little in few large steps"
)
BATCH_UNKNOWN = message("plan.batch.unknown", "the usual size, until the rows are read")
BATCH_FITTED = message("plan.batch.fitted", "{batch}, in whole micro-batches of {micro_batch}")
RATE = message("plan.rate", "{base} for {method} of a model of this size, × √({batch} / 16)")
WARMUP = message("plan.warmup", "5% of {steps:,} steps")
WARMUP_SHORT = message("plan.warmup_short", "too few steps to warm up")
WARMUP_UNKNOWN = message("plan.warmup_unknown", "5% of the run")
TEN_TIMES = message("plan.checkpoints", "about ten times in {steps:,} steps")
TEN_TIMES_UNKNOWN = message("plan.checkpoints_unknown", "until the number of steps is known")

USUAL_CUTOFF = 2048
SHORTEST_BLOCK = 256
"""Tokens of a sequence that texts share, at the least: a shorter one would cut most of them."""
ENOUGH_STEPS = 100
SMALL_MODEL, LARGE_MODEL = 1_000_000_000, 13_000_000_000


def training_rows(draft: Draft) -> int | None:
    """Rows that are learned from, once the validation rows are kept back."""
    if draft.data is None:
        return None
    own_file = isinstance(draft.value("dataset.validation"), str)
    return draft.data.rows - (0 if own_file else validation_rows(draft) or 0)


def validation_rows(draft: Draft) -> int | None:
    """Rows kept back of the training files, or those of a file of their own; None where they are not known."""
    value = draft.value("dataset.validation")
    if draft.data is None:
        return None
    if isinstance(value, str):
        return draft.data.validation_rows
    rows = draft.data.rows
    count = round(value * rows) if isinstance(value, float) and value < 1 else int(value)
    return max(0, min(count, rows - 1))


def packs_texts(draft: Draft) -> bool:
    """Whether texts for pretraining share sequences, which the cutoff then is the length of."""
    return draft.data is not None and draft.data.only_texts and draft.asked.dataset.packing is not False


def choose_cutoff(draft: Draft) -> None:
    context = draft.model.context_length if draft.model else None
    if draft.data is not None and packs_texts(draft):
        total = sum(draft.data.texts)
        enough = -(-total // (ENOUGH_STEPS * 64)) * 64
        length = min(context or USUAL_CUTOFF, USUAL_CUTOFF, max(SHORTEST_BLOCK, enough))
        draft.choose("dataset.cutoff", max(16, length), CUTOFF_TEXTS(total=total, most=USUAL_CUTOFF))
        return
    longest = draft.data.longest if draft.data and draft.data.measured else None
    if longest is None:
        draft.choose("dataset.cutoff", max(16, min(context or USUAL_CUTOFF, USUAL_CUTOFF)), CUTOFF_UNKNOWN())
        return
    wanted = -(-longest // 64) * 64
    if context is not None and wanted > context:
        reason = CUTOFF_CONTEXT(context=context, longest=longest)
        draft.choose("dataset.cutoff", max(16, context), reason)
    else:
        draft.choose("dataset.cutoff", wanted, CUTOFF_LONGEST(longest=longest))


def choose_validation(draft: Draft) -> None:
    if draft.data is None:
        draft.choose("dataset.validation", 0.05, VALIDATION_UNKNOWN())
        return
    rows = draft.data.rows
    if rows >= 500:
        draft.choose("dataset.validation", min(500, max(20, round(0.05 * rows))), VALIDATION_LARGE(rows=rows))
    elif rows < 60:
        draft.choose("dataset.validation", rows // 3, VALIDATION_FEW(rows=rows))
    else:
        draft.choose("dataset.validation", max(20, round(0.1 * rows)), VALIDATION_SMALL(rows=rows))


def choose_adapter(draft: Draft) -> None:
    if draft.method != "lora":
        draft.choose("method.rank", 16, UNUSED())
        draft.choose("method.alpha", 32.0, UNUSED())
        draft.choose("method.targets", "all-linear", UNUSED())
        return
    rows = training_rows(draft)
    if rows is None:
        draft.choose("method.rank", 16, RANK_NO_ROWS())
    else:
        draft.choose("method.rank", 16 if rows <= 10_000 else 32 if rows <= 50_000 else 64, RANK(rows=rows))
    rank = draft.value("method.rank")
    if draft.asked.method.rslora:
        draft.choose("method.alpha", round(2 * math.sqrt(rank), 2), ALPHA_RSLORA())
    else:
        draft.choose("method.alpha", 2.0 * rank, ALPHA())
    draft.choose("method.targets", "all-linear", EVERYWHERE())


def choose_layers(draft: Draft) -> None:
    if draft.method != "freeze":
        draft.choose("method.layers", 2, UNUSED())
        return
    layers = draft.model.layers if draft.model else None
    if layers is None:
        draft.choose("method.layers", 2, FREEZE_TWO())
    else:
        draft.choose("method.layers", min(layers, max(2, layers // 8)), FREEZE_LAYERS(count=layers))


def choose_epochs(draft: Draft) -> None:
    rows = training_rows(draft)
    if draft.asked.training.max_steps is not None:
        draft.choose("training.epochs", 1.0, EPOCHS_STEPS())
    elif rows is None:
        draft.choose("training.epochs", 3.0, EPOCHS_UNKNOWN())
    else:
        draft.choose("training.epochs", 3.0 if rows < 1000 else 2.0 if rows <= 50_000 else 1.0, EPOCHS(rows=rows))


def choose_batch(draft: Draft) -> None:
    micro_batch = draft.value("training.micro_batch")
    rows = training_sequences(draft) if packs_texts(draft) else training_rows(draft)
    if rows is None:
        batch, reason = 16, BATCH_UNKNOWN()
    else:
        batch, reason = _batch_for(draft, rows)
    if isinstance(micro_batch, int) and batch % micro_batch:
        batch = max(1, round(batch / micro_batch)) * micro_batch
        reason = BATCH_FITTED(batch=batch, micro_batch=micro_batch)
    draft.choose("training.batch", batch, reason)


def _batch_for(draft: Draft, rows: int) -> tuple[int, Message]:
    training = draft.asked.training

    def steps(batch: int) -> int:
        return training.max_steps or math.ceil(draft.value("training.epochs") * math.ceil(rows / batch))

    batch = 16
    while batch > 4 and steps(batch) < ENOUGH_STEPS and training.max_steps is None:
        batch //= 2
    reason = BATCH_WHOLE(steps=steps(16)) if batch == 16 else BATCH_HALVED(steps=steps(batch))
    return batch, reason


def choose_learning_rate(draft: Draft) -> None:
    rate = usual_rate(draft.model) * (1 if draft.method == "lora" else 0.1)
    batch = draft.value("training.batch")
    scaled = float(f"{rate * math.sqrt(batch / 16):.2g}")
    name = {"lora": "LoRA", "full": "full tuning", "freeze": "freeze"}[draft.method]
    draft.choose("training.learning_rate", min(scaled, 10.0), RATE(base=f"{rate:.0e}", method=name, batch=batch))


def usual_rate(model: ModelFacts | None) -> float:
    """LoRA's learning rate for 16 rows a step, by the model's size.

    2e-4 and, above 13B, 1e-4: QLoRA paper, Unsloth's guide. Below 1B 1e-3, measured on the demo (SmolLM2-135M, 78 steps
    of 4 rows): of ten unseen questions 0 are answered in the form at 1e-4, 6 at 2e-4, 10 at 5e-4 and 1e-3. Thinking
    Machines' rule, 5e-4 × (2000 / hidden size)^0.78 for Llamas, gives 1.3e-3 there.
    """
    parameters = (model.parameters if model else None) or SMALL_MODEL
    if parameters < SMALL_MODEL:
        return 1e-3
    return 1e-4 if parameters > LARGE_MODEL else 2e-4


def schedule(draft: Draft) -> Schedule | None:
    """None while rows or batch are not known."""
    sequences = training_sequences(draft)
    micro_batch, batch = draft.value("training.micro_batch"), draft.value("training.batch")
    if sequences is None or sequences < 1 or "auto" in (micro_batch, batch):
        return None
    epochs = draft.value("training.epochs")
    return steps_of(sequences, micro_batch * draft.processes, batch, float(epochs), draft.asked.training.max_steps)


def training_sequences(draft: Draft) -> int | None:
    """Usually one a row; where a template or a long text makes several, validation rows take their share. Texts that
    share sequences are counted as they are trained, the validation rows left out."""
    rows = training_rows(draft)
    if draft.data is None or rows is None or not draft.data.rows:
        return rows
    cutoff = draft.value("dataset.cutoff")
    if packs_texts(draft) and isinstance(cutoff, int):
        return draft.data.blocks_at(cutoff, draft.data.rows - rows)
    sequences = draft.data.sequences_at(cutoff) if isinstance(cutoff, int) else draft.data.sequences
    return round(rows * sequences / draft.data.rows)


def choose_course(draft: Draft, steps: int | None) -> None:
    """Warm-up and checkpoints, which count in steps."""
    if steps is None:
        draft.choose("training.warmup", 0.05, WARMUP_UNKNOWN())
        draft.choose("output.checkpoint_every", 100, TEN_TIMES_UNKNOWN())
        return
    warmup = min(max(1, round(0.05 * steps)), steps // 10)
    if warmup:
        draft.choose("training.warmup", warmup, WARMUP(steps=steps))
    else:
        draft.choose("training.warmup", 0.0, WARMUP_SHORT())
    draft.choose("output.checkpoint_every", max(1, math.ceil(steps / 10)), TEN_TIMES(steps=steps))
