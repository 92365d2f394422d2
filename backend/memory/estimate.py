"""The live estimate: the peak memory of a training step in closed form, component by component.

All sizes are bytes; N is the tokens of the longest micro-batch, padded. The peak is what stays for the whole run plus
the largest of what comes and goes: the end of the forward pass, the optimizer's step. It is a maximum, not a sum. Every
term is arithmetic on shapes. Left out: what bitsandbytes takes while it loads, Unsloth's savings, vision towers'
activations (text rows never reach them), and fragmentation beyond the usual share. Hence the stated error.
"""

from __future__ import annotations

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.memory.job import Job, job_of
from finetty.backend.memory.prediction import Device, MemoryPrediction
from finetty.backend.memory.trained import freeze_parameters, full_parameters, lora_parameters, targeted
from finetty.backend.models.facts import ModelFacts
from finetty.backend.recipe import Recipe

STATED_ERROR = 0.25
STORED_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "float64": 8}
STATES = {"adamw": 8.0, "adamw_fused": 8.0, "adamw_8bit": 2.03, "paged_adamw_8bit": 2.03, "adafactor": 0.05}
"""Optimizer bytes a trained parameter. 8-bit states: one byte each, and a float for every 256 (Dettmers et al. 2022).
Adafactor keeps a row and a column where AdamW keeps a matrix."""
NF4_SCALE, NF4_DOUBLE_SCALE = 4 / 64, 1 / 64 + 4 / (64 * 256)
"""Bytes a parameter for the scales of 4-bit blocks of 64 (QLoRA, Dettmers et al. 2023)."""
LOGIT_BYTES = 12
"""Of cross entropy in transformers 5: the logits in fp32, their log-softmax, and its gradient."""
CUBLAS_WORKSPACE = 2 * 8_519_680
CUDA_CONTEXT = 500 << 20
"""Between 141 MiB (T4) and 1.3 GiB (old drivers)."""
CPU_CONTEXT = 560 << 20
"""Resident size of a process with torch, transformers, peft and the dashboard loaded, without a model; measured."""
HEAP_HOLES = 0.8
"""On a processor, what the heap holds beyond the tensors, as a share of those that come and go. Measured with glibc on
SmolLM2-135M: 0.4 to 1.2; with every tensor in a mapping of its own (MALLOC_MMAP_THRESHOLD_) it is nothing."""
LIGER_CHUNKS = 8


def estimate(recipe: Recipe, model: ModelFacts, data: DataFacts | None, device: Device) -> MemoryPrediction | None:
    """The peak on the device for a resolved recipe; None where the model's shape, or a choice, is not known."""
    job = job_of(recipe, data)
    return None if job is None else predict(job, model, device.kind)


def trained_parameters(job: Job, model: ModelFacts) -> int | None:
    """Exactly how many parameters the job trains; None where that is not known."""
    if job.method == "lora":
        return lora_parameters(model, job.targets, job.rank, dora=job.dora)
    if job.method == "full":
        return full_parameters(model)
    return freeze_parameters(model, job.layers, job.modules, job.extra_modules)


def predict(job: Job, model: ModelFacts, kind: str) -> MemoryPrediction | None:
    """`kind`: cuda or cpu. None where the model's shape is not known."""
    trained = trained_parameters(job, model)
    if trained is None or _unknown_shape(model):
        return None
    weights = _weights(job, model, trained)
    adapter = 4 * trained if job.method == "lora" else 0
    gradients, states = 4 * trained, round(STATES[job.optimizer] * trained)
    activations, loss = _activations(job, model), _loss(job, model)
    workspace = _workspace(job, model, kind)
    resident = weights + adapter + states + workspace
    forward = activations + loss + (gradients if job.accumulates else 0)
    update = gradients + (4 * trained if job.optimizer == "adamw" and kind == "cuda" else 0)
    allocated = resident + max(forward, update)
    at_forward = forward >= update
    context = CUDA_CONTEXT if kind == "cuda" else CPU_CONTEXT
    reserved = _reserved(job, allocated, activations + loss, kind)
    components = {
        "weights": weights,
        "adapter": adapter,
        "gradients": gradients if job.accumulates or not at_forward else 0,
        "optimizer": states,
        "activations": activations if at_forward else 0,
        "loss": loss if at_forward else 0,
        "workspace": workspace + (0 if at_forward else update - gradients),
        "context": context,
    }
    return MemoryPrediction(allocated, reserved, reserved + context, components)


def _unknown_shape(model: ModelFacts) -> bool:
    known = (
        model.trainable_text_parameters,
        model.layers,
        model.hidden_size,
        model.attention_heads,
        model.head_size,
        model.vocabulary,
        model.linear_modules,
    )
    return not all(known)


