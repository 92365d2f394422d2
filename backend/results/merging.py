"""Base weights with the adapter's change added, one tensor at a time: a model is merged without ever being loaded.

The change is worked out in fp32 whatever the weights' own format: LoRA's W + s B A (Hu et al. 2021), with s = alpha / r
or, rank-stabilized, alpha / sqrt(r) (Kalajdzievski 2023), and DoRA's m (W + s B A) / |W + s B A| with the norm of each
output's row (Liu et al. 2024).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Refusal, message
from finetty.backend.models.weights import Checkpoint, read_checkpoint, weight_files
from finetty.backend.results.source import Source

if TYPE_CHECKING:
    import torch

NO_WEIGHTS = message("results.no_weights", "{folder} holds no weights in safetensors.")
GET_THEM = message("results.get_them", "Put the whole model back.")
PACKED = message("results.packed", "The base in {folder} is itself stored quantized, so nothing can be added to it.")
TAKE_ADAPTER = message("results.take_adapter", "Export the adapter instead: --to adapter.")
UNKNOWN_PART = message("results.unknown_part", "The adapter has a part that finetty cannot merge: {name}.")
NO_PLACE = message("results.no_place", "The base's weight files have no weight of their own for {name}.")
TOO_LARGE = message("results.too_large", "{name} holds numbers that fp16 cannot.")
TAKE_BF16 = message("results.take_bf16", "Take --dtype bf16.")

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
ADDED = ("lora_A", "lora_B", "lora_magnitude_vector")


@dataclass(frozen=True)
class Weight:
    """A tensor of the merged model as it will be: its name in the files, shape, and bytes."""

    name: str
    shape: tuple[int, ...]
    size: int


@dataclass
class Layer:
    """One layer's change: A is [rank, inputs], B [outputs, rank], DoRA's magnitude [outputs]."""

    parts: dict[str, torch.Tensor] = field(default_factory=dict)

    def merged(self, weight: torch.Tensor, scaling: float, *, transposed: bool) -> torch.Tensor:
        """The layer's weight in fp32 with the change added; `transposed` where it is stored [inputs, outputs]."""
        changed = (weight.T if transposed else weight).float()
        changed = changed + scaling * (self.parts["lora_B"].float() @ self.parts["lora_A"].float())
        magnitude = self.parts.get("lora_magnitude_vector")
        if magnitude is not None:
            changed = changed * (magnitude.float() / changed.norm(dim=1))[:, None]
        return changed.T.contiguous() if transposed else changed


@dataclass(frozen=True)
class Adapter:
    """An adapter's layers by module name, and weights that it brings instead of the base's (modules_to_save)."""

    layers: dict[str, Layer]
    replaced: dict[str, torch.Tensor]
    alpha: float
    rank_stabilized: bool
    transposed: bool

    def scaling(self, layer: Layer) -> float:
        rank = layer.parts["lora_A"].shape[0]
        return self.alpha / (math.sqrt(rank) if self.rank_stabilized else rank)


def read_adapter(folder: Path) -> Adapter:
    """An adapter in peft's form. Raises Refusal for a part that is not LoRA's."""
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    layers: dict[str, Layer] = {}
    replaced = {}
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        name = key.removeprefix("base_model.model.")
        part = next((one for one in ADDED if f".{one}" in name), None)
        if part is not None:
            layers.setdefault(name.partition(f".{part}")[0], Layer()).parts[part] = tensor
        elif "lora_" in name or not name.endswith((".weight", ".bias")):
            raise Refusal(UNKNOWN_PART(name=name[:80]), TAKE_ADAPTER())
        else:
            replaced[name] = tensor
    for pattern in ("rank_pattern", "alpha_pattern"):
        if config.get(pattern):
            raise Refusal(UNKNOWN_PART(name=pattern), TAKE_ADAPTER())
    return Adapter(
        layers, replaced, float(config["lora_alpha"]), bool(config["use_rslora"]), bool(config["fan_in_fan_out"])
    )


