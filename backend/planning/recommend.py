"""What finetty recommends for each option on this machine, for this model and this data, and why. Pure.

What plan() decides when it is left to it is the recommendation; where it decides nothing, a rule of the guide does,
with plan()'s figures; and where there is no rule, it is the usual value, with what speaks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.messages import Declared, Message, message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.liger_here import liger_types
from finetty.backend.planning import arithmetic
from finetty.backend.planning.methods import Method
from finetty.backend.planning.plan import Plan
from finetty.backend.planning.planner import plan
from finetty.backend.planning.verdict import GIB
from finetty.backend.recipe import Recipe, options, value_of, with_values

if TYPE_CHECKING:
    from finetty.backend.models.catalogue import Entry
    from finetty.backend.planning.needs import Way

AND = message("recommend.and", "{first}; {second}")
RUN = message("recommend.run", "{reason} Run: {command}")

LORA_USUAL = message("recommend.lora.usual", "little memory, quick, one small file: what most people use today")
LORA_FITS = message(
    "recommend.lora.fits",
    "in 16 bits it needs at least {needed:.1f} of the {free:.1f} GB free on {device}, and nothing is lost by rounding",
)
LORA_SMALLER_STEPS = message(
    "recommend.lora.smaller_steps",
    "in 16 bits it fits on {device} with fewer rows at once or with checkpointing, and nothing is lost by rounding",
)
LORA_CPU = message(
    "recommend.lora.cpu",
    "it needs at least {needed:.1f} of the {free:.1f} GB free; on a processor 4 bits would only be slower",
)
LORA_CPU_OVER = message(
    "recommend.lora.cpu_over", "it needs at least {needed:.1f} GB and {free:.1f} are free: take a smaller model"
)
LORA_OWN_BITS = message(
    "recommend.lora.own_bits", "the checkpoint is quantized already ({format}), and an adapter beside it is what works"
)
QLORA_FITS = message(
    "recommend.qlora.fits",
    "LoRA in 16 bits needs at least {whole:.1f} of the {free:.1f} GB free on {device}, which is too much; on 4-bit "
    "weights it needs {needed:.1f}",
)
QLORA_STILL = message(
    "recommend.qlora.still",
    "even on 4-bit weights it needs at least {needed:.1f} GB and {free:.1f} are free on {device}: take a smaller model",
)
FOUR_BITS_LOSE = message(
    "recommend.qlora.loses", "{family} models lose more than others so: compare the answers, or take a smaller one"
)
FULL_TOO = message(
    "recommend.full.too",
    "Full fits as well (from {needed:.1f} GB on): for much data and a task far from what the model knows",
)

INSTRUCT = message("recommend.model.instruct", "an Instruct model")
INSTRUCT_OR_BASE = message("recommend.model.instruct_or_base", "an Instruct or a Base model")
FEW_FOR_BASE = message(
    "recommend.model.few_for_base", "{rows:,} rows are few to teach a Base model how to answer at all"
)
ENOUGH_FOR_BASE = message("recommend.model.enough_for_base", "{rows:,} rows can teach a Base model too")
ANSWERS_ALREADY = message(
    "recommend.model.answers_already", "it answers people already, so that few rows teach it yours"
)
LARGEST = message("recommend.model.largest", "the largest that fits here is {name} with {way}")
SMALLER_ON_CPU = message("recommend.model.cpu", "on a processor one of less than 1B parameters is done far sooner")

FIFTY = message("recommend.data.fifty", "50 rows or more")
ROWS_TEACH = message("recommend.data.rows", "a manner is learned from about 50 rows on; few and careful beat many")
ROWS_HERE = message(
    "recommend.data.rows_here", "there are {rows:,}: few and careful beat many, and more of one kind beat a mixture"
)
ROWS_FEW = message("recommend.data.few", "there are only {rows:,}: a manner is learned from about 50 on")
LEARN_ANSWERS = message("recommend.data.answers", "people ask as they like; only how to answer is to be learned")
LEARN_TEXT = message("recommend.data.text", "plain text has no answers")

NOT_SHORT = message(
    "recommend.unsloth.not_short", "memory is not short here, so ordinary means will do: {kernel} for attention"
)
SHORT = message(
    "recommend.unsloth.short", "memory is short here: with 4-bit weights it is the smallest and the fastest way"
)
SHORT_NOT_INSTALLED = message(
    "recommend.unsloth.not_installed",
    "memory is short here and it would help, with 4-bit weights; it is not usable yet.",
)
UNSLOTH_BRINGS = message("recommend.liger.unsloth", "Unsloth brings kernels of its own")
LIGER_SAVES = message("recommend.liger.saves", "it saves about {saved:.1f} of {needed:.1f} GB, and time")
LIGER_SAVES_NOT = message(
    "recommend.liger.saves_not", "finetty's own loss never holds all logits either; what is left to gain is some time"
)
FLASH, OWN_ATTENTION = (
    message("recommend.flash", "FlashAttention-2"),
    message("recommend.own_attention", "PyTorch's own"),
)

RSLORA_LOW = message("recommend.rslora.low", "it matters for ranks above 64, and yours is {rank}")
RSLORA_HIGH = message("recommend.rslora.high", "at a rank of {rank} the usual scale holds the adapter back")

USUAL: dict[str, Declared] = {
    "model.revision": message(
        "recommend.revision", "the newest is what its makers stand by; a commit repeats a run exactly"
    ),
    "model.source": message("recommend.source", "the Hub, and ModelScope where only that can be reached"),
    "model.trust_remote_code": message(
        "recommend.trust", "a stranger's code runs with your rights; few models need it"
    ),
    "hardware.fsdp": message("recommend.fsdp", "sharing costs time; only where a model does not fit on one card alone"),
    "method.dropout": message(
        "recommend.dropout", "a few epochs seldom overfit an adapter; 0.05 where the held-out loss rises"
    ),
    "method.dora": message("recommend.dora", "a little better at low ranks and clearly slower: for a second run"),
    "method.pissa": message(
        "recommend.pissa", "it learns sooner, and cannot start from quantized weights: for a second run"
    ),
    "method.lora_plus": message("recommend.lora_plus", "the recommended learning rate is one for both matrices"),
    "method.modules": message("recommend.modules", "whole layers learn most"),
    "method.extra_modules": message(
        "recommend.extra_modules", "only new words or another language need the embeddings"
    ),
    "precision.double_quantization": message(
        "recommend.double", "it saves 0.4 bits a parameter, at no loss that the QLoRA paper found"
    ),
    "template.system": message(
        "recommend.system", "what the rows bring will do; a prompt of yours must be sent in use as well"
    ),
    "acceleration.fallback": message(
        "recommend.fallback", "what is missing is said before the start, not found out after it"
    ),
    "training.max_steps": message("recommend.max_steps", "the epochs decide; a limit is for a quick trial"),
    "training.scheduler": message("recommend.scheduler", "small steps at the end, where the fine work is done"),
    "training.weight_decay": message("recommend.weight_decay", "the usual little"),
    "training.max_grad_norm": message("recommend.max_grad_norm", "it cuts a wild step and leaves the usual ones alone"),
    "training.activation_offloading": message(
        "recommend.offloading", "every step gets slower; only where nothing milder makes it fit"
    ),
    "training.neftune": message("recommend.neftune", "it helps some chat data: for a second run"),
    "training.patience": message(
        "recommend.patience", "epochs are few; for long runs, whose held-out loss may turn up again"
    ),
    "training.on_out_of_memory": message("recommend.on_oom", "you decide while the run is still there"),
    "training.seed": message(
        "recommend.seed", "any will do; the same one lets two runs differ by what you changed alone"
    ),
    "output.name": message("recommend.name", "one is made from the model and the data"),
    "output.samples": message(
        "recommend.samples", "none unless you ask; two or three of your own show best what changed"
    ),
    "output.logs": message("recommend.logs", "finetty's own curves and files need none"),
    "output.keep": message("recommend.keep", "one to go on from, and the one before it"),
    "output.best": message("recommend.best", "the last step, as long as the held-out loss still falls"),
}
"""Why an option that neither plan() nor a rule decides stays as it is."""

SHORT_OF_MEMORY = {one.id for one in (arithmetic.NF4, arithmetic.NF4_STILL, arithmetic.NO_BITSANDBYTES)}
"""plan()'s reasons for 4 bits, or for their absence, that say that 16 do not fit."""
WORTH_SAVING = 0.01
HIGH_RANK = 64


