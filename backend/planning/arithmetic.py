"""Number format, quantization, attention kernel, accelerators: what this machine can run, and what it should."""

from __future__ import annotations

from finetty.backend.machine.facts import HOPPER, MachineFacts
from finetty.backend.memory import Job, fits
from finetty.backend.messages import Message, message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.liger_here import liger_types
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.numbers import packs_texts

FP32_CPU = message("plan.compute.fp32_cpu", "a processor computes exactly in fp32, and the model fits so")
BF16_CPU = message("plan.compute.bf16_cpu", "the model does not fit in fp32, and this processor has fast bf16")
BF16 = message("plan.compute.bf16", "the card multiplies bf16: range of fp32 at half of the memory")
FP16 = message("plan.compute.fp16", "the card is older than bf16 (capability {capability}, bf16 needs 8.0)")
FP16_UNKNOWN = message("plan.compute.fp16_unknown", "the card does not say what it can; fp16 works on all")
NO_BF16 = message(
    "plan.compute.no_bf16", "{device} has no bf16 arithmetic (capability {capability}; it needs 8.0 or more)."
)
NO_FAST_BF16 = message(
    "plan.compute.no_fast_bf16", "This processor only emulates bf16, at about a thirtieth of the speed of fp32."
)
NO_FP16_CPU = message("plan.compute.no_fp16_cpu", "A processor cannot train in fp16: gradients would vanish.")
TAKE_FP32 = message("plan.compute.take_fp32", "Set precision.compute: fp32.")
TAKE_FP16 = message("plan.compute.take_fp16", "Set precision.compute: fp16, or auto.")
GEMMA_FP16 = message(
    "plan.compute.gemma_fp16", "Gemma models overflow in fp16, whose largest number is 65,504: the loss may become NaN."
)
GEMMA_FP32 = message("plan.compute.gemma_fp32", "Set precision.compute: fp32, or use a card with bf16.")

SIXTEEN_FITS = message("plan.quantization.fits", "the model fits without, and loses nothing so")
ON_CPU = message("plan.quantization.on_cpu", "quantization saves a card's memory; a processor only gets slower")
NF4 = message("plan.quantization.nf4", "in 16 bits it does not fit here, in 4 it does: QLoRA")
NF4_STILL = message("plan.quantization.nf4_still", "in 16 bits it does not fit here")
NO_BITSANDBYTES = message(
    "plan.quantization.no_bitsandbytes", "in 16 bits it does not fit here, and 4 bits need bitsandbytes, not installed"
)
METHOD_NONE = message("plan.quantization.method", "what is trained cannot be quantized")
NOT_KNOWN = message("plan.quantization.not_known", "the model's memory is not known")
SHARED_OUT = message("plan.quantization.shared_out", "the cards share one model, whose weights FSDP takes unquantized")
ITS_OWN = message("plan.quantization.its_own", "the checkpoint is quantized already ({format})")
NEEDS_LORA = message(
    "plan.quantization.needs_lora", "Quantized weights cannot be trained, so {quantization} works only with LoRA."
)
TAKE_LORA = message("plan.quantization.take_lora", "Set method.name: lora, or precision.quantization: none.")
ALREADY = message(
    "plan.quantization.already", "This checkpoint is quantized already ({format}), and finetty cannot tune it."
)
TAKE_UNQUANTIZED = message("plan.quantization.take_unquantized", "Choose the model without {format} in its name.")
TWICE = message("plan.quantization.twice", "This checkpoint is quantized already; {quantization} cannot be put on top.")
TAKE_NONE = message("plan.quantization.take_none", "Set precision.quantization: auto.")
RUN = message("plan.run_command", "Run: {command}")
PACKED = message("plan.quantization.packed", "An adapter on {format} weights needs {names}, not installed here.")
LORA_OR_WHOLE = message("plan.quantization.lora_or_whole", "Set method.name: lora, or choose the unquantized model.")
DORA_PACKED = message("plan.quantization.dora_packed", "DoRA on {format} weights is not supported.")
DORA_OFF = message("plan.quantization.dora_off", "Set method.dora: false.")
SLOW_ON_CPU = message(
    "plan.quantization.slow_on_cpu", "On a processor 4- or 8-bit weights save memory, and every step is slower."
)
EXPERTS_STAY = message(
    "plan.quantization.experts_stay", "The experts of a mixture stay in 16 bits: bitsandbytes leaves them as they are."
)
LOSES_BY_FOUR = message(
    "plan.quantization.loses_by_four",
    "Models of the {family} family lose more than others in 4 bits, by Unsloth's guide.",
)
LESS_OF_IT = message(
    "plan.quantization.less_of_it", "Compare the answers afterwards, or take a smaller model with quantization: none."
)
DORA_INT8 = message("plan.dora_int8", "DoRA on 8-bit weights is not supported.")
DORA_FIX = message("plan.dora_fix", "Set method.dora: false, or precision.quantization: nf4.")

