"""The live estimate: the peak memory of a training step, component by component.

The peak is what stays for the whole run, and the most that comes and goes with it: the end of the forward pass, the
loss, a layer computed again on the way back, the optimizer's update. It is a maximum, not a sum. What comes and goes is
counted tensor by tensor, in the order in which PyTorch makes and frees them, and what the allocator reserves for that
order by its own rules. Nothing is fitted. Left out: Unsloth's savings, and
vision towers' activations (text rows never reach them). Hence the stated error.
"""

from __future__ import annotations

from functools import lru_cache

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.memory.formula import formula_of, values_of
from finetty.backend.memory.job import STORED_BYTES, Job, job_of
from finetty.backend.memory.prediction import Device, MemoryPrediction
from finetty.backend.memory.reserve import reserved_on_card
from finetty.backend.memory.shapes import known_shape
from finetty.backend.memory.trained import freeze_parameters, full_parameters, lora_parameters
from finetty.backend.models.facts import ModelFacts
from finetty.backend.recipe import Recipe

STATED_ERROR = {"cuda": 0.14, "cpu": 0.20}
"""The share by which `process` may be off. On cards, nine in ten of 104 measured runs were nearer, `allocated` within
0.8% and `reserved` within 8.4% (`python -m tests.benchmarks.memory`); on a processor the worst of five was that far."""
EIGHT_BIT_STATES = 2 * (1 + 4 / 256)
"""Bytes a parameter: two states of one byte each, and a float for every 256 (Dettmers et al. 2022)."""
STATES = {
    "adamw": 8.0,
    "adamw_fused": 8.0,
    "adamw_8bit": EIGHT_BIT_STATES,
    "paged_adamw_8bit": EIGHT_BIT_STATES,
    "adafactor": 0.05,
}
"""Optimizer bytes a parameter trained in fp32. Adafactor keeps a row and a column where AdamW keeps a matrix."""
NF4_SCALE, NF4_DOUBLE_SCALE = 4 / 64, 1 / 64 + 4 / (64 * 256)
"""Bytes a parameter for the scales of 4-bit blocks of 64 (QLoRA, Dettmers et al. 2023)."""
GPTQ_SCALE = (2 + 0.5) / 128
"""A 16-bit scale and a 4-bit zero for every 128."""
CUBLAS_WORKSPACE = 8_519_680
"""For each thread that multiplies: the one of the forward and that of the backward pass. 32 MiB on Hopper."""
CUDA_CONTEXT = 500 << 20
"""On a card that is not named below: between 141 MiB and, with old drivers, 1.3 GiB."""
CUDA_CONTEXTS = {"T4": 141 << 20}
"""Measured, as what NVML shows for the process less what torch reserves (fitcheck-llm 0.3.1)."""
MOST_HELD, MOST_HELD_EAGER = 1.3, 1.5
"""Reserved over allocated at most; 1.25 and 1.49 were measured."""
CPU_CONTEXT = 560 << 20
"""Resident size of a process with torch, transformers, peft and the dashboard loaded, without a model; measured."""
HEAP_HOLES = 0.8
"""On a processor, what the heap holds beyond the tensors, as a share of those that come and go. Measured with glibc on
SmolLM2-135M: 0.4 to 1.2; with every tensor in a mapping of its own (MALLOC_MMAP_THRESHOLD_) it is nothing."""


def estimate(recipe: Recipe, model: ModelFacts, data: DataFacts | None, device: Device) -> MemoryPrediction | None:
    """The peak on the device for a resolved recipe; None where the model's shape, or a choice, is not known."""
    job = job_of(recipe, data)
    return None if job is None else predict(job, model, device.kind, card=device.name, room=device.total)


def stated_error(device: Device | None) -> float:
    """The share by which the prediction for a device of this kind may be off."""
    return STATED_ERROR[device.kind if device else "cpu"]


def trained_parameters(job: Job, model: ModelFacts) -> int | None:
    """Exactly how many parameters the job trains; None where that is not known."""
    if job.method == "lora":
        return lora_parameters(model, job.targets, job.rank, dora=job.dora)
    if job.method == "full":
        return full_parameters(model)
    return freeze_parameters(model, job.layers, job.modules, job.extra_modules)


def predict(
    job: Job, model: ModelFacts, kind: str, *, card: str = "", room: int | None = None
) -> MemoryPrediction | None:
    """`kind`: cuda or cpu; `card`: its name, `room`: all its bytes. None where the model's shape is not known.

    Where the card is nearly full the allocator returns what it holds in vain before it gives up.
    """
    found = _predict(job, model, kind)
    if found is None or kind == "cpu":
        return found
    context = context_on(card)
    reserved = found.reserved if room is None else min(found.reserved, max(found.allocated, room - context))
    outside = context + found.components["context"]
    return MemoryPrediction(found.allocated, reserved, reserved + outside, {**found.components, "context": outside})


