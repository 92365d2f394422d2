"""Few layers for many: which of a model's like layers are run, and which stand for more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from finetty.backend.replay.events import Stretch

KEPT_UNITS = 5
"""Of like layers so many are run: the first and the last, beside other ones, and three whose middle one repeats."""
LONGEST_PERIOD = 8


def shortened(likenesses: Sequence[Any]) -> tuple[list[int], list[Stretch]]:
    """Which layers to run, by their places, and where those stand for more. Equal likenesses are like layers."""
    kept: list[int] = []
    stretches: list[Stretch] = []
    place = 0
    while place < len(likenesses):
        period, units = _longest_stretch(likenesses, place)
        if units > KEPT_UNITS:
            stretches.append(Stretch(len(kept) + 2 * period, period, units - KEPT_UNITS + 1))
            kept += range(place, place + 3 * period)
            kept += range(place + (units - 2) * period, place + units * period)
            place += units * period
        else:
            kept.append(place)
            place += 1
    return kept, stretches


def _longest_stretch(likenesses: Sequence[Any], start: int) -> tuple[int, int]:
    """Period and units of the stretch from `start` that saves the most layers."""
    best = (1, 1)
    for period in range(1, LONGEST_PERIOD + 1):
        units = 1
        while likenesses[start : start + period] == likenesses[
            start + units * period : start + (units + 1) * period
        ] and start + (units + 1) * period <= len(likenesses):
            units += 1
        if (units - KEPT_UNITS) * period > (best[1] - KEPT_UNITS) * best[0]:
            best = (period, units)
    return best


def likeness(model: Any, layer: Any, place: int) -> Any:
    config = model.config.get_text_config()
    types = getattr(config, "layer_types", None)
    parameters = tuple((name, tuple(one.shape), one.dtype, one.requires_grad) for name, one in layer.named_parameters())
    modules = tuple((name, type(one).__name__) for name, one in layer.named_modules())
    own = tuple(
        (name, attribute, getattr(one, attribute))
        for name, one in layer.named_modules()
        for attribute in ("sliding_window", "is_sliding", "attention_type", "use_rope", "is_kv_shared_layer")
        if isinstance(getattr(one, attribute, None), int | str | bool)
    )
    return parameters, modules, own, types[place] if types else None


def keep_layers(model: Any, kept: Sequence[int]) -> None:
    config = model.config.get_text_config()
    count = config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            module._modules = {str(place): module[layer] for place, layer in enumerate(kept)}
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[layer] for layer in kept]
    config.num_hidden_layers = len(kept)
