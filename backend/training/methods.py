"""Which parameters are trained: an adapter's, everything, or chosen layers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.recipe import Recipe
from finetty.backend.training import pissa
from finetty.backend.training.load import language_model

NO_SUCH_TARGET = message("training.no_such_target", "The language model has no linear layer called {name}.")
NO_SUCH_MODULE = message("training.no_such_module", "The language model has no module called {name}.")
NAMES = message("training.module_names", "It has {names}.")
DID_YOU_MEAN = message("training.did_you_mean", "Did you mean {name}? It has {names}.")
NO_LAYERS = message("training.no_layers", "The language model's layers could not be found, so none can be chosen.")
USE_LORA = message("training.use_lora", "Tune it with LoRA.")
TOO_MANY_LAYERS = message("training.too_many_layers", "{asked} layers are to be trained and the model has {count}.")
FEWER_LAYERS = message("training.fewer_layers", "Take at most {count}.")
NOTHING_TRAINED = message("training.nothing_trained", "Nothing of the model would be trained.")
CHOOSE_LAYERS = message("training.choose_layers", "Choose layers, or extra modules.")

ROUTERS = ("gate", "router", "shared_expert_gate")
"""Linear layers that choose experts: an adapter in them unbalances a mixture."""


def prepare(model: Any, recipe: Recipe, run: Path) -> Any:
    """The model with exactly the recipe's parameters trainable, those in fp32. Raises Refusal for names it has not.

    `run` is the run's folder, where PiSSA keeps the adapter's beginning.
    """
    if recipe.method.name == "lora":
        adapted = with_adapter(model, recipe)
        if recipe.method.pissa:
            pissa.begin(adapted, run / pissa.FOLDER)
        return adapted
    if recipe.method.name == "full":
        _train(module for module in (language_model(model), model.get_output_embeddings()) if module is not None)
    else:
        _train(frozen_apart(model, recipe))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise Refusal(NOTHING_TRAINED(), CHOOSE_LAYERS(), option="method.layers")
    return model


def with_adapter(model: Any, recipe: Recipe) -> Any:
    """The model with a LoRA beside the target layers; peft keeps its weights in fp32."""
    from peft import LoraConfig, get_peft_model

    method = recipe.method
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=_whole(method.alpha),
        lora_dropout=method.dropout,
        target_modules=_briefly(model, target_names(model, method.targets)),
        use_rslora=method.rslora,
        use_dora=method.dora,
        bias="none",
    )
    return get_peft_model(model, config)


def target_names(model: Any, targets: str | Sequence[str]) -> list[str]:
    """Full names of the layers that get an adapter: inside the language model only, never the output head.

    A target is a layer's own name (q_proj) or the end of its full name (layers.0.self_attn.q_proj).
    """
    names = linear_layers(model)
    if isinstance(targets, str):
        return names
    for target in targets:
        if not any(_ends_with(name, target) for name in names):
            raise _unknown(NO_SUCH_TARGET, target, {name.rpartition(".")[2] for name in names}, "method.targets")
    return [name for name in names if any(_ends_with(name, target) for target in targets)]


def _briefly(model: Any, names: Sequence[str]) -> list[str]:
    """The layers' own names (q_proj) where those mean exactly these layers, for other tools to read; else in full."""
    short = sorted({name.rpartition(".")[2] for name in names})
    meant = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in short}
    return short if meant == set(names) else list(names)


def linear_layers(model: Any) -> list[str]:
    """Full names of the language model's linear layers, quantized ones too, without head and routers."""
    inside = {id(module) for module in language_model(model).modules()}
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if id(module) in inside and module is not head and _is_linear(module) and not _routes(name)
    ]


def _routes(name: str) -> bool:
    """Whether a layer is a router or part of one (hunyuan's `gate.wg`, gemma 4's `router.proj`)."""
    return any(part in ROUTERS for part in name.split("."))


def frozen_apart(model: Any, recipe: Recipe) -> list[Any]:
    """Freeze: the modules that are trained while the rest stays as it is."""
    chosen = list(_layer_modules(model, recipe))
    decoder, head = language_model(model), model.get_output_embeddings()
    outside = dict(_outside_layers(decoder))
    if head is not None:
        outside["lm_head"] = head
    for name in recipe.method.extra_modules:
        if name not in outside:
            raise _unknown(NO_SUCH_MODULE, name, outside, "method.extra_modules")
        chosen.append(outside[name])
    return chosen


def _layer_modules(model: Any, recipe: Recipe) -> Iterable[Any]:
    count, wanted = recipe.method.layers, recipe.method.modules
    if not isinstance(count, int) or count == 0:
        return
    layers = layer_list(model)
    if abs(count) > len(layers):
        raise Refusal(
            TOO_MANY_LAYERS(asked=abs(count), count=len(layers)),
            FEWER_LAYERS(count=len(layers)),
            option="method.layers",
        )
    for layer in layers[-count:] if count > 0 else layers[:-count]:
        if wanted == "all":
            yield layer
        else:
            yield from _named(layer, wanted)


def layer_list(model: Any) -> list[Any]:
    """The language model's layers, first to last: its one list of as many modules as it has layers."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in language_model(model).modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise Refusal(NO_LAYERS(), USE_LORA(), option="method.name")


def _named(layer: Any, wanted: Sequence[str]) -> Iterable[Any]:
    found = {name: module for name, module in layer.named_modules() if name}
    for target in wanted:
        modules = [module for name, module in found.items() if _ends_with(name, target)]
        if not modules:
            raise _unknown(NO_SUCH_MODULE, target, {name.rpartition(".")[2] for name in found}, "method.modules")
        yield from modules


def _outside_layers(decoder: Any) -> Iterable[tuple[str, Any]]:
    for name, module in decoder.named_children():
        if not isinstance(module, nn.ModuleList) and any(True for _ in module.parameters()):
            yield name, module


def _train(modules: Iterable[Any]) -> None:
    for module in modules:
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)


def _is_linear(module: Any) -> bool:
    """GPTQ's and AWQ's layers are no torch Linear, and hold their packed weights as `qweight`."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D" or hasattr(module, "qweight")


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _unknown(said: Any, name: str, known: Iterable[str], option: str) -> Refusal:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names)
    fix: Message = DID_YOU_MEAN(name=near[0], names=listed) if near else NAMES(names=listed)
    return Refusal(said(name=name), fix, option=option)


def _whole(value: Any) -> Any:
    """peft's configuration file writes an alpha of 32 as 32, as other tools expect it."""
    return int(value) if float(value).is_integer() else value