class Merge:
    """The merged model's tensors, in the order of the weight files. `result` is the run's adapter, or its model."""

    def __init__(self, source: Source, result: Path, dtype: str | None) -> None:
        """Read headers and the adapter. Raises Refusal."""
        self.folder = source.base if source.is_adapter else result
        self.checkpoint = whole_checkpoint(self.folder)
        self.dtype = merged_dtype(self.checkpoint, dtype)
        self._adapter = read_adapter(result) if source.is_adapter else None
        self._layer_of: dict[str, Layer] = {}
        self._instead: dict[str, torch.Tensor] = {}
        if self._adapter:
            self._place(self._adapter, source)

    @property
    def weights(self) -> list[Weight]:
        """Every tensor, before one of them is read."""
        floats = ("F64", "F32", "BF16", "F16")
        stored = {one.name: one for one in self.checkpoint.tensors}
        listed = [
            Weight(one.name, one.shape, one.elements * (BYTES[self.dtype] if one.dtype in floats else 8))
            for one in stored.values()
        ]
        new = [name for name in self._instead if name not in stored]
        return listed + [
            Weight(name, tuple(one.shape), one.numel() * BYTES[self.dtype])
            for name in new
            for one in [self._instead[name]]
        ]

    @property
    def unties(self) -> bool:
        """Whether the merged model has an output head of its own where the base shares the embeddings' weight."""
        names = {weight.name for weight in self.weights}
        stored = {tensor.name for tensor in self.checkpoint.tensors}
        return any(name.endswith("lm_head.weight") for name in names - stored)

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Each tensor in its final format; only the one that is given out is in memory. Raises Refusal."""
        from safetensors import safe_open

        with ExitStack() as open_files:
            places: dict[str, Any] = {}
            for path in weight_files(self.folder):
                file = open_files.enter_context(safe_open(path, framework="pt"))
                places |= dict.fromkeys(file.keys(), file)
            for weight in self.weights:
                stored = self._instead.get(weight.name)
                tensor = places[weight.name].get_tensor(weight.name) if stored is None else stored
                yield weight.name, self._final(weight.name, tensor)

    def _final(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        from finetty.backend.training.load import DTYPES

        layer = self._layer_of.get(name)
        if layer is not None and self._adapter is not None:
            scaling = self._adapter.scaling(layer)
            tensor = layer.merged(tensor, scaling, transposed=self._adapter.transposed)
        if not tensor.is_floating_point():
            return tensor
        final = tensor.to(DTYPES[self.dtype])
        if self.dtype == "fp16" and not bool(final.isfinite().all()):
            raise Refusal(TOO_LARGE(name=name), TAKE_BF16())
        return final.contiguous()

    def _place(self, adapter: Adapter, source: Source) -> None:
        """Find, for what the adapter changes, its tensors in the weight files."""
        stored = names_in_files(source, self.checkpoint)
        for module, layer in adapter.layers.items():
            name = stored.get(f"{module}.weight")
            if name is None:
                raise Refusal(NO_PLACE(name=module), TAKE_ADAPTER())
            self._layer_of[name] = layer
        for name, tensor in adapter.replaced.items():
            self._instead[stored.get(name, name)] = tensor


def whole_checkpoint(folder: Path) -> Checkpoint:
    """Raises Refusal where there are no weights, or weights that are packed."""
    found = read_checkpoint(folder)
    if found is None:
        raise Refusal(NO_WEIGHTS(folder=folder), GET_THEM())
    if found.packed:
        raise Refusal(PACKED(folder=folder), TAKE_ADAPTER())
    return found


def merged_dtype(checkpoint: Checkpoint, wanted: str | None) -> str:
    """The format asked for, else that of most of the weights."""
    return wanted or SHORT.get(checkpoint.dtype or "", "fp32")


def merged_bytes(source: Source, dtype: str | None) -> int:
    """What the merged weights take on the disk. Raises Refusal."""
    checkpoint = whole_checkpoint(source.base)
    return sum(one.elements for one in checkpoint.tensors) * BYTES[merged_dtype(checkpoint, dtype)]


def names_in_files(source: Source, checkpoint: Checkpoint) -> dict[str, str]:
    """The name in the weight files by the name in the loaded model, as transformers maps them.

    Weights that it fuses while it loads (a mixture's experts) have no name of their own in the model and are left out.
    """
    import torch
    from transformers import AutoConfig
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    from finetty.backend.training.load import model_class

    trusted = source.recipe.model.trust_remote_code
    config = AutoConfig.from_pretrained(source.base, trust_remote_code=trusted)
    with torch.device("meta"):
        model = model_class(config).from_config(config, trust_remote_code=trusted)
    transforms = get_model_conversion_mapping(model)
    converters = [one for one in transforms if isinstance(one, WeightConverter)]
    renamings = [one for one in transforms if not isinstance(one, WeightConverter)]
    known = model.state_dict()
    found = {}
    for tensor in checkpoint.tensors:
        name, fused = rename_source_key(tensor.name, renamings, converters, model.base_model_prefix, known)
        if fused is None:
            found[name] = tensor.name
    return found
