"""What of a training decides its memory, with every choice made: the estimator's only view of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.recipe import Recipe

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
    optimizer: str = "adamw_fused"

    # Habits

    mixed: bool | None = None
    """Autocast; None: wherever the arithmetic is not fp32, as transformers' Trainer does when told bf16 or fp16."""
    weights: Literal["fp32", "bf16", "fp16"] | None = None
    """The frozen weights' format, and in full that of all; None: the arithmetic's for LoRA, fp32 otherwise."""
    adapter: Literal["fp32", "bf16", "fp16"] = "fp32"
    """The adapter's format: peft makes it fp32 unless told not to."""
    upcast: bool = False
    """Whether prepare_model_for_kbit_training made what is not quantized, and so the residual stream, fp32."""
    loss: Literal["cross_entropy", "in_place", "fused_linear"] = "cross_entropy"
    """torch's cross entropy on fp32 logits; a kernel that writes the gradient over them; one that never has them all
    (which `liger` means)."""
    shifts_logits: bool = False
    """Whether the logits are copied to be shifted by one token, as transformers did before 4.50; now labels are."""
    keeps_outputs: bool = False
    """Whether the model's outputs, and with them the logits, are still named in the backward pass."""
    library_trainer: bool = True
    """accelerate's, which makes outputs fp32 under autocast."""
    loads_on_card: bool = True
    """Whether transformers loads the weights straight to the card, rather than to be moved there one by one."""
    fused_adapters: bool = False
    """An adapter's kernels that need no fp32 copy of the input."""
    fused_norms: bool = False
    """Norms and rotary positions in kernels that keep their inputs only, as `liger` means too."""
    fused_gate: bool = False
    """The gated product in such a kernel, as `liger` means too."""
    repeats: bool | None = None
    """Whether grouped keys and values are copied for each query's head; None: where rows are padded."""

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
        """Of a number in the residual stream, which has the embeddings' format."""
        return 4 if self.upcast else self.weight_bytes

    @property
    def padded(self) -> bool:
        """Rows of several lengths in one micro-batch come with a mask."""
        return self.micro_batch > 1 and self.repeats is None

    @property
    def repeats_heads(self) -> bool:
        if self.attention.startswith("fa"):
            return False
        return self.padded if self.repeats is None else self.repeats

    @property
    def loss_kind(self) -> str:
        return "fused_linear" if self.liger else self.loss


def job_of(recipe: Recipe, data: DataFacts | None) -> Job | None:
    """finetty's own training of a recipe; None while the recipe has an `auto` that memory depends on."""
    method, precision, training = recipe.method, recipe.precision, recipe.training
    wanted: dict[str, Any] = {
        "rank": method.rank if method.name == "lora" else 1,
        "layers": method.layers if method.name == "freeze" else 0,
        "compute": precision.compute,
        "quantization": precision.quantization,
        "attention": recipe.acceleration.attention,
        "micro_batch": training.micro_batch,
        "length": longest_row(recipe.dataset.cutoff, data),
        "checkpointing": training.gradient_checkpointing,
        "optimizer": training.optimizer,
    }
    if "auto" in wanted.values() or None in wanted.values() or training.batch == "auto":
        return None
    return Job(
        method=method.name,
        targets="all-linear" if isinstance(method.targets, str) else tuple(method.targets),
        dora=method.dora,
        dropout=method.dropout,
        modules="all" if isinstance(method.modules, str) else tuple(method.modules),
        extra_modules=tuple(method.extra_modules),
        double_quantization=precision.double_quantization,
        liger=recipe.acceleration.liger,
        accumulates=training.batch > wanted["micro_batch"],
        **wanted,
    )


def longest_row(cutoff: int | str, data: DataFacts | None) -> int | None:
    """The longest row as it will be trained: the cutoff's length at most, and that where no row was measured."""
    limit = cutoff if isinstance(cutoff, int) else None
    longest = data.longest if data is not None and data.measured else None
    if limit is None or longest is None:
        return limit or longest
    return min(limit, longest)