@dataclass(frozen=True)
class Recommendation:
    """`value` as the recipe keeps it; of the method `qlora` too; a message where it is no single value."""

    value: Any
    reason: Message


@dataclass(frozen=True)
class _Case:
    """The answers, what is known, and the methods' plans where they are worked out."""

    recipe: Recipe
    model: ModelFacts | None
    machine: MachineFacts
    data: DataFacts | None
    methods: Mapping[Method, Plan] | None

    def planned(self, values: Mapping[str, Any]) -> Plan:
        return plan(with_values(self.recipe, dict(values)), self.model, self.machine, self.data)

    @cached_property
    def bits(self) -> str:
        """The id of plan()'s reason for the bits that LoRA's frozen weights are kept in."""
        lora = self.planned({"method.name": "lora", "precision.quantization": "auto"})
        reason = lora.reason("precision.quantization")
        return reason.id if reason else ""

    @cached_property
    def on_cpu(self) -> bool:
        device = self.planned({}).memory.device
        return device is None or device.kind == "cpu"


def recommended(
    option: str,
    recipe: Recipe,
    model: ModelFacts | None,
    machine: MachineFacts,
    data: DataFacts | None,
    methods: Mapping[Method, Plan] | None = None,
) -> Recommendation | None:
    """None where nothing can be said yet, and of a model's path, for which there is recommended_model.

    `methods` are planned_methods' for this recipe; method and quantization need them.
    """
    case = _Case(recipe, model, machine, data, methods)
    if option in RULES:
        return RULES[option](case)
    if option in USUAL:
        return Recommendation(options()[option].default, USUAL[option]())
    if options()[option].default != "auto":
        return None
    left_open = case.planned({option: options()[option].default})
    reason = left_open.reason(option)
    return None if reason is None else Recommendation(value_of(left_open.recipe, option), reason)


