"""Number format, quantization, attention kernel, accelerators: what this machine can run, and what it should."""

from __future__ import annotations

from finetty.backend.memory import Job, fits
from finetty.backend.messages import Message, message
from finetty.backend.planning.draft import Draft

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
METHOD_NONE = message("plan.quantization.method", "what is trained cannot be quantized")
NOT_KNOWN = message("plan.quantization.not_known", "the model's memory is not known")
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
SLOW_ON_CPU = message("plan.quantization.slow_on_cpu", "Training on 4- or 8-bit weights is very slow on a processor.")
EXPERTS_STAY = message(
    "plan.quantization.experts_stay", "The experts of a mixture stay in 16 bits: bitsandbytes leaves them as they are."
)
DORA_INT8 = message("plan.dora_int8", "DoRA on 8-bit weights is not supported.")
DORA_FIX = message("plan.dora_fix", "Set method.dora: false, or precision.quantization: nf4.")

SDPA = message("plan.attention.sdpa", "PyTorch's own, which is always there")
SDPA_OLD_CARD = message("plan.attention.sdpa_old_card", "PyTorch's own: FlashAttention needs a newer card")
SDPA_NOT_INSTALLED = message("plan.attention.sdpa_not_installed", "PyTorch's own: FlashAttention is not installed here")
SDPA_FP32 = message("plan.attention.sdpa_fp32", "PyTorch's own: FlashAttention computes in 16 bits only")
FLASH = message("plan.attention.flash", "FlashAttention-2 is installed: faster, less memory, no padding")
EAGER = message("plan.attention.eager", "this model's class supports no faster kernel")
TAKE_AUTO = message("plan.attention.take_auto", "Set acceleration.attention: auto.")
INSTEAD = message("plan.attention.instead", "The run uses {kernel} instead.")
NEEDS_CARD = message("plan.cannot.needs_card", "{name} needs an NVIDIA card, and the run is on the processor.")
NEEDS_CAPABILITY = message(
    "plan.cannot.needs_capability", "{name} needs a card of capability {needed}, and this one has {capability}."
)
NEEDS_16 = message("plan.cannot.needs_16", "{name} computes in 16 bits only, and the run is in fp32.")
MODEL_REFUSES = message("plan.cannot.model_refuses", "{name} is not supported by this model's class.")
NOT_INSTALLED = message("plan.cannot.not_installed", "{name} is not installed.")
NOT_USABLE = message("plan.cannot.not_usable", "{name} cannot be used here: {reason}.")
LORA_ONLY = message("plan.cannot.lora_only", "{name} trains LoRA and QLoRA only.")

NO_PACKING = message("plan.packing.no", "rows of like length go together instead; packing needs FlashAttention")
PACKING = message("plan.packing.yes", "with FlashAttention rows need no padding and do not see each other")

WITHOUT = message("plan.accelerator.without", "The run goes on without it.")
TURN_OFF = message("plan.accelerator.turn_off", "Set acceleration.{option}: false.")
FALLEN_BACK = message("plan.accelerator.fallen_back", "{name} cannot be used here")

KERNELS = {"sdpa": "sdpa", "fa2": "FlashAttention-2", "fa3": "FlashAttention-3"}
PACKAGES = {"fa2": "flash_attn", "fa3": "flash_attn_interface"}
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
    elif draft.method != "lora":
        draft.choose("precision.quantization", "none", METHOD_NONE())
    else:
        draft.choose("precision.quantization", *_bits(draft))
    _check_quantization(draft)


def _bits(draft: Draft) -> tuple[str, Message]:
    whole = _smallest_fits(draft, "none")
    if whole is None:
        return "none", NOT_KNOWN()
    if whole or not draft.machine.usable("bitsandbytes"):
        return "none", SIXTEEN_FITS()
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
        micro_batch=1,
        length=longest(draft),
        checkpointing=True,
    )
    return fits(job, draft.model, draft.device, ROOM * draft.device.free)


def longest(draft: Draft) -> int:
    cutoff: int = draft.value("dataset.cutoff")
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
    why = library_problem(draft, "bitsandbytes", "bitsandbytes")
    if why is not None:
        draft.find("error", "precision.quantization", why, RUN(command="pip install bitsandbytes"))
    if draft.asked.method.dora and quantization == "int8":
        draft.find("error", "method.dora", DORA_INT8(), DORA_FIX())
    if draft.on_cpu:
        draft.find("warning", "precision.quantization", SLOW_ON_CPU(), TAKE_NONE())
    if draft.model is not None and draft.model.experts:
        draft.find("note", "precision.quantization", EXPERTS_STAY())


def _check_checkpoint(draft: Draft, own: str, quantization: str) -> None:
    if quantization != "none":
        draft.find("error", "precision.quantization", TWICE(quantization=quantization), TAKE_NONE())
    draft.find("error", "model.path", ALREADY(format=own), TAKE_UNQUANTIZED(format=own.upper()))


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
        return "fa2", FLASH()
    if _why_not(draft, "sdpa") is not None:
        return "eager", EAGER()
    reasons = {
        NEEDS_CAPABILITY.id: SDPA_OLD_CARD(),
        NEEDS_16.id: SDPA_FP32(),
        NOT_INSTALLED.id: SDPA_NOT_INSTALLED(),
    }
    return "sdpa", reasons.get(no_flash.id, SDPA())


def _why_not(draft: Draft, kernel: str) -> Message | None:
    name = KERNELS[kernel]
    if draft.model is not None and kernel in draft.model.attention_refuses:
        return MODEL_REFUSES(name=name)
    if kernel == "sdpa":
        return None
    if draft.gpu is None:
        return NEEDS_CARD(name=name)
    needed = (8, 0) if kernel == "fa2" else (9, 0)
    if draft.gpu.capability is not None and draft.gpu.capability < needed:
        shown = f"{needed[0]}.{needed[1]}"
        return NEEDS_CAPABILITY(name=name, needed=shown, capability=capability_text(draft))
    if draft.value("precision.compute") == "fp32":
        return NEEDS_16(name=name)
    return library_problem(draft, PACKAGES[kernel], name)


def library_problem(draft: Draft, package: str, name: str) -> Message | None:
    """Why an optional library cannot be used here; None where it can."""
    library = draft.machine.accelerators.get(package)
    if library is not None and library.version is not None:
        return None
    if library is None or library.reason is None or library.reason.endswith("is not installed"):
        return NOT_INSTALLED(name=name)
    return NOT_USABLE(name=name, reason=library.reason)


def choose_packing(draft: Draft) -> None:
    flash = draft.value("acceleration.attention") in ("fa2", "fa3")
    draft.choose("dataset.packing", flash, PACKING() if flash else NO_PACKING())


def check_accelerators(draft: Draft) -> None:
    if draft.asked.acceleration.liger:
        name = "Liger Kernel"
        why = NEEDS_CARD(name=name) if draft.on_cpu else library_problem(draft, "liger_kernel", name)
        _check_accelerator(draft, "liger", "liger_kernel", name, why)
    if draft.asked.acceleration.unsloth:
        name = "Unsloth"
        why = LORA_ONLY(name=name) if draft.method != "lora" else library_problem(draft, "unsloth", name)
        _check_accelerator(draft, "unsloth", "unsloth", name, why)


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
