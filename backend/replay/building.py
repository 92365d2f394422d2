"""The model of a job, built as finetty builds it: first on meta, where it costs nothing, then on fake tensors."""

from __future__ import annotations

import errno
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from finetty.backend.memory import Job
from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe
from finetty.backend.replay.asking import LIVE_STAYS
from finetty.backend.replay.events import Stretch
from finetty.backend.replay.few_layers import keep_layers, likeness, shortened
from finetty.backend.replay.recording import Recorder
from finetty.backend.training.load import DTYPES, model_class, quantization, stored_dtype
from finetty.backend.training.methods import layer_list, prepare

NOT_EXPRESSIBLE = message("replay.not_expressible", "The exact prediction does not know {what}.")
NOT_BUILT = message("replay.not_built", "The library cannot build this model: {reason}")

SMALLEST_PAGED = 100_000
"""Numbers in the smallest parameter whose states bitsandbytes pages."""


@dataclass
class Built:
    """`layers`: those that are run; `stretches`: places where they stand for more.

    `pageable`: trained numbers, in all layers, whose optimizer states bitsandbytes can page.
    """

    model: Any
    layers: list[Any]
    stretches: list[Stretch]
    pageable: int


def cannot(what: str) -> Refusal:
    return Refusal(NOT_EXPRESSIBLE(what=what), LIVE_STAYS())


def recipe_of(job: Job) -> Recipe:
    """As much of a recipe as finetty's building asks for."""
    method: dict[str, Any] = {"name": job.method}
    if job.method == "lora":
        method |= {"rank": job.rank, "alpha": job.rank, "dropout": job.dropout, "dora": job.dora}
        method["targets"] = "auto" if isinstance(job.targets, str) else list(job.targets)
    if job.method == "freeze":
        modules = "all" if isinstance(job.modules, str) else list(job.modules)
        method |= {"layers": job.layers, "modules": modules, "extra_modules": list(job.extra_modules)}
    return Recipe.model_validate(
        {
            "method": method,
            "precision": {
                "compute": job.compute,
                "quantization": job.quantization,
                "double_quantization": job.double_quantization,
            },
        }
    )


def build(job: Job, folder: Path, *, attention: str, whole: bool) -> Built:
    """On meta. `attention`: transformers' name of the kernel. Unless `whole`, with few of the layers that are alike.

    Raises Refusal.
    """
    recipe = recipe_of(job)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model = model_class(config).from_config(
                config, dtype=_dtype(job, config), attn_implementation=attention, trust_remote_code=False
            )
            model.requires_grad_(False)
            if job.quantization != "none":
                model = _quantized(model, recipe)
            if job.upcast:
                _upcast(model, narrow_ends=job.narrow_ends)
            model = prepare(model, recipe, folder)
    except Refusal:
        raise
    except Exception as error:  # whatever a foreign configuration makes the library raise
        raise not_built(error) from error
    _in_format(model, job)
    model.config.use_cache = False
    layers = layer_list(model)
    trained = [one.numel() for one in model.parameters() if one.requires_grad]
    pageable = sum(numbers for numbers in trained if numbers >= SMALLEST_PAGED)
    if whole:
        return Built(model, layers, [], pageable)
    kept, stretches = shortened([likeness(model, layer, place) for place, layer in enumerate(layers)])
    keep_layers(model, kept)
    return Built(model, [layers[place] for place in kept], stretches, pageable)


def _dtype(job: Job, config: Any) -> torch.dtype:
    if job.weights is not None:
        return DTYPES[job.weights]
    if job.method == "freeze":
        return stored_dtype(config)
    return DTYPES[job.compute] if job.method == "lora" else torch.float32


def _quantized(model: Any, recipe: Recipe) -> Any:
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    said = quantization(recipe)
    skipped = get_keys_to_not_convert(model)
    model = replace_with_bnb_linear(model, modules_to_not_convert=skipped, quantization_config=said)
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = said.load_in_4bit, said.load_in_8bit  # peft asks
    return model


def _upcast(model: Any, *, narrow_ends: bool) -> None:
    """As peft's prepare_model_for_kbit_training: what is not quantized becomes fp32."""
    ends = _ends(model) if narrow_ends else ()
    for parameter in model.parameters():
        if _in_16_bits(parameter) and not any(parameter is one for one in ends):
            parameter.data = parameter.data.float()


def _in_16_bits(parameter: Any) -> bool:
    return parameter.dtype in (torch.float16, torch.bfloat16) and type(parameter).__name__ == "Parameter"


def _ends(model: Any) -> list[Any]:
    """The weights of embeddings and output head."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    return [one.weight for one in ends if one is not None]


def _in_format(model: Any, job: Job) -> None:
    """finetty trains in fp32; other trainers' jobs say so where they do not."""
    wanted = DTYPES[(job.adapter if job.method == "lora" else job.weights) or "fp32"]
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype != wanted:
            parameter.data = parameter.data.to(wanted)