def recommended_model(largest: Mapping[Way, Entry], machine: MachineFacts, data: DataFacts | None) -> Recommendation:
    """What kind of model, and how large; `largest` is what planning.largest finds for this machine."""
    if data is None:
        value, reason = INSTRUCT, ANSWERS_ALREADY()
    elif data.rows < 1000:
        value, reason = INSTRUCT, FEW_FOR_BASE(rows=data.rows)
    else:
        value, reason = INSTRUCT_OR_BASE, ENOUGH_FOR_BASE(rows=data.rows)
    for way, entry in list(largest.items())[-1:]:
        reason = AND(first=reason, second=LARGEST(name=entry.hub or "", way=way))
    if not machine.gpus:
        reason = AND(first=reason, second=SMALLER_ON_CPU())
    return Recommendation(value(), reason)


def _method(case: _Case) -> Recommendation | None:
    if case.methods is None:
        return None
    four_bits, reason = _lora(case, case.methods)
    full = case.methods["full"].memory
    if full.verdict == "fits" and full.live is not None and not case.on_cpu:
        reason = AND(first=reason, second=FULL_TOO(needed=full.live.process / GIB))
    return Recommendation("qlora" if four_bits else "lora", reason)


def _quantization(case: _Case) -> Recommendation | None:
    if case.recipe.method.name != "lora":
        return Recommendation("none", arithmetic.METHOD_NONE())
    if case.methods is None:
        return None
    four_bits, reason = _lora(case, case.methods)
    return Recommendation("nf4" if four_bits else "none", reason)


def _lora(case: _Case, methods: Mapping[Method, Plan]) -> tuple[bool, Message]:
    """Whether LoRA's frozen weights should be in 4 bits, and why, by the figures of both."""
    lora, qlora = methods["lora"].memory, methods["qlora"].memory
    device = lora.device
    if case.model is not None and case.model.quantization is not None:
        return False, LORA_OWN_BITS(format=case.model.quantization)
    if lora.live is None or qlora.live is None or device is None or device.free is None:
        return False, LORA_USUAL()
    whole, four, free = (size / GIB for size in (lora.live.process, qlora.live.process, device.free))
    if device.kind == "cpu":
        return False, (LORA_CPU_OVER if lora.verdict == "over" else LORA_CPU)(needed=whole, free=free)
    if case.bits not in SHORT_OF_MEMORY:
        fits = LORA_FITS(needed=whole, free=free, device=device.name)
        return False, fits if lora.verdict == "fits" else LORA_SMALLER_STEPS(device=device.name)
    return True, _four_bits(case, qlora.verdict == "over", whole=whole, needed=four, free=free, device=device.name)