SDPA = message("plan.attention.sdpa", "PyTorch's own, which is always there")
SDPA_OLD_CARD = message("plan.attention.sdpa_old_card", "PyTorch's own: FlashAttention needs a newer card")
SDPA_NOT_INSTALLED = message("plan.attention.sdpa_not_installed", "PyTorch's own: FlashAttention is not installed here")
SDPA_FP32 = message("plan.attention.sdpa_fp32", "PyTorch's own: FlashAttention computes in 16 bits only")
SDPA_LARGE_HEADS = message(
    "plan.attention.sdpa_large_heads", "PyTorch's own: this model's heads are too large for FlashAttention"
)
FLASH = message("plan.attention.flash", "FlashAttention-2 is installed: faster, less memory, no padding")
FLASH_FROM_HUB = message(
    "plan.attention.flash_from_hub",
    "FlashAttention-2, ready-made through the kernels package: faster, less memory, no padding",
)
EAGER = message("plan.attention.eager", "this model's class supports no faster kernel")
TAKE_AUTO = message("plan.attention.take_auto", "Set acceleration.attention: auto.")
INSTEAD = message("plan.attention.instead", "The run uses {kernel} instead.")
NEEDS_CARD = message("plan.cannot.needs_card", "{name} needs an NVIDIA card, and the run is on the processor.")
NEEDS_CAPABILITY = message(
    "plan.cannot.needs_capability", "{name} needs a card of capability {needed}, and this one has {capability}."
)
NEEDS_16 = message("plan.cannot.needs_16", "{name} computes in 16 bits only, and the run is in fp32.")
MODEL_REFUSES = message("plan.cannot.model_refuses", "{name} is not supported by this model's class.")
LARGE_HEADS = message(
    "plan.cannot.large_heads", "{name} takes heads of at most {most} elements, and this model has some of {size}."
)
NOT_INSTALLED = message("plan.cannot.not_installed", "{name} is not installed.")
NOT_USABLE = message("plan.cannot.not_usable", "{name} cannot be used here: {reason}.")
LORA_ONLY = message("plan.cannot.lora_only", "{name} trains LoRA and QLoRA only.")

PACKING_TEXTS = message(
    "plan.packing.texts",
    "texts fill sequences, best fit first; one reads those before it behind their end token, as in all pretraining",
)
PACKING_TEXTS_APART = message(
    "plan.packing.texts_apart",
    "texts fill sequences, best fit first; FlashAttention keeps them from reading each other",
)
NO_PACKING = message("plan.packing.no", "rows of like length go together instead; packing needs FlashAttention")
PACKED_IN_VAIN = message(
    "plan.packing.in_vain",
    "Without FlashAttention rows in one sequence are masked from each other, not skipped: nothing is gained. "
    "Where the model does not keep them apart they are padded after all.",
)
PACKING_AUTO = message("plan.packing.take_auto", "Set dataset.packing: auto, or use FlashAttention.")
PACKING = message("plan.packing.yes", "with FlashAttention rows need no padding and do not see each other")

NO_LIGER_KERNELS = message(
    "plan.accelerator.no_liger_kernels", "The installed Liger Kernel has nothing for models of type {kind}."
)
NO_UNSLOTH_KERNELS = message(
    "plan.accelerator.no_unsloth_kernels",
    "Unsloth has no kernels of its own for models of type {kind}; it compiles transformers' code, which gains less.",
)
UNSLOTH_KERNELS = frozenset(("llama", "mistral", "gemma", "gemma2", "qwen2", "qwen3"))
"""Model types that Unsloth's loader gives a class of its own (unsloth/models/loader.py, 2026.10.9)."""

WITHOUT = message("plan.accelerator.without", "The run goes on without it.")
TURN_OFF = message("plan.accelerator.turn_off", "Set acceleration.{option}: false.")
FALLEN_BACK = message("plan.accelerator.fallen_back", "{name} cannot be used here")