@lru_cache(maxsize=256)
def _predict(job: Job, model: ModelFacts, kind: str) -> MemoryPrediction | None:
    """On a card without its context, which is the card's."""
    trained, formula = trained_parameters(job, model), formula_of(job, model)
    if trained is None or formula is None:
        return None
    values, resident = values_of(job, model), _resident(job, model, trained, kind)
    peak, place = formula.peak(values)
    update, stays = _update(job, model, trained, kind), sum(resident.values())
    allocated = stays + max(peak, update)
    if kind == "cuda":
        beside = stays - resident["weights"]
        # What an adapter's backward pass takes from here on is less than it has given back.
        until = formula.turned if job.method == "lora" else None
        reserved = reserved_on_card(job, model, formula.storages(values, until), quantized_bytes(job), beside)
        outside = round(EIGHT_BIT_STATES * trained) if job.optimizer.startswith("paged") else 0
    else:
        reserved, outside = allocated + round(HEAP_HOLES * peak), CPU_CONTEXT
    if peak >= update:
        passing = formula.by_part(values, place)
    else:
        passing = {"gradients": 0 if job.accumulates else job.trained_bytes * trained}
        passing["workspace"] = update - passing["gradients"]
    names = ("weights", "adapter", "gradients", "optimizer", "activations", "loss", "workspace")
    components = {name: resident.get(name, 0) + passing.get(name, 0) for name in names}
    reserved = max(reserved, allocated)
    return MemoryPrediction(allocated, reserved, reserved + outside, {**components, "context": outside})


def context_on(card: str) -> int:
    return next((size for name, size in CUDA_CONTEXTS.items() if name in card.split()), CUDA_CONTEXT)


def predictable(job: Job, model: ModelFacts) -> bool:
    """Whether the job's memory can be predicted: the model's shape is known, and what of it is trained."""
    return known_shape(model) and trained_parameters(job, model) is not None


def fits(job: Job, model: ModelFacts, device: Device, room: float) -> bool | None:
    """Whether the process stays within `room`; None where that is not known.

    The allocator's replay is left out where the answer is the same whatever it holds: from nothing up to half more.
    """
    trained = trained_parameters(job, model)
    if trained is None or not known_shape(model):
        return None
    stays, update = sum(_resident(job, model, trained, device.kind).values()), _update(job, model, trained, device.kind)
    if device.kind == "cuda":
        left = room - context_on(device.name)
        if stays + update > left:
            return False
        formula = formula_of(job, model)
        assert formula is not None  # the shape is known
        allocated = stays + max(formula.peak(values_of(job, model))[0], update)
        most = MOST_HELD_EAGER if job.attention == "eager" else MOST_HELD
        if allocated > left or (most * allocated <= left and not job.optimizer.startswith("paged")):
            return allocated <= left
    whole = predict(job, model, device.kind, card=device.name, room=device.total)
    return whole.process <= room if whole else None


def _resident(job: Job, model: ModelFacts, trained: int, kind: str) -> dict[str, int]:
    """What stays from the first step to the last."""
    return {
        "weights": _weights(job, model, trained),
        "adapter": job.trained_bytes * trained if job.method == "lora" else 0,
        "gradients": job.trained_bytes * trained if job.accumulates else 0,
        "optimizer": _states(job, trained, kind),
        "workspace": 2 * CUBLAS_WORKSPACE if kind == "cuda" else 0,
    }


def _states(job: Job, trained: int, kind: str) -> int:
    """AdamW's two states in the parameters' format. Paged ones are in memory that torch does not count."""
    if job.optimizer.startswith("paged") and kind == "cuda":
        return 0
    share = job.trained_bytes / 4 if job.optimizer in ("adamw", "adamw_fused") else 1
    return round(share * STATES[job.optimizer] * trained)


def _update(job: Job, model: ModelFacts, trained: int, kind: str) -> int:
    """At the optimizer's step: all gradients, and its temporaries. foreach makes one of every parameter at once."""
    gradients = 0 if job.accumulates else job.trained_bytes * trained
    logits = job.tokens * (model.vocabulary or 0) * job.compute_bytes if job.keeps_outputs else 0
    largest = max((module.inputs * module.outputs for module in model.linear_modules), default=0)
    if job.method == "full":
        largest = max(largest, (model.vocabulary or 0) * (model.hidden_size or 0))
    within = {"adamw": job.trained_bytes * trained if kind == "cuda" else 0, "adafactor": 3 * 4 * largest}
    if job.method == "lora":
        within.pop("adafactor")
    return gradients + logits + within.get(job.optimizer, 0)


def _weights(job: Job, model: ModelFacts, trained: int) -> int:
    """Frozen weights in their format, quantized ones in theirs; freeze keeps what it trains in fp32 beside them."""
    everything = model.parameters or model.trainable_text_parameters or 0
    if job.method == "freeze":
        stored = job.weight_bytes if job.weights else STORED_BYTES.get(model.stored_dtype or "", 4)
        return stored * (everything - trained) + job.trained_bytes * trained
    quantized = sum(module.parameters for module in model.linear_modules) if job.quantization != "none" else 0
    narrowed = (job.residual_bytes - job.end_bytes) * (model.embedding_parameters or 0)
    return job.residual_bytes * (everything - quantized) - narrowed + round(quantized_bytes(job) * quantized)


def quantized_bytes(job: Job) -> float:
    if job.quantization == "int8":
        return 1.0
    if job.quantization == "gptq":
        return 0.5 + GPTQ_SCALE
    return 0.5 + (NF4_DOUBLE_SCALE if job.double_quantization else NF4_SCALE)