def materialize(built: Built, job: Job, recorder: Recorder, *, on_card: bool) -> None:
    """Every parameter and buffer as a fake tensor, in the order in which they are loaded, with what loading takes."""
    of_layer = {id(module): place for place, layer in enumerate(built.layers) for module in layer.modules()}
    made: dict[int, nn.Parameter] = {}
    adapters: list[tuple[Any, str, int | None]] = []
    for module in built.model.modules():
        layer = of_layer.get(id(module))
        for name, one in module._parameters.items():
            if one is not None and one.requires_grad and job.method == "lora":
                adapters.append((module, name, layer))
            elif one is not None:
                recorder.layer, recorder.part = layer, "weights"
                module._parameters[name] = _loaded(made, module, one, job, on_card=on_card)
        recorder.layer, recorder.part = layer, "weights"
        for name, buffer in list(_meta_tensors(module)):
            fake = torch.empty(buffer.shape, dtype=buffer.dtype)
            if name in module._buffers:
                module._buffers[name] = fake
            else:
                setattr(module, name, fake)
    recorder.part = "adapter"
    for module, name, layer in adapters:
        recorder.layer = layer
        one = module._parameters[name]
        module._parameters[name] = made.setdefault(id(one), nn.Parameter(torch.empty(one.shape, dtype=one.dtype)))
    recorder.layer = None
    _upcast_loaded(built.model, job, recorder, of_layer)
    recorder.part = "activations"
    gc.collect()


def _meta_tensors(module: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from ((name, one) for name, one in module._buffers.items() if one is not None and one.is_meta)
    for name, one in vars(module).items():
        if isinstance(one, torch.Tensor) and one.is_meta and not isinstance(one, nn.Parameter):
            yield name, one


def _loaded(made: dict[int, nn.Parameter], module: Any, one: Any, job: Job, *, on_card: bool) -> nn.Parameter:
    found = made.get(id(one))
    if found is None:
        if type(one).__name__ == "Params4bit":
            found = _four_bits(module, one, job)
        elif type(one).__name__ == "Int8Params":
            found = _eight_bits(module, job, on_card=on_card)
        else:
            loaded = DTYPES[job.compute] if job.upcast else one.dtype
            found = nn.Parameter(torch.empty(one.shape, dtype=loaded), requires_grad=one.requires_grad)
        made[id(one)] = found
    return found


def _four_bits(module: Any, one: Any, job: Job) -> nn.Parameter:
    """16 bits, packed by bitsandbytes and then given back."""
    from bitsandbytes.functional import quantize_4bit

    whole = torch.empty((module.out_features, module.in_features), dtype=DTYPES[job.compute])
    packed, state = quantize_4bit(
        whole, blocksize=one.blocksize or 64, compress_statistics=one.compress_statistics, quant_type=one.quant_type
    )
    found = nn.Parameter(packed, requires_grad=False)
    for name in ("blocksize", "compress_statistics", "quant_type", "quant_storage"):
        setattr(found, name, getattr(one, name))
    found.quant_state, found.bnb_quantized = state, True  # type: ignore[attr-defined]
    module.quant_state = state
    return found


def _eight_bits(module: Any, job: Job, *, on_card: bool) -> nn.Parameter:
    """Rounded from fp16, which is copied back to a card for it, to a byte a number and a scale a row."""
    whole = torch.empty((module.out_features, module.in_features), dtype=DTYPES[job.compute])
    _half = whole.to(torch.float16, copy=on_card)
    found = nn.Parameter(torch.empty(whole.shape, dtype=torch.int8), requires_grad=False)
    module.state.CB, module.state.SCB = found.data, torch.empty(module.out_features, dtype=torch.float32)
    found.CB, found.has_fp16_weights = None, False  # type: ignore[attr-defined]
    return found


def _upcast_loaded(model: Any, job: Job, recorder: Recorder, of_layer: dict[int, int]) -> None:
    if not job.upcast:
        return
    recorder.part = "weights"
    done: dict[int, nn.Parameter] = {}
    for module in model.modules():
        recorder.layer = of_layer.get(id(module))
        for name, one in list(module._parameters.items()):
            if one is not None and not one.requires_grad and one.dtype in (torch.float16, torch.bfloat16):
                if id(one) not in done:
                    done[id(one)] = nn.Parameter(one.float(), requires_grad=False)
                module._parameters[name] = done[id(one)]
            one = None
    done.clear()
    recorder.layer = None
    for end in _ends(model) if job.narrow_ends else ():
        end.data = end.data.to(DTYPES[job.compute])


def not_built(error: Exception) -> Refusal | MemoryError:
    """What to say instead of what a library raised."""
    words = str(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or "bad_alloc" in words:
        return MemoryError(words)
    return Refusal(NOT_BUILT(reason=_first_line(error)), LIVE_STAYS())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
