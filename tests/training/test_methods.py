"""After a run exactly the parameters that should have moved have moved, and the rest are bit-identical."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from finetty.backend.runs import Run
from finetty.backend.training import train
from finetty.backend.training.methods import linear_layers, target_names

from .conftest import MakeRun

pytestmark = pytest.mark.trains

OPTIONS: dict[str, Any] = {"training.max_steps": 4, "output.checkpoint_every": 4, "training.weight_decay": 0.1}


def moved(before: Path, after: Path) -> tuple[set[str], set[str]]:
    """Names of the tensors that differ in any bit, and of those that do not."""
    old, new = load_file(before / "model.safetensors"), load_file(after / "model.safetensors")
    assert old.keys() == new.keys()
    assert all(old[name].dtype == new[name].dtype for name in old)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    return changed, old.keys() - changed


@pytest.mark.parametrize(
    ("options", "should_move"),
    [
        ({"method.name": "full"}, lambda name: True),
        ({"method.name": "freeze", "method.layers": 1}, lambda name: ".layers.1." in name),
        ({"method.name": "freeze", "method.layers": 2}, lambda name: ".layers." in name),
        ({"method.name": "freeze", "method.layers": -1}, lambda name: ".layers.0." in name),
        ({"method.name": "freeze", "method.modules": ["mlp"]}, lambda name: ".layers.1.mlp." in name),
        (
            {"method.name": "freeze", "method.modules": ["q_proj", "mlp.up_proj"]},
            lambda name: name.endswith(("layers.1.self_attn.q_proj.weight", "layers.1.mlp.up_proj.weight")),
        ),
        (
            {"method.name": "freeze", "method.extra_modules": ["norm", "embed_tokens"]},
            lambda name: ".layers.1." in name or name in ("model.norm.weight", "model.embed_tokens.weight"),
        ),
        (
            {"method.name": "freeze", "method.layers": 0, "method.extra_modules": ["norm"]},
            lambda name: name == "model.norm.weight",
        ),
    ],
)
def test_full_and_freeze_move_what_they_say(
    make_run: MakeRun, tiny_model: Path, options: dict[str, Any], should_move: Callable[[str], bool]
) -> None:
    run = make_run(**OPTIONS, **options)
    assert train(run) == "finished"
    changed, same = moved(tiny_model, run.output)
    assert {name for name in changed | same if should_move(name)} == changed


def test_towers_are_saved_as_they_were(make_run: MakeRun, tiny_vision_model: Path) -> None:
    run = make_run(tiny_vision_model, **OPTIONS, **{"method.name": "full"})
    assert train(run) == "finished"
    old = AutoModelForImageTextToText.from_pretrained(tiny_vision_model).state_dict()
    new = AutoModelForImageTextToText.from_pretrained(run.output).state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {name for name in old if "language_model" in name or name == "lm_head.weight"}


def test_a_bf16_checkpoint_stays_one(make_run: MakeRun, tiny_model: Path, tmp_path: Path) -> None:
    """Trained in fp32, saved as it was stored; what was frozen has not lost a bit."""
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(half)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (half / name).write_bytes((tiny_model / name).read_bytes())
    run = make_run(half, **OPTIONS, **{"method.name": "freeze", "precision.compute": "bf16"})
    assert train(run) == "finished"
    changed, same = moved(half, run.output)
    assert same == {name for name in changed | same if ".layers.1." not in name}


def adapted(run: Run) -> set[str]:
    names = load_file(run.output / "adapter_model.safetensors")
    return {name.removeprefix("base_model.model.").rpartition(".lora_")[0] for name in names}


def test_all_linear_is_the_language_models_layers_without_its_head(
    make_run: MakeRun, tiny_model: Path, tiny_vision_model: Path
) -> None:
    for model, inside in ((tiny_model, "model.layers"), (tiny_vision_model, "model.language_model.layers")):
        run = make_run(model, **OPTIONS)
        assert train(run) == "finished"
        layers = adapted(run)
        assert len(layers) == 14
        assert all(name.startswith(inside) for name in layers)


def test_named_targets_alone_get_an_adapter(make_run: MakeRun, tiny_vision_model: Path) -> None:
    """The vision tower has a q_proj too."""
    run = make_run(tiny_vision_model, **OPTIONS, **{"method.targets": ["q_proj"]})
    assert train(run) == "finished"
    assert adapted(run) == {f"model.language_model.layers.{layer}.self_attn.q_proj" for layer in (0, 1)}


def test_packed_layers_get_an_adapter_as_others_do(tiny_model: Path) -> None:
    """GPTQ's layers, as gptqmodel makes them, are no Linear."""

    class Packed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("qweight", torch.zeros(8, 8, dtype=torch.int32))

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = linear_layers(model)
    model.model.layers[0].self_attn.q_proj = Packed()
    assert linear_layers(model) == plain


def test_a_target_may_be_the_end_of_a_full_name(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert target_names(model, ["layers.1.self_attn.q_proj"]) == ["model.layers.1.self_attn.q_proj"]
    assert "lm_head" not in linear_layers(model)