KERNELS = {"sdpa": "sdpa", "fa2": "FlashAttention-2", "fa3": "FlashAttention-3"}
PACKAGES = {"fa2": "flash_attn", "fa3": "flash_attn_interface"}
LARGEST_HEAD = 256
"""Elements: neither FlashAttention-2 nor 3 has a kernel beyond (Dao-AILab/flash-attention, README)."""
LOSING_BY_FOUR = {"qwen3_5": "Qwen3.5"}
"""Families, by the beginning of their model type, whose 4-bit weights are further off than usual (Unsloth's guide)."""
TUNABLE = {"gptq": ("gptqmodel", "optimum"), "awq": ("gptqmodel",)}
"""Quantized checkpoints beside which an adapter can be trained, and what transformers needs to open them."""
ROOM = 0.85
"""The share of free memory that a plan fills at most without a thought: the rest is for what the estimate misses."""


def choose_compute(draft: Draft) -> None:
    if draft.on_cpu:
        fits = _cpu_fits(draft, "fp32") or not draft.machine.cpu_fast_bf16
        draft.choose("precision.compute", "fp32" if fits else "bf16", FP32_CPU() if fits else BF16_CPU())
    elif draft.gpu is not None and draft.gpu.capability is None:
        draft.choose("precision.compute", "fp16", FP16_UNKNOWN())
    elif _has_bf16(draft):
        draft.choose("precision.compute", "bf16", BF16())
    else:
        draft.choose("precision.compute", "fp16", FP16(capability=capability_text(draft)))
    _check_compute(draft)


def _cpu_fits(draft: Draft, compute: str) -> bool:
    """By weights alone: the rest can be made smaller, they cannot."""
    free = draft.device.free if draft.device else None
    parameters = draft.model.parameters if draft.model else None
    return free is None or parameters is None or 4 * parameters < ROOM * free


def _has_bf16(draft: Draft) -> bool:
    return draft.gpu is not None and draft.gpu.capability is not None and draft.gpu.capability >= (8, 0)


def capability_text(draft: Draft) -> str:
    found = draft.gpu.capability if draft.gpu else None
    return "unknown" if found is None else f"{found[0]}.{found[1]}"


def _check_compute(draft: Draft) -> None:
    compute = draft.value("precision.compute")
    if draft.on_cpu:
        if compute == "fp16":
            draft.find("error", "precision.compute", NO_FP16_CPU(), TAKE_FP32())
        elif compute == "bf16" and not draft.machine.cpu_fast_bf16:
            draft.find("warning", "precision.compute", NO_FAST_BF16(), TAKE_FP32())
        return
    if compute == "bf16" and draft.gpu is not None and draft.gpu.capability is not None and not _has_bf16(draft):
        said = NO_BF16(device=draft.gpu.name, capability=capability_text(draft))
        draft.find("error", "precision.compute", said, TAKE_FP16())
    if compute == "fp16" and draft.model is not None and draft.model.model_type.startswith("gemma"):
        draft.find("warning", "precision.compute", GEMMA_FP16(), GEMMA_FP32())


def choose_quantization(draft: Draft) -> None:
    """After everything else that memory depends on: `auto` quantizes where 16 bits do not fit and 4 do."""
    own = draft.model.quantization if draft.model else None
    if own is not None:
        draft.choose("precision.quantization", "none", ITS_OWN(format=own))
    elif draft.on_cpu:
        draft.choose("precision.quantization", "none", ON_CPU())
    elif draft.asked.hardware.fsdp:
        draft.choose("precision.quantization", "none", SHARED_OUT())
    elif draft.method != "lora":
        draft.choose("precision.quantization", "none", METHOD_NONE())
    elif draft.left_open("precision.quantization"):
        draft.choose("precision.quantization", *_bits(draft))
    _check_quantization(draft)


def _bits(draft: Draft) -> tuple[str, Message]:
    whole = _smallest_fits(draft, "none")
    if whole is None:
        return "none", NOT_KNOWN()
    if whole:
        return "none", SIXTEEN_FITS()
    if not draft.machine.usable("bitsandbytes"):
        return "none", NO_BITSANDBYTES()
    return "nf4", NF4() if _smallest_fits(draft, "nf4") else NF4_STILL()


