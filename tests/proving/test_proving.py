"""finetty doctor --prove: which ways a machine has, what becomes of each, and the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetty.backend.machine.facts import Accelerator, GpuFacts, MachineFacts
from finetty.backend.messages import Message
from finetty.backend.proving import TrainingPath, prove, training_paths, write_report
from finetty.backend.recipe import load_recipe
from finetty.tui.plain import proof_lines

HERE = MachineFacts("here", "A processor", 8, 1 << 35, 1 << 34, 1 << 40, cpu_fast_bf16=False)
CARD = GpuFacts(1, "GPU-1234", "A card", 24 << 30, 23 << 30, (8, 6))


PLAIN = {
    *("lora", "lora, dora", "lora, pissa", "lora, checkpointing"),
    *("full", "full, adafactor", "freeze", "texts, packing"),
}
IN_BF16 = {"lora, bf16", "full, bf16"}
PACKED = {"lora, nf4", "lora, fp4", "lora, int8", "full, adamw_8bit"}


def named(paths: list[TrainingPath], devices: object) -> set[str]:
    return {path.name for path in paths if path.options["hardware.devices"] == devices}


def with_libraries(*names: str, gpus: tuple[GpuFacts, ...] = ()) -> MachineFacts:
    return replace(HERE, gpus=gpus, accelerators={name: Accelerator(name, "1.0") for name in names})


def test_a_machine_without_libraries_has_what_needs_none() -> None:
    paths = training_paths(HERE)
    assert {path.name for path in paths} == PLAIN == named(paths, "cpu")
    assert named(training_paths(replace(HERE, cpu_fast_bf16=True)), "cpu") == PLAIN | IN_BF16
    assert [path.name for path in paths if path.texts] == ["texts, packing"]


def test_every_library_and_every_card_adds_ways() -> None:
    paths = training_paths(with_libraries("bitsandbytes", "unsloth", "flash_attn", "liger_kernel", gpus=(CARD,)))
    unsloth = {"lora, unsloth", "lora, nf4, unsloth"}
    only_here = {
        *("lora, fp16", "lora, fp32", "lora, offloading", "lora, liger"),
        *("lora, fa2", "lora, fa2, packing", "lora, nf4, fa2"),
    }
    assert named(paths, "GPU-1234") == PLAIN | IN_BF16 | PACKED | unsloth | only_here
    assert named(paths, "cpu") == PLAIN | PACKED | unsloth
    assert {path.device for path in paths} == {"A card", "A processor"}
    from_hub = named(training_paths(with_libraries("kernels", gpus=(CARD,))), "GPU-1234")
    assert "lora, fa2" in from_hub and "lora, nf4, fa2" not in from_hub


def test_cards_that_train_together_are_tried_together() -> None:
    other = replace(CARD, index=2, uuid="GPU-5678")
    paths = training_paths(with_libraries(gpus=(CARD, other)))
    assert named(paths, ["GPU-1234", "GPU-5678"]) == {"lora, ddp", "full, fsdp"}
    assert paths[-1].device == "2 × A card" and paths[-1].options["hardware.fsdp"] is True


def test_models_that_are_quantized_already_are_tried_where_their_library_is() -> None:
    models = {"gptq": "/models/small", "awq": "/models/other"}
    assert "lora, gptq" not in {path.name for path in training_paths(HERE, models)}
    paths = {path.name: path for path in training_paths(with_libraries("gptqmodel"), models)}
    assert paths["lora, gptq"].options["model.path"] == "/models/small" and "lora, awq" in paths


@pytest.mark.trains
def test_what_works_and_what_does_not_are_both_reported(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ways = [
        TrainingPath("lora", "A processor", {"hardware.devices": "cpu", "method.name": "lora"}),
        TrainingPath("full, nf4", "A processor", {"method.name": "full", "precision.quantization": "nf4"}),
        TrainingPath("texts, packing", "A processor", {"hardware.devices": "cpu", "dataset.packing": True}, texts=True),
    ]
    said: list[Message] = []
    report = prove(said.append, recipe=load_recipe(tiny_recipe), choose=lambda _machine: ways)
    works, refused, texts = report["paths"]
    assert works["worked"] and works["steps"] == 20 and works["loss"][1] < works["loss"][0]
    assert works["measured"]["process"] > 100 << 20 and works["measured"]["reserved"] is None
    assert works["predicted"]["process"] > 0 and works["tokens_per_second"] > 0
    assert not refused["worked"] and "works only with LoRA" in refused["reason"]
    assert texts["worked"] and texts["steps"] == 20
    assert [one.values["number"] for one in said] == [1, 2, 3]
    path = write_report(report)
    assert json.loads(path.read_text()) == report and path.parent == tmp_path / "state" / "finetty" / "proven"
    lines = list(proof_lines(report, path))
    assert lines[0].startswith("lora · A processor: works") and "did not work" in lines[1] and str(path) in lines[3]
