"""What of a training decides its memory, with every choice made: the estimator's only view of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.recipe import Recipe, value_of

SIZE = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number in the format that the arithmetic runs in."""
STORED_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "float64": 8}


@dataclass(frozen=True)
class Job:
    """A method, its sizes, and the habits of the trainer that runs it. The defaults are finetty's own habits.

    `length` is the longest row in tokens after the cutoff, `accumulates` whether gradients outlive a micro-batch.
    """

    method: Literal["lora", "full", "freeze"] = "lora"
    rank: int = 16
    targets: str | tuple[str, ...] = "all-linear"
    dora: bool = False
    dropout: float = 0.0
    layers: int = 0
    modules: str | tuple[str, ...] = "all"
    extra_modules: tuple[str, ...] = ()
    compute: Literal["fp32", "bf16", "fp16"] = "fp32"
    quantization: str = "none"
    """nf4, fp4 and int8 as bitsandbytes holds them; gptq: a checkpoint of 4 bits in groups of 128."""
    double_quantization: bool = True
    attention: str = "sdpa"
    liger: bool = False
    micro_batch: int = 1
    length: int = 512
    accumulates: bool = True
    checkpointing: bool = False
    offloading: bool = False
    """Whether what a layer keeps for its backward pass is in RAM meanwhile."""
    optimizer: str = "adamw_fused"
    packed: bool = False
    """Whether a micro-batch is one sequence of several rows, which a mask keeps from one another: `length` is its whole
    length. FlashAttention needs no mask."""
    noise: bool = False
    """NEFTune's, on the embeddings."""

    # Habits

    mixed: bool | None = None
    """Autocast; None: wherever the arithmetic is not fp32, as transformers' Trainer does when told bf16 or fp16."""
    weights: Literal["fp32", "bf16", "fp16"] | None = None
    """The frozen weights' format, and in full that of all; None: the arithmetic's for LoRA, fp32 otherwise."""
    adapter: Literal["fp32", "bf16", "fp16"] = "fp32"
    """The adapter's format: peft makes it fp32 unless told not to."""
    upcast: bool = False
    """Whether prepare_model_for_kbit_training made what is not quantized, and so the residual stream, fp32."""
    narrow_ends: bool = False
    """Whether embeddings and output head were made 16 bits again after that, as TRL does in bf16. The residual stream
    is fp32 all the same: norms in fp32 make it so from the first layer on."""
    loss: Literal["cross_entropy", "in_place", "fused_linear", "chunked"] = "cross_entropy"
    """torch's cross entropy on fp32 logits; a kernel that writes the gradient over them; one that never has them all
    (which `liger` means); finetty's own, of the trained positions, some hundred at a time."""
    shifts_logits: bool = False
    """Whether the logits are copied to be shifted by one token, as transformers did before 4.50; now labels are."""
    widens_logits: bool = False
    """Whether models made their logits fp32 themselves, as in transformers before 4.46; now the loss does, and those of
    16 bits stay beside them."""
    reentrant: bool = False
    """Checkpointing whose backward pass is one of its own, and names what a layer gave once more until it is through
    with it: transformers' choice before 5."""
    keeps_outputs: bool = False
    """Whether the model's outputs, and with them the logits, are still named in the backward pass."""
    library_trainer: bool = True
    """accelerate's, which makes outputs fp32 under autocast."""
    loads_on_card: bool = True
    """Whether transformers loads the weights straight to the card, rather than to be moved there one by one."""
    fused_adapters: bool = False
    """An adapter and what it is added to in one kernel, which keeps their input and what dropout left of it."""
    fused_norms: bool = False
    """Norms and rotary positions in kernels that keep their inputs only, as `liger` means too."""
    fused_gate: bool = False
    """The gated product in such a kernel, as `liger` means too."""
    repeats: bool | None = None
    """Whether grouped keys and values are copied for each query's head; None: where rows are padded, unless the kernel
    is FlashAttention."""

    @property
    def tokens(self) -> int:
        return self.micro_batch * self.length

    @property
    def compute_bytes(self) -> int:
        return SIZE[self.compute]

    @property
    def autocast(self) -> bool:
        return self.compute != "fp32" if self.mixed is None else self.mixed

    @property
    def weight_bytes(self) -> int:
        if self.weights is not None:
            return SIZE[self.weights]
        return self.compute_bytes if self.method == "lora" else 4

    @property
    def trained_bytes(self) -> int:
        """Of a trained parameter: whatever finetty trains is fp32."""
        if self.method == "lora":
            return SIZE[self.adapter]
        return 4 if self.weights is None else SIZE[self.weights]

    @property
    def residual_bytes(self) -> int:
        """Of a number in the residual stream."""
        return 4 if self.upcast else self.weight_bytes

    @property
    def end_bytes(self) -> int:
        """Of a number in the embeddings and the output head."""
        return self.weight_bytes if self.narrow_ends else self.residual_bytes

    @property
    def padded(self) -> bool:
        """Rows of several lengths in one micro-batch come with a mask."""
        return self.micro_batch > 1 and self.repeats is None

    @property
    def masked(self) -> bool:
        return self.padded or self.packed

    @property
    def repeats_heads(self) -> bool:
        if self.repeats is not None:
            return self.repeats
        return self.masked and not self.attention.startswith("fa")

    @property
    def loss_kind(self) -> str:
        return "fused_linear" if self.liger else self.loss