def _smallest_fits(draft: Draft, quantization: str) -> bool | None:
    """With one row at a time and checkpointing: what quantization is weighed against. None where it is not known."""
    if draft.model is None or draft.device is None or draft.device.free is None:
        return None
    job = Job(
        rank=draft.value("method.rank"),
        compute=draft.value("precision.compute"),
        quantization=quantization,
        double_quantization=draft.asked.precision.double_quantization,
        attention="sdpa",
        liger=draft.value("acceleration.liger"),
        loss="chunked" if draft.value("acceleration.loss") == "chunked" else "cross_entropy",
        micro_batch=1,
        length=longest(draft),
        checkpointing=True,
    )
    return fits(job, draft.model, draft.device, ROOM * draft.device.free)


def longest(draft: Draft) -> int:
    cutoff: int = draft.value("dataset.cutoff")
    if packs_texts(draft):
        return cutoff
    measured = draft.data.longest if draft.data and draft.data.measured else None
    return min(cutoff, measured) if measured else cutoff


def _check_quantization(draft: Draft) -> None:
    quantization = draft.value("precision.quantization")
    own = draft.model.quantization if draft.model else None
    if own is not None:
        _check_checkpoint(draft, own, quantization)
    if quantization == "none":
        return
    if draft.method != "lora":
        draft.find("error", "precision.quantization", NEEDS_LORA(quantization=quantization), TAKE_LORA())
    why = library_problem(draft.machine, "bitsandbytes", "bitsandbytes")
    if why is not None:
        draft.find("error", "precision.quantization", why, RUN(command="pip install bitsandbytes"))
    if draft.asked.method.dora and quantization == "int8":
        draft.find("error", "method.dora", DORA_INT8(), DORA_FIX())
    if draft.on_cpu:
        draft.find("warning", "precision.quantization", SLOW_ON_CPU(), TAKE_NONE())
    if draft.model is not None and draft.model.experts:
        draft.find("note", "precision.quantization", EXPERTS_STAY())
    if quantization in ("nf4", "fp4") and (family := losing_by_four(draft.model)):
        draft.find("warning", "precision.quantization", LOSES_BY_FOUR(family=family), LESS_OF_IT())


def losing_by_four(model: ModelFacts | None) -> str | None:
    """The family's name where its models lose more than others by 4-bit weights."""
    kind = model.model_type if model else ""
    return next((family for beginning, family in LOSING_BY_FOUR.items() if kind.startswith(beginning)), None)


def _check_checkpoint(draft: Draft, own: str, quantization: str) -> None:
    if quantization != "none":
        draft.find("error", "precision.quantization", TWICE(quantization=quantization), TAKE_NONE())
    if own not in TUNABLE:
        draft.find("error", "model.path", ALREADY(format=own), TAKE_UNQUANTIZED(format=own.upper()))
        return
    if draft.method != "lora":
        draft.find("error", "method.name", NEEDS_LORA(quantization=own), LORA_OR_WHOLE())
    if missing := [one for one in TUNABLE[own] if not (draft.machine.usable(one) or one in draft.machine.extras)]:
        command = f"pip install --no-build-isolation {' '.join(missing)}"
        draft.find("error", "model.path", PACKED(format=own.upper(), names=", ".join(missing)), RUN(command=command))
    if draft.asked.method.dora:
        draft.find("error", "method.dora", DORA_PACKED(format=own.upper()), DORA_OFF())


def choose_attention(draft: Draft) -> None:
    kernel = draft.value("acceleration.attention")
    why = None if kernel in ("auto", "eager") else _why_not(draft, kernel)
    if why is not None and draft.asked.acceleration.fallback == "refuse":
        draft.find("error", "acceleration.attention", why, TAKE_AUTO())
    elif why is not None:
        best, reason = _best_kernel(draft)
        draft.find("warning", "acceleration.attention", why, INSTEAD(kernel=best))
        draft.decide("acceleration.attention", best, reason)
    draft.choose("acceleration.attention", *_best_kernel(draft))


def _best_kernel(draft: Draft) -> tuple[str, Message]:
    no_flash = _why_not(draft, "fa2")
    if no_flash is None:
        return "fa2", FLASH() if draft.machine.usable("flash_attn") else FLASH_FROM_HUB()
    if _why_not(draft, "sdpa") is not None:
        return "eager", EAGER()
    reasons = {
        NEEDS_CAPABILITY.id: SDPA_OLD_CARD(),
        NEEDS_16.id: SDPA_FP32(),
        NOT_INSTALLED.id: SDPA_NOT_INSTALLED(),
        LARGE_HEADS.id: SDPA_LARGE_HEADS(),
    }
    return "sdpa", reasons.get(no_flash.id, SDPA())


