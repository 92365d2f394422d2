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


def test_a_machine_without_libraries_has_three_ways() -> None:
    assert [path.name for path in training_paths(HERE)] == ["lora", "full", "freeze"]
    assert all(path.options["hardware.devices"] == "cpu" for path in training_paths(HERE))


def test_every_library_and_every_card_adds_ways() -> None:
    names = ("bitsandbytes", "unsloth", "flash_attn", "liger_kernel")
    machine = replace(HERE, gpus=(CARD,), accelerators={name: Accelerator(name, "1.0") for name in names})
    paths = training_paths(machine)
    from_hub = replace(machine, accelerators={"kernels": Accelerator("kernels", "0.16.3")})
    assert "lora, fa2" in {path.name for path in training_paths(from_hub)}
    on_card = {path.name: path for path in paths if path.options["hardware.devices"] == "GPU-1234"}
    assert set(on_card) == {
        *("lora", "lora, nf4", "lora, int8", "full", "freeze"),
        *("lora, unsloth", "lora, fa2", "lora, liger"),
    }
    assert {path.device for path in on_card.values()} == {"A card"}
    assert {path.name for path in paths if path.options["hardware.devices"] == "cpu"} == {
        *("lora", "lora, nf4", "lora, int8", "full", "freeze"),
        "lora, unsloth",
    }


@pytest.mark.trains
def test_what_works_and_what_does_not_are_both_reported(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ways = [
        TrainingPath("lora", "A processor", {"hardware.devices": "cpu", "method.name": "lora"}),
        TrainingPath("full, nf4", "A processor", {"method.name": "full", "precision.quantization": "nf4"}),
    ]
    said: list[Message] = []
    report = prove(said.append, recipe=load_recipe(tiny_recipe), choose=lambda _machine: ways)
    works, refused = report["paths"]
    assert works["worked"] and works["steps"] == 20 and works["loss"][1] < works["loss"][0]
    assert works["measured"]["process"] > 100 << 20 and works["measured"]["reserved"] is None
    assert works["predicted"]["process"] > 0 and works["tokens_per_second"] > 0
    assert not refused["worked"] and "works only with LoRA" in refused["reason"]
    assert [one.values["number"] for one in said] == [1, 2]
    path = write_report(report)
    assert json.loads(path.read_text()) == report and path.parent == tmp_path / "state" / "finetty" / "proven"
    lines = list(proof_lines(report, path))
    assert lines[0].startswith("lora · A processor: works") and "did not work" in lines[1] and str(path) in lines[2]
