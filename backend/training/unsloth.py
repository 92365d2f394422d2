"""Unsloth's way to load a model and put an adapter beside it. Its import has to come before transformers'."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe import Recipe

TOO_LATE = message("training.unsloth_too_late", "Unsloth has to be imported before transformers, and was not.")
FRESH_PROCESS = message("training.fresh_process", "Start the run in a process of its own: `finetty train`.")
NOT_WITH_UNSLOTH = message("training.not_with_unsloth", "Unsloth cannot train this: {reason}")
WITHOUT_UNSLOTH = message("training.without_unsloth", "Set acceleration.unsloth: false.")


LACKS = message("training.unsloth_lacks", "Unsloth has no {what}.")
OTHER_LAYERS = message(
    "training.unsloth_other_layers", "Unsloth would train other layers of this model than the recipe says."
)


def import_first() -> None:
    """Import Unsloth, which patches transformers as it is imported. Raises Refusal when that is too late, ImportError.

    It asks for statistics over the network when it loads a model; finetty never does.
    """
    if "unsloth" not in sys.modules and "transformers" in sys.modules:
        raise Refusal(TOO_LATE(), FRESH_PROCESS(), option="acceleration.unsloth")
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    import unsloth  # type: ignore[import-not-found]  # noqa: F401


def load_model(folder: Path, recipe: Recipe) -> Any:
    """The model in `folder` with Unsloth's kernels. Raises Refusal with its reason."""
    from unsloth import FastLanguageModel

    refuse_what_it_lacks(recipe)
    try:
        model, _ = FastLanguageModel.from_pretrained(str(folder), **loading_arguments(recipe))
    except (RuntimeError, ValueError, NotImplementedError, OSError) as error:
        raise Refusal(
            NOT_WITH_UNSLOTH(reason=str(error).strip()), WITHOUT_UNSLOTH(), option="acceleration.unsloth"
        ) from error
    return model.requires_grad_(False)


def loading_arguments(recipe: Recipe) -> dict[str, Any]:
    """What FastLanguageModel.from_pretrained is told."""
    from finetty.backend.training.load import DTYPES

    return {
        "max_seq_length": recipe.dataset.cutoff,
        "dtype": DTYPES[recipe.precision.compute],
        "load_in_4bit": recipe.precision.quantization in ("nf4", "fp4"),
        "load_in_8bit": recipe.precision.quantization == "int8",
        "full_finetuning": recipe.method.name != "lora",
        "trust_remote_code": recipe.model.trust_remote_code,
        "use_gradient_checkpointing": _checkpointing(recipe),
        "random_state": recipe.training.seed,
    }


def refuse_what_it_lacks(recipe: Recipe) -> None:
    """Raises Refusal for options that Unsloth would pass over in silence."""
    precision = recipe.precision
    lacks = [
        ("DoRA", "method.dora", recipe.method.name == "lora" and recipe.method.dora),
        ("fp4", "precision.quantization", precision.quantization == "fp4"),
        (
            "nf4 without double quantization",
            "precision.double_quantization",
            precision.quantization == "nf4" and not precision.double_quantization,
        ),
    ]
    for what, option, wanted in lacks:
        if wanted:
            raise Refusal(LACKS(what=what), WITHOUT_UNSLOTH(), option=option)


def with_adapter(model: Any, recipe: Recipe) -> Any:
    """The model with a LoRA that Unsloth's kernels know, beside exactly the recipe's layers. Raises Refusal."""
    from unsloth import FastLanguageModel

    from finetty.backend.training.methods import target_names

    targets = target_names(model, recipe.method.targets)
    own_names = sorted({name.rpartition(".")[2] for name in targets})
    adapted = FastLanguageModel.get_peft_model(model, target_modules=own_names, **adapter_arguments(recipe))
    if adapted_layers(adapted) != set(targets):
        raise Refusal(OTHER_LAYERS(), WITHOUT_UNSLOTH(), option="acceleration.unsloth")
    return adapted


def adapted_layers(model: Any) -> set[str]:
    """Full names, in the base model, of the layers that have an adapter."""
    names = (name.partition(".lora_A.") for name, _ in model.named_parameters())
    return {layer.removeprefix("base_model.model.") for layer, found, _ in names if found}


def adapter_arguments(recipe: Recipe) -> dict[str, Any]:
    """What FastLanguageModel.get_peft_model is told, beside the target layers."""
    method = recipe.method
    return {
        "r": method.rank,
        "lora_alpha": method.alpha,
        "lora_dropout": method.dropout,
        "bias": "none",
        "use_rslora": method.rslora,
        "use_gradient_checkpointing": _checkpointing(recipe),
        "random_state": recipe.training.seed,
    }


def _checkpointing(recipe: Recipe) -> str | bool:
    """Unsloth's own checkpointing keeps activations in RAM; `unsloth` is its name."""
    return "unsloth" if recipe.training.gradient_checkpointing is True else False