def _why_not(draft: Draft, kernel: str) -> Message | None:
    name = KERNELS[kernel]
    if draft.model is not None and kernel in draft.model.attention_refuses:
        return MODEL_REFUSES(name=name)
    if kernel == "sdpa":
        return None
    if (size := _largest_head(draft.model)) > LARGEST_HEAD:
        return LARGE_HEADS(name=name, most=LARGEST_HEAD, size=size)
    if draft.gpu is None:
        return NEEDS_CARD(name=name)
    if not _has_cores_for(kernel, draft.gpu.capability):
        needed = "8.0" if kernel == "fa2" else "9.x"
        return NEEDS_CAPABILITY(name=name, needed=needed, capability=capability_text(draft))
    if draft.value("precision.compute") == "fp32":
        return NEEDS_16(name=name)
    if kernel == "fa2" and draft.machine.has_flash_attention:
        return None
    return library_problem(draft.machine, PACKAGES[kernel], name)


def _has_cores_for(kernel: str, capability: tuple[int, int] | None) -> bool:
    """FlashAttention-2 is for Ampere and newer; 3 is for Hopper alone: "Requirements: H100 / H800 GPU", says the README
    of Dao-AILab/flash-attention. A card that does not tell its capability is not refused."""
    if capability is None:
        return True
    return capability >= (8, 0) if kernel == "fa2" else capability[0] == HOPPER


def _largest_head(model: ModelFacts | None) -> int:
    return max(model.largest_head or 0, model.head_size or 0) if model else 0


def library_problem(machine: MachineFacts, package: str, name: str) -> Message | None:
    """Why an optional library cannot be used here; None where it can."""
    library = machine.accelerators.get(package)
    if library is not None and library.version is not None:
        return None
    if library is None or library.reason is None or library.reason.endswith("is not installed"):
        return NOT_INSTALLED(name=name)
    return NOT_USABLE(name=name, reason=library.reason)


def choose_packing(draft: Draft) -> None:
    flash = draft.value("acceleration.attention") in ("fa2", "fa3")
    if packs_texts(draft):
        draft.choose("dataset.packing", True, PACKING_TEXTS_APART() if flash else PACKING_TEXTS())
        return
    draft.choose("dataset.packing", flash, PACKING() if flash else NO_PACKING())
    if draft.asked.dataset.packing is True and not flash:
        draft.find("warning", "dataset.packing", PACKED_IN_VAIN(), PACKING_AUTO())


def check_accelerators(draft: Draft) -> None:
    if draft.asked.acceleration.liger:
        name = "Liger Kernel"
        why = NEEDS_CARD(name=name) if draft.on_cpu else library_problem(draft.machine, "liger_kernel", name)
        _check_accelerator(draft, "liger", "liger_kernel", name, why)
    if draft.asked.acceleration.unsloth:
        name = "Unsloth"
        why = LORA_ONLY(name=name) if draft.method != "lora" else library_problem(draft.machine, "unsloth", name)
        _check_accelerator(draft, "unsloth", "unsloth", name, why)
    _check_families(draft)


def _check_families(draft: Draft) -> None:
    """Accelerators that would run and do little or nothing for this kind of model."""
    kind = draft.model.model_type if draft.model else ""
    if not kind:
        return
    if draft.value("acceleration.liger") and (known := liger_types()) and kind not in known:
        draft.find("warning", "acceleration.liger", NO_LIGER_KERNELS(kind=kind), TURN_OFF(option="liger"))
    if draft.value("acceleration.unsloth") and kind not in UNSLOTH_KERNELS:
        draft.find("note", "acceleration.unsloth", NO_UNSLOTH_KERNELS(kind=kind))


def _check_accelerator(draft: Draft, option: str, package: str, name: str, why: Message | None) -> None:
    if why is None:
        return
    if draft.asked.acceleration.fallback == "allow":
        draft.find("warning", f"acceleration.{option}", why, WITHOUT())
        draft.decide(f"acceleration.{option}", False, FALLEN_BACK(name=name))
        return
    library = draft.machine.accelerators.get(package)
    command = library.fix if library and why.id in (NOT_INSTALLED.id, NOT_USABLE.id) else None
    draft.find("error", f"acceleration.{option}", why, RUN(command=command) if command else TURN_OFF(option=option))