def _four_bits(case: _Case, over: bool, **numbers: Any) -> Message:
    reason = QLORA_STILL(**numbers) if over else QLORA_FITS(**numbers)
    if family := arithmetic.losing_by_four(case.model):
        reason = AND(first=reason, second=FOUR_BITS_LOSE(family=family))
    if case.bits == arithmetic.NO_BITSANDBYTES.id:
        missing = arithmetic.NOT_INSTALLED(name="bitsandbytes")
        reason = AND(first=reason, second=RUN(reason=missing, command="pip install bitsandbytes"))
    return reason


def _unsloth(case: _Case) -> Recommendation:
    """The guide's rule: little memory takes Unsloth with 4 bits, the others take FlashAttention-2."""
    if case.on_cpu:
        return Recommendation(False, arithmetic.NEEDS_CARD(name="Unsloth"))
    if case.recipe.method.name != "lora":
        return Recommendation(False, arithmetic.LORA_ONLY(name="Unsloth"))
    kind = case.model.model_type if case.model else ""
    if kind and kind not in arithmetic.UNSLOTH_KERNELS:
        return Recommendation(False, arithmetic.NO_UNSLOTH_KERNELS(kind=kind))
    if case.bits not in SHORT_OF_MEMORY:
        kernel = case.planned({"acceleration.attention": "auto"}).recipe.acceleration.attention
        return Recommendation(False, NOT_SHORT(kernel=FLASH() if kernel == "fa2" else OWN_ATTENTION()))
    if case.machine.usable("unsloth"):
        return Recommendation(True, SHORT())
    return Recommendation(False, _with_command(case, "unsloth", SHORT_NOT_INSTALLED()))


def _liger(case: _Case) -> Recommendation:
    kind = case.model.model_type if case.model else ""
    if case.on_cpu:
        return Recommendation(False, arithmetic.NEEDS_CARD(name="Liger Kernel"))
    if case.recipe.acceleration.unsloth:
        return Recommendation(False, UNSLOTH_BRINGS())
    why = arithmetic.library_problem(case.machine, "liger_kernel", "Liger Kernel")
    if why is not None:
        return Recommendation(False, _with_command(case, "liger_kernel", why))
    if kind and (known := liger_types()) and kind not in known:
        return Recommendation(False, arithmetic.NO_LIGER_KERNELS(kind=kind))
    without, with_it = (case.planned({"acceleration.liger": on}).memory.live for on in (False, True))
    if (
        without is not None
        and with_it is not None
        and without.process - with_it.process > WORTH_SAVING * without.process
    ):
        saved = (without.process - with_it.process) / GIB
        return Recommendation(True, LIGER_SAVES(saved=saved, needed=without.process / GIB))
    return Recommendation(False, LIGER_SAVES_NOT())


def _with_command(case: _Case, package: str, reason: Message) -> Message:
    library = case.machine.accelerators.get(package)
    return RUN(reason=reason, command=library.fix) if library is not None and library.fix else reason


def _rslora(case: _Case) -> Recommendation:
    rank = case.planned({}).recipe.method.rank
    high = isinstance(rank, int) and rank > HIGH_RANK
    return Recommendation(high, RSLORA_HIGH(rank=rank) if high else RSLORA_LOW(rank=rank))


def _data(case: _Case) -> Recommendation:
    rows = case.data.rows if case.data else None
    reason = ROWS_TEACH() if rows is None else ROWS_FEW(rows=rows) if rows < 50 else ROWS_HERE(rows=rows)
    return Recommendation(FIFTY(), reason)


def _train_on(case: _Case) -> Recommendation:
    formats = set(case.data.formats.values()) if case.data else set()
    return Recommendation("all", LEARN_TEXT()) if formats == {"text"} else Recommendation("assistant", LEARN_ANSWERS())


RULES: dict[str, Callable[[_Case], Recommendation | None]] = {
    "method.name": _method,
    "precision.quantization": _quantization,
    "acceleration.unsloth": _unsloth,
    "acceleration.liger": _liger,
    "method.rslora": _rslora,
    "dataset.train": _data,
    "dataset.train_on": _train_on,
}
