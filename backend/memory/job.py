"""What of a recipe decides its memory, with every choice made: the estimator's only view of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.recipe import Recipe

SIZE = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number in the format that the arithmetic runs in."""


@dataclass(frozen=True)
class Job:
    """`length` is the longest row in tokens after the cutoff, `accumulates` whether gradients outlive a micro-batch."""

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
    double_quantization: bool = True
    attention: str = "sdpa"
    liger: bool = False
    micro_batch: int = 1
    length: int = 512
    accumulates: bool = True
    checkpointing: bool = False
    optimizer: str = "adamw_fused"

    @property
    def tokens(self) -> int:
        return self.micro_batch * self.length

    @property
    def compute_bytes(self) -> int:
        return SIZE[self.compute]


def job_of(recipe: Recipe, data: DataFacts | None) -> Job | None:
    """None while the recipe has an `auto` that memory depends on."""
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
