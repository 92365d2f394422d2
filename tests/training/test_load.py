"""What transformers is told when it opens a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers.modeling_flash_attention_utils import FLASH_ATTN_KERNEL_FALLBACK
from transformers.utils.import_utils import KERNELS_MAX_VERSION, KERNELS_MIN_VERSION

from finetty.backend.machine import accelerators
from finetty.backend.recipe import Recipe
from finetty.backend.training.load import load_model, loading_arguments


@pytest.mark.parametrize(
    ("installed", "kernel", "told"),
    [
        ((), "fa2", "flash_attention_2"),
        (("kernels",), "fa2", "kernels-community/flash-attn2"),
        (("flash_attn",), "fa2", "flash_attention_2"),
        (("flash_attn", "kernels"), "fa2", "flash_attention_2"),
        (("kernels", "flash_attn_interface"), "fa3", "flash_attention_3"),
        (("kernels",), "sdpa", "sdpa"),
    ],
)
def test_flash_attention_comes_from_the_hub_where_none_is_compiled(
    installed: tuple[str, ...], kernel: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {accelerators.PACKAGES[name]: "0.16.3" for name in installed}
    monkeypatch.setattr(accelerators, "installed_version", here.get)
    monkeypatch.setattr(accelerators, "_remembered", dict)
    recipe = Recipe.model_validate(
        {"finetty": 1, "precision": {"compute": "bf16"}, "acceleration": {"attention": kernel}}
    )
    assert loading_arguments(recipe, on_cpu=False)["attn_implementation"] == told


def test_the_name_and_the_versions_are_those_of_the_installed_transformers() -> None:
    assert FLASH_ATTN_KERNEL_FALLBACK["flash_attention_2"] == accelerators.HUB_FLASH_ATTENTION
    assert (KERNELS_MIN_VERSION, KERNELS_MAX_VERSION) == ("0.16.0", "0.17.0")
    assert accelerators.SERIES["kernels"] == "0.16."


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantized_model_does_not_keep_its_file_in_memory(
    quantization: str, tiny_model: Path, tmp_path: Path
) -> None:
    """The format of what is not quantized is the file's, so that nothing else makes a copy of it."""
    recipe = Recipe.model_validate(
        {
            "finetty": 1,
            "precision": {"compute": "fp32", "quantization": quantization, "double_quantization": True},
            "acceleration": {"attention": "sdpa"},
        }
    )
    mine = shutil.copytree(tiny_model, tmp_path / "model")  # models of other tests may be in this process too
    model = load_model(mine, recipe, on_cpu=True)
    assert model.get_input_embeddings().weight.is_floating_point()
    assert str(mine) not in Path("/proc/self/maps").read_text()