def job_of(recipe: Recipe, data: DataFacts | None) -> Job | None:
    """finetty's own training of a recipe; None while the recipe has an `auto` that memory depends on."""
    return job_with(partial(value_of, recipe), data)


def job_with(value: Callable[[str], Any], data: DataFacts | None) -> Job | None:
    """The same of a recipe in the making: `value` gives that of an option as of now."""
    method = value("method.name")
    wanted: dict[str, Any] = {
        "rank": value("method.rank") if method == "lora" else 1,
        "layers": value("method.layers") if method == "freeze" else 0,
        "compute": value("precision.compute"),
        "quantization": value("precision.quantization"),
        "attention": value("acceleration.attention"),
        "micro_batch": value("training.micro_batch"),
        "length": longest_row(value("dataset.cutoff"), data, packing=value("dataset.packing")),
        "checkpointing": value("training.gradient_checkpointing"),
        "optimizer": value("training.optimizer"),
        "noise": value("training.neftune") is not None,
    }
    batch = value("training.batch")
    if "auto" in wanted.values() or None in wanted.values() or batch == "auto":
        return None
    accumulates = batch > wanted["micro_batch"]
    if value("dataset.packing") is True and not wanted["attention"].startswith("fa"):
        tokens = wanted["micro_batch"] * wanted["length"]
        wanted |= {"packed": True, "micro_batch": 1, "length": tokens}
    targets, modules = value("method.targets"), value("method.modules")
    return Job(
        method=method,
        targets="all-linear" if isinstance(targets, str) else tuple(targets),
        dora=value("method.dora"),
        dropout=value("method.dropout"),
        modules="all" if isinstance(modules, str) else tuple(modules),
        extra_modules=tuple(value("method.extra_modules")),
        double_quantization=value("precision.double_quantization"),
        liger=value("acceleration.liger"),
        offloading=value("training.activation_offloading"),
        loss="chunked" if value("acceleration.loss") == "chunked" else "cross_entropy",
        accumulates=accumulates,
        **wanted,
    )


def longest_row(cutoff: int | str, data: DataFacts | None, *, packing: bool | str = "auto") -> int | None:
    """The longest row as it will be trained: the cutoff's length at most, and that where no row was measured or where
    texts share sequences."""
    limit = cutoff if isinstance(cutoff, int) else None
    if data is not None and data.only_texts and packing is not False:
        return limit or data.longest
    longest = data.longest if data is not None and data.measured else None
    if limit is None or longest is None:
        return limit or longest
    return min(limit, longest)
