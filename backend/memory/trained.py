"""How many parameters a method trains: exactly, or None where that is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finetty.backend.models.facts import LinearModules, ModelFacts

ROUTERS = ("gate", "router", "shared_expert_gate")


def targeted(model: ModelFacts, targets: str | Sequence[str]) -> list[LinearModules]:
    """The linear layers that get an adapter: all of them, or those of the names; routers never by themselves."""
    if isinstance(targets, str):
        return [module for module in model.linear_modules if module.name not in ROUTERS]
    chosen = []
    for module in model.linear_modules:
        if module.name in targets:
            chosen.append(module)
        elif one := sum(target.rsplit(".", 1)[-1] == module.name for target in set(targets)):
            chosen.append(LinearModules(module.name, module.inputs, module.outputs, min(one, module.count)))
    return chosen


def unknown_targets(model: ModelFacts, targets: Iterable[str]) -> list[str]:
    """Targets that name no linear layer of the model; none where its layers are not known."""
    names = {module.name for module in model.linear_modules}
    return [target for target in targets if names and target.rsplit(".", 1)[-1] not in names]


def lora_parameters(model: ModelFacts, targets: str | Sequence[str], rank: int, *, dora: bool = False) -> int | None:
    """rank × (inputs + outputs) a layer; DoRA adds one number an output (Hu et al. 2021, Liu et al. 2024)."""
    if not model.linear_modules:
        return None
    return sum(
        module.count * (rank * (module.inputs + module.outputs) + (module.outputs if dora else 0))
        for module in targeted(model, targets)
    )


def full_parameters(model: ModelFacts) -> int | None:
    """The language model with its head; towers stay frozen."""
    return model.trainable_text_parameters


def freeze_parameters(model: ModelFacts, layers: int, modules: str | Sequence[str], extra: Sequence[str]) -> int | None:
    """Of the first or last `layers` layers, all parameters or some linear modules'; plus modules outside them."""
    inside = _layer_parameters(model, modules)
    outside = [_extra_parameters(model, name) for name in extra]
    if inside is None or None in outside:
        return None
    return abs(layers) * inside + sum(count for count in outside if count is not None)


def _layer_parameters(model: ModelFacts, modules: str | Sequence[str]) -> int | None:
    """Of one layer; None where layers differ from one another."""
    total, embeddings = model.trainable_text_parameters, model.embedding_parameters
    if not model.layers or not model.hidden_size or total is None or embeddings is None:
        return None
    if isinstance(modules, str):
        inside, rest = divmod(total - embeddings - model.hidden_size, model.layers)
        return inside if rest == 0 and inside > 0 else None
    chosen = [module for module in model.linear_modules if module.name in modules]
    if {module.name for module in chosen} != set(modules) or any(one.count % model.layers for one in chosen):
        return None
    return sum((one.inputs + one.bias) * one.outputs * (one.count // model.layers) for one in chosen)


def _extra_parameters(model: ModelFacts, name: str) -> int | None:
    if name == "norm":
        return model.hidden_size
    if name in ("embed_tokens", "lm_head") and model.vocabulary and model.hidden_size:
        return model.vocabulary * model.hidden_size
    return None
