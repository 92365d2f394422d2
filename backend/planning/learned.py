"""What earlier runs on this very card say of a prediction: the factor between what was measured and what predicted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from finetty.backend.machine.facts import GpuFacts
from finetty.backend.machine.peaks import Peak
from finetty.backend.memory import MemoryPrediction
from finetty.backend.recipe import Recipe

NEWEST = 10
"""Runs that a correction is the median of."""
WILD = 3.0
"""A run that is off by more was no run of what was planned, and teaches nothing."""


@dataclass(frozen=True)
class Correction:
    """Factors for what PyTorch allocates and reserves, what is outside of that, and how many runs say so."""

    runs: int
    allocated: float
    reserved: float
    context: int | None
    """Bytes of the process that NVML shows beyond what is reserved; None where no run had them."""


def way_of(recipe: Recipe) -> str:
    """Runs of one way share their errors: method, number formats, optimizer and accelerators."""
    method, precision, fast = recipe.method, recipe.precision, recipe.acceleration
    kinds = [method.name, str(precision.compute), str(precision.quantization), str(recipe.training.optimizer)]
    kinds += [name for name, on in (("unsloth", fast.unsloth), ("liger", fast.liger)) if on]
    return " ".join(kinds)


def correction_for(card: GpuFacts | None, way: str, torch: str | None, peaks: Sequence[Peak]) -> Correction | None:
    """From runs on a card of this model with this torch: of the same way where there are such, else of any."""
    if card is None:
        return None
    same_card = [peak for peak in peaks if peak.card == card.name and peak.torch == torch]
    chosen = ([peak for peak in same_card if peak.way == way] or same_card)[-NEWEST:]
    if not chosen:
        return None
    outside = [peak.process - peak.reserved for peak in chosen if peak.process and peak.reserved]
    return Correction(
        runs=len(chosen),
        allocated=_factor([(peak.allocated, peak.predicted_allocated) for peak in chosen]),
        reserved=_factor([(peak.reserved, peak.predicted_reserved) for peak in chosen]),
        context=round(statistics.median(outside)) if outside and min(outside) > 0 else None,
    )


def _factor(pairs: Sequence[tuple[int | None, int]]) -> float:
    factors = [measured / predicted for measured, predicted in pairs if measured and predicted]
    return statistics.median([one for one in factors if 1 / WILD < one < WILD] or [1.0])


def corrected(prediction: MemoryPrediction, correction: Correction) -> MemoryPrediction:
    """The prediction as the card's own runs have it. Components keep their shares of what is reserved."""
    reserved = round(prediction.reserved * correction.reserved)
    context = prediction.process - prediction.reserved if correction.context is None else correction.context
    parts = {name: round(size * correction.reserved) for name, size in prediction.components.items()}
    return MemoryPrediction(
        allocated=round(prediction.allocated * correction.allocated),
        reserved=reserved,
        process=reserved + context,
        components={**parts, "context": context},
    )
