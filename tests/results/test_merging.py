"""Merged weights against peft's own merge: adapters of every kind, tied and untied heads, a model with towers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.results.conftest import making

from finetty.backend.messages import Refusal
from finetty.backend.recipe import with_values
from finetty.backend.results.merged_folder import write_merged
from finetty.backend.results.merging import Merge
from finetty.backend.results.source import Source
from finetty.backend.runs import Run
from finetty.backend.training.load import load_model


def source_on(base: Path, data: Path, root: Path, **options: Any) -> Source:
    recipe = making().resolved_recipe(base, data, **options)
    plan = making().plan_of(recipe)
    return Source(Run.create(root, plan.to_json(), recipe, asked=recipe), plan, base, {})


def random_adapter(source: Source, folder: Path, **config: Any) -> Any:
    """An adapter with random weights saved in `folder`; returns the model with the adapter beside its weights."""
    from peft import LoraConfig, get_peft_model

    from finetty.backend.training.methods import target_names

    whole = with_values(source.recipe, {"precision.quantization": "none"})
    model = load_model(source.base, whole, on_cpu=True)
    targets = target_names(model, "all-linear")
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules=targets, **config))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return adapted.eval()


def merged_model(source: Source, adapter: Path, folder: Path, **how: Any) -> Any:
    (adapter / "chat_template.jinja").write_text("template")
    folder.mkdir()
    write_merged(source, adapter, folder, report=lambda _said: None, **{"dtype": "fp32", "shard_bytes": 1 << 30, **how})
    whole = with_values(source.recipe, {"precision.quantization": "none"})
    return load_model(folder, whole, on_cpu=True).eval()


@pytest.mark.parametrize(
    "config", [{}, {"use_rslora": True}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}], ids=str
)
def test_the_merged_weights_are_pefts_own(
    tiny_model: Path, tiny_data: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    source = source_on(tiny_model, tiny_data, tmp_path)
    adapted = random_adapter(source, tmp_path / "adapter", **config)
    ours = merged_model(source, tmp_path / "adapter", tmp_path / "merged")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        wanted, found = adapted(input_ids=ids).logits, ours(input_ids=ids).logits
    assert torch.allclose(found, wanted, atol=2e-5)
    theirs = adapted.merge_and_unload().state_dict()
    for name, tensor in ours.state_dict().items():
        if name in theirs:
            assert torch.allclose(tensor, theirs[name], atol=1e-6), name


def test_the_tower_of_a_vision_model_stays_and_its_language_model_changes(
    tiny_vision_model: Path, tiny_data: Path, tmp_path: Path
) -> None:
    source = source_on(tiny_vision_model, tiny_data, tmp_path)
    adapted = random_adapter(source, tmp_path / "adapter")
    ours = merged_model(source, tmp_path / "adapter", tmp_path / "merged")
    before = load_file(tiny_vision_model / "model.safetensors")
    after = load_file(tmp_path / "merged" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(changed) == 2 * 7
    assert all(name.startswith("language_model.model.layers.") and name.endswith("_proj.weight") for name in changed)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.allclose(ours(input_ids=ids).logits, adapted(input_ids=ids).logits, atol=2e-5)


def test_a_quantized_run_is_merged_into_the_whole_weights(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    source = source_on(tiny_model, tiny_data, tmp_path, **{"precision.quantization": "nf4"})
    adapted = random_adapter(source, tmp_path / "adapter")
    ours = merged_model(source, tmp_path / "adapter", tmp_path / "merged")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.allclose(ours(input_ids=ids).logits, adapted(input_ids=ids).logits, atol=2e-5)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_shards_hold_what_one_file_holds(tiny_model: Path, tiny_data: Path, tmp_path: Path, dtype: str) -> None:
    source = source_on(tiny_model, tiny_data, tmp_path)
    random_adapter(source, tmp_path / "adapter")
    merged_model(source, tmp_path / "adapter", tmp_path / "whole", dtype=dtype)
    merged_model(source, tmp_path / "adapter", tmp_path / "parts", dtype=dtype, shard_bytes=60_000)
    files = sorted((tmp_path / "parts").glob("model-*.safetensors"))
    assert len(files) > 2
    assert all(file.stat().st_size < 70_000 for file in files)
    parts = {name: one for file in files for name, one in load_file(file).items()}
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    assert not (tmp_path / "parts" / "model.safetensors").exists()


def test_one_tensor_at_a_time_is_read(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    """The files are mapped, and a tensor is given up before the next one is asked for."""
    import gc
    import weakref

    source = source_on(tiny_model, tiny_data, tmp_path)
    random_adapter(source, tmp_path / "adapter")
    alive: list[Any] = []
    for _name, tensor in Merge(source, tmp_path / "adapter", "bf16").tensors():
        gc.collect()
        assert sum(one() is not None for one in alive) <= 1
        alive.append(weakref.ref(tensor))


def test_numbers_that_fp16_cannot_hold_are_refused(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    source = source_on(tiny_model, tiny_data, tmp_path)
    random_adapter(source, tmp_path / "adapter")
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    name = next(name for name in weights if "lora_B" in name)
    weights[name] = weights[name] + 1e6
    save_file(weights, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(Refusal, match="numbers that fp16 cannot"):
        list(Merge(source, tmp_path / "adapter", "fp16").tensors())


def test_a_part_that_is_not_lora_is_refused(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    source = source_on(tiny_model, tiny_data, tmp_path)
    random_adapter(source, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file(load_file(path) | {"base_model.model.model.embed_tokens.lora_embedding_A": torch.zeros(4, 4)}, path)
    with pytest.raises(Refusal, match="cannot merge"):
        Merge(source, tmp_path / "adapter", None)
