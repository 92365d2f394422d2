"""What cannot work or is unwise is said before the start, at the option where it is mended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.planning.conftest import EVERYTHING, GIB, Planner, card, data, found, machine

from finetty.backend.machine.facts import Accelerator
from finetty.backend.models.facts import ModelFacts


def test_a_good_plan_has_no_finding(planned: Planner) -> None:
    assert planned().findings == ()


def test_no_model_and_no_data(planned: Planner) -> None:
    plan = planned(model=None, rows=None)
    assert "has not been read" in found(plan, "model.path").message.text
    assert found(plan, "dataset.train")


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        (("precision.quantization=nf4", "method.name=full"), "precision.quantization"),
        (("acceleration.attention=fa2",), "acceleration.attention"),
        (("acceleration.liger=true",), "acceleration.liger"),
        (("acceleration.unsloth=true",), "acceleration.unsloth"),
        (("dataset.cutoff=9000",), "dataset.cutoff"),
        (("dataset.validation=400",), "dataset.validation"),
        (("hardware.devices=3",), "hardware.devices"),
        (("hardware.devices=[0, 1]",), "hardware.devices"),
        (("precision.compute=fp16",), "precision.compute"),
        (("method.targets=[q_porj]",), "method.targets"),
        (("method.name=freeze", "method.layers=31"), "method.layers"),
        (("method.name=freeze", "method.layers=0"), "method.layers"),
        (("training.micro_batch=8", "training.batch=4"), "training.micro_batch"),
    ],
)
def test_impossible_on_a_processor(planned: Planner, settings: tuple[str, ...], option: str) -> None:
    bits = {"bitsandbytes": EVERYTHING["bitsandbytes"]}
    finding = found(planned(*settings, on=machine(libraries=bits)), option)
    assert finding.fix is not None and finding.fix.text


@pytest.mark.parametrize("kernel", ["fa2", "fa3"])
def test_flash_attention_by_capability_as_a_number(planned: Planner, kernel: str) -> None:
    old, new = card(24, capability=(7, 5)), card(24, capability=(12, 0))
    setting = f"acceleration.attention={kernel}"
    libraries = {**EVERYTHING, "flash_attn_interface": Accelerator("flash_attn_interface", "3.0")}
    assert "7.5" in found(planned(setting, on=machine(old, libraries=libraries)), "acceleration.attention").message.text
    assert planned(setting, on=machine(new, libraries=libraries)).errors == ()


def test_bf16_by_capability_as_a_number(planned: Planner) -> None:
    setting = "precision.compute=bf16"
    assert "7.5" in found(planned(setting, on=machine(card(24, capability=(7, 5)))), "precision.compute").message.text
    assert planned(setting, on=machine(card(24, capability=(12, 0)))).errors == ()


def test_slow_bf16_is_a_warning_and_gemma_in_fp16_too(planned: Planner, small: ModelFacts) -> None:
    assert found(planned("precision.compute=bf16"), "precision.compute", "warning")
    assert planned("precision.compute=bf16", on=machine(cpu_fast_bf16=True)).findings == ()
    gemma = replace(small, model_type="gemma3")
    assert found(planned(model=gemma, on=machine(card(24, capability=(7, 5)))), "precision.compute", "warning")


def test_fallback_goes_on_without_and_says_so(planned: Planner) -> None:
    allow = "acceleration.fallback=allow"
    plan = planned(allow, "acceleration.attention=fa2", "acceleration.liger=true", "acceleration.unsloth=true")
    assert plan.errors == ()
    assert (plan.recipe.acceleration.attention, plan.recipe.acceleration.liger) == ("sdpa", False)
    assert plan.recipe.acceleration.unsloth is False
    assert {one.option for one in plan.findings if one.level == "warning"} == {
        "acceleration.attention",
        "acceleration.liger",
        "acceleration.unsloth",
    }


@pytest.mark.parametrize("own", ["gptq", "awq", "fp8", "bitsandbytes"])
def test_checkpoints_that_are_quantized_already(planned: Planner, small: ModelFacts, own: str) -> None:
    quantized = replace(small, quantization=own)
    assert own in found(planned(model=quantized, on=machine(card(24))), "model.path").message.text
    on = machine(card(24), libraries=EVERYTHING)
    assert found(planned("precision.quantization=nf4", model=quantized, on=on), "precision.quantization")


def test_quantizing_without_bitsandbytes_names_the_command(planned: Planner) -> None:
    finding = found(planned("precision.quantization=nf4", on=machine(card(24))), "precision.quantization")
    assert finding.fix is not None and "pip install bitsandbytes" in finding.fix.text


def test_dora_on_eight_bits(planned: Planner) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    assert found(planned("precision.quantization=int8", "method.dora=true", on=on), "method.dora")
    assert planned("precision.quantization=nf4", "method.dora=true", on=on).errors == ()


def test_unsloth_trains_lora_only(planned: Planner) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    assert planned("acceleration.unsloth=true", on=on, model=None).recipe.acceleration.unsloth is True
    finding = found(planned("acceleration.unsloth=true", "method.name=full", on=on), "acceleration.unsloth")
    assert "LoRA" in finding.message.text


def test_a_torch_without_cuda_cannot_use_the_card(planned: Planner) -> None:
    blind = machine(card(24), torch_cuda=None)
    assert "without CUDA" in found(planned(on=blind), "hardware.devices").message.text
    assert planned("hardware.devices=cpu", on=blind).errors == ()
    assert planned(on=replace(blind, imagined=True)).errors == ()


def test_unwise_data_is_a_warning(planned: Planner) -> None:
    assert "few" in found(planned(rows=data(30)), "dataset.train", "warning").message.text
    same = data(400, identical_answers=380)
    assert "95%" in found(planned(rows=same), "dataset.train", "warning").message.text


def test_rows_that_are_cut_are_counted(planned: Planner) -> None:
    finding = found(planned("dataset.cutoff=160"), "dataset.cutoff", "warning")
    assert finding.message.values["count"] == sum(length > 160 for length in data().lengths)


def test_a_base_model_with_few_rows_is_noted(planned: Planner, small: ModelFacts) -> None:
    assert found(planned(model=replace(small, tags=("Base",))), "model.path", "note")


def test_a_folder_of_config_alone_can_be_planned_for_and_not_trained(planned: Planner, small: ModelFacts) -> None:
    bare = replace(small, has_weights=False)
    plan = planned(model=bare)
    assert "no weights" in found(plan, "model.path").message.text and plan.memory.live is not None


def test_what_cannot_fit_is_an_error_and_what_may_is_not(planned: Planner, large: ModelFacts) -> None:
    settings = ("method.name=full", "training.micro_batch=1")
    over = planned(*settings, model=large, on=machine(card(24)))
    assert over.memory.verdict == "over" and found(over, "training.micro_batch").fix is not None
    needed = over.memory.live.process if over.memory.live else 0
    near = planned(*settings, "training.optimizer=adamw_fused", model=large, on=machine(card(needed / GIB / 1.1)))
    assert near.memory.verdict == "over" and near.errors == ()
    assert planned(*settings, model=large, on=machine(card(640))).memory.verdict == "fits"


def test_a_model_of_unknown_shape_has_no_number(planned: Planner, small: ModelFacts) -> None:
    unknown = replace(small, parameters=None, trainable_text_parameters=None, linear_modules=())
    plan = planned(model=unknown)
    assert plan.memory.verdict == "unknown" and plan.memory.live is None and plan.trainable_parameters is None
    assert plan.errors == ()


def test_a_full_disk_is_an_error(planned: Planner) -> None:
    assert found(planned(on=machine(disk_free=50 << 20)), "output.keep")


def test_an_uneven_batch_says_what_it_becomes(planned: Planner) -> None:
    finding = found(planned("training.batch=10", "training.micro_batch=4"), "training.batch", "warning")
    assert finding.message.values["real"] == 8


def test_a_model_that_only_its_own_code_can_open(planned: Planner, small: ModelFacts) -> None:
    odd = replace(small, model_type="something_new", needs_own_code=True)
    assert "something_new" in found(planned(model=odd), "model.path").message.text
    with_code = replace(odd, brings_code=True)
    fix = found(planned(model=with_code), "model.path").fix
    assert fix is not None and "trust_remote_code" in fix.text
    trusted = planned("model.trust_remote_code=true", model=with_code)
    assert trusted.errors == () and found(trusted, "model.trust_remote_code", "warning")


def test_rows_that_cannot_be_used_are_counted(planned: Planner) -> None:
    assert found(planned(rows=data(400, refused=7)), "dataset.train", "warning").message.values == {"count": 7}


def test_a_card_behind_a_broken_driver_is_not_passed_over_in_silence(planned: Planner) -> None:
    broken = machine(gpu_reason="the NVIDIA driver was updated and the old one still runs: restart the machine")
    assert "restart" in found(planned(on=broken), "hardware.devices", "warning").message.text