def _weights(job: Job, model: ModelFacts, trained: int) -> int:
    """Frozen weights take the arithmetic's format; full and freeze keep what they train in fp32."""
    everything = model.parameters or model.trainable_text_parameters or 0
    if job.method == "full":
        return 4 * everything
    if job.method == "freeze":
        return STORED_BYTES.get(model.stored_dtype or "", 4) * (everything - trained) + 4 * trained
    quantized = sum(module.parameters for module in model.linear_modules) if job.quantization != "none" else 0
    return job.compute_bytes * (everything - quantized) + round(_quantized_bytes(job) * quantized)


def _quantized_bytes(job: Job) -> float:
    if job.quantization == "int8":
        return 1.0
    return 0.5 + (NF4_DOUBLE_SCALE if job.double_quantization else NF4_SCALE)


def _activations(job: Job, model: ModelFacts) -> int:
    """What the forward pass keeps for the backward one."""
    layers, hidden = _layers_passed(job, model), model.hidden_size or 0
    layer = layer_bytes(job, model)
    outside = 4 * job.tokens * hidden
    if job.checkpointing:
        return layers * job.tokens * hidden * job.compute_bytes + layer + outside
    return layers * layer + outside


def _layers_passed(job: Job, model: ModelFacts) -> int:
    """Layers that the gradient goes through: with freeze, those from the lowest trained one upwards."""
    layers = model.layers or 0
    if job.method != "freeze" or job.layers < 0 or "embed_tokens" in job.extra_modules:
        return layers
    return min(job.layers, layers)


def layer_bytes(job: Job, model: ModelFacts) -> int:
    """One decoder layer's kept tensors: norms in fp32, the inputs of trained matrices, attention, the gated product."""
    hidden, size = model.hidden_size or 0, job.compute_bytes
    queries = (model.attention_heads or 0) * (model.head_size or 0)
    width = _feed_forward_width(model)
    norms = 2 * 4 * hidden
    attention = size * 4 * queries
    gated = size * 4 * width
    a_token = norms + attention + gated + _input_copies(job, model)
    scores = 0
    if job.attention == "eager":
        # Softmax's result in fp32 and in the arithmetic's format: both are kept.
        scores = job.micro_batch * (model.attention_heads or 0) * job.length**2 * (4 + size)
    return job.tokens * a_token + scores


def _input_copies(job: Job, model: ModelFacts) -> int:
    """Bytes a token a layer of inputs kept for the gradients of trained matrices.

    In fp32 the layers that read one tensor share it; in 16 bits each adapter casts its own copy.
    """
    hidden, layers = model.hidden_size or 0, model.layers or 1
    if job.method != "lora":
        return 2 * hidden * job.compute_bytes
    chosen = targeted(model, job.targets)
    between = sum(job.rank * module.count for module in chosen) * job.compute_bytes / layers
    if job.compute == "fp32" and not job.dropout:
        return round(2 * hidden * 4 + between)
    copies = sum(module.inputs * module.count for module in chosen) / layers
    return round(copies * (job.compute_bytes + (4 if job.dropout else 0)) + between)


def _feed_forward_width(model: ModelFacts) -> int:
    """Of the layer that works on a token; of a mixture only the chosen experts work, a few at a time."""
    return model.intermediate_size or 4 * (model.hidden_size or 0)


def _loss(job: Job, model: ModelFacts) -> int:
    """The vocabulary's share: whole logits, or with Liger's fused loss a chunk of them at a time."""
    vocabulary, hidden = model.vocabulary or 0, model.hidden_size or 0
    if job.liger:
        return LOGIT_BYTES * vocabulary * -(-job.tokens // LIGER_CHUNKS) + 4 * job.tokens * hidden
    return LOGIT_BYTES * job.tokens * vocabulary


def _workspace(job: Job, model: ModelFacts, kind: str) -> int:
    """cuBLAS's own, and under autocast the 16-bit copies of trained fp32 weights, which last until the backward."""
    copies = 2 * (model.trainable_text_parameters or 0) if job.method == "full" and job.compute != "fp32" else 0
    return copies + (CUBLAS_WORKSPACE if kind == "cuda" else 0)


def _reserved(job: Job, allocated: int, passing: int, kind: str) -> int:
    """What the allocator holds. On cards, as measured: sdpa 1.04 to 1.09, 4 bits to 1.25, eager to 1.49."""
    if kind == "cpu":
        return allocated + round(HEAP_HOLES * passing)
    share = 1.25 if job.attention == "eager" else 1.15 if job.quantization != "none" else 1.07
    return round(allocated * share)
