"""The base model, loaded as the recipe says: class, number format, quantization, attention kernel, device."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    BitsAndBytesConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
)

from finetty.backend.machine.accelerators import HUB_FLASH_ATTENTION, accelerators
from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe
from finetty.backend.training.ranks import on_this_machine

NOT_LOADED = message("training.not_loaded", "The model could not be loaded: {reason}")
CHECK_FOLDER = message(
    "training.check_folder", "Check that the model's folder {folder} is whole: config.json, and weights in safetensors."
)
REACH_HUB = message(
    "training.reach_hub",
    "Let this machine reach the Hub once (`finetty doctor` does), or set acceleration.attention: sdpa.",
)
WEIGHTS_MISSING = message(
    "training.weights_missing", "The model's files lack {count} of its weights, {name} among them."
)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ATTENTION = {"eager": "eager", "sdpa": "sdpa", "fa2": "flash_attention_2", "fa3": "flash_attention_3"}


def load_model(folder: Path, recipe: Recipe, *, on_cpu: bool, to_train: bool = True) -> Any:
    """The model in `folder`, all of it frozen, on its device. Raises Refusal with the library's reason."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=recipe.model.trust_remote_code)
        model, found = model_class(config).from_pretrained(
            folder, output_loading_info=True, **loading_arguments(recipe, on_cpu=on_cpu, to_train=to_train)
        )
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        if HUB_FLASH_ATTENTION in str(error):
            raise Refusal(
                NOT_LOADED(reason=_first_line(error)), REACH_HUB(), option="acceleration.attention"
            ) from error
        raise Refusal(
            NOT_LOADED(reason=_first_line(error)), CHECK_FOLDER(folder=folder), option="model.path"
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise Refusal(
            WEIGHTS_MISSING(count=len(missing), name=missing[0]), CHECK_FOLDER(folder=folder), option="model.path"
        )
    _steady_quantization(model)
    if on_cpu and recipe.precision.quantization not in ("none", "auto"):
        _let_go_of_file(model)
    return model.requires_grad_(False)


def model_class(config: Any) -> Any:
    """The Auto class that opens this checkpoint with all it holds: its towers too, so that it can be saved whole."""
    towers = any(hasattr(config, name) for name in ("vision_config", "audio_config"))
    if towers and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    if towers and type(config) in MODEL_FOR_MULTIMODAL_LM_MAPPING:
        return AutoModelForMultimodalLM
    return AutoModelForCausalLM


def loading_arguments(recipe: Recipe, *, on_cpu: bool, to_train: bool = True) -> dict[str, Any]:
    """What from_pretrained is told. Weights come from safetensors alone: a pickle can run code."""
    said: dict[str, Any] = {
        "dtype": weights_dtype(recipe) if to_train else DTYPES[recipe.precision.compute],
        "attn_implementation": attention(recipe.acceleration.attention),
        "trust_remote_code": recipe.model.trust_remote_code,
        "use_safetensors": True,
    }
    if recipe.precision.quantization not in ("none", "auto"):
        said["quantization_config"] = quantization(recipe)
        said["device_map"] = {"": "cpu" if on_cpu else on_this_machine()}
    elif not on_cpu:
        said["device_map"] = {"": on_this_machine()}
    return said


def attention(kernel: str) -> str:
    """The kernel as transformers names it: FlashAttention-2 from the Hub where no compiled one can be used."""
    here = {name for name, one in accelerators().items() if one.version is not None}
    if kernel == "fa2" and "flash_attn" not in here and "kernels" in here:
        return HUB_FLASH_ATTENTION
    return ATTENTION[kernel]


def weights_dtype(recipe: Recipe) -> torch.dtype | str:
    """The format in which the weights are held.

    Under an adapter they are frozen and take the arithmetic's format. In full and freeze what is trained becomes
    fp32, so full loads fp32; freeze keeps the stored format, for the frozen weights are saved again with the rest.
    """
    if recipe.method.name == "full":
        return torch.float32
    if recipe.method.name == "freeze":
        return "auto"
    return DTYPES[recipe.precision.compute]


def stored_dtype(config: Any) -> torch.dtype:
    """The format in which the checkpoint's own configuration says its weights are; fp32 where it says nothing."""
    text = config.get_text_config()
    found = getattr(config, "dtype", None) or getattr(text, "dtype", None)
    if isinstance(found, str):
        found = getattr(torch, found.removeprefix("torch."), None)
    return found if isinstance(found, torch.dtype) else torch.float32


def quantization(recipe: Recipe) -> Any:
    """bitsandbytes' configuration: 8 bits, or 4 with the scales quantized again where the recipe says so."""
    kind = recipe.precision.quantization
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=recipe.precision.double_quantization,
        bnb_4bit_compute_dtype=DTYPES[recipe.precision.compute],
    )


def _steady_quantization(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights for the CPU at the first evaluation: training goes on from them.

    It also warns at every layer of every step that int8 casts its inputs.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def _let_go_of_file(model: Any) -> None:
    """What is not quantized may lie in the mapped checkpoint, and would keep all of it in the process's memory."""
    for one in model.parameters():
        if one.dtype.is_floating_point:
            one.data = one.data.clone()


def language_model(model: Any) -> Any:
    """The part that reads and writes text: the decoder, without towers and output head."""
    return model.get_decoder()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
