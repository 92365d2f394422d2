"""What cannot work or is unwise is said before the start, at the option where it is mended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.planning.conftest import EVERYTHING, GIB, LLAMA_8B, NOTHING, Planner, card, data, found, machine

from finetty.backend.machine.accelerators import PACKAGES
from finetty.backend.machine.facts import Accelerator
from finetty.backend.machine.gpus import UPDATED
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.folder import model_facts


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


@pytest.mark.parametrize(
    ("kernel", "refused", "taken"),
    [("fa2", [(7, 5)], [(8, 0), (9, 0), (12, 0)]), ("fa3", [(7, 5), (8, 9), (10, 0), (12, 0)], [(9, 0)])],
)
def test_flash_attention_by_capability_as_a_number(
    planned: Planner, kernel: str, refused: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> None:
    setting = f"acceleration.attention={kernel}"
    libraries = {name: Accelerator(name, "1.0") for name in PACKAGES}
    for capability in refused:
        on = machine(card(24, capability=capability), libraries=libraries)
        said = found(planned(setting, on=on), "acceleration.attention").message.text
        assert "{}.{}".format(*capability) in said
    for capability in taken:
        assert planned(setting, on=machine(card(24, capability=capability), libraries=libraries)).errors == ()


def test_flash_attention_ready_made_from_the_hub(planned: Planner) -> None:
    on = machine(card(24), libraries={**NOTHING, "kernels": Accelerator("kernels", "0.16.3")})
    plan = planned(on=on)
    choice = next(one for one in plan.choices if one.option == "acceleration.attention")
    assert (choice.value, choice.reason.id) == ("fa2", "plan.attention.flash_from_hub")
    assert plan.recipe.dataset.packing is True and planned("acceleration.attention=fa2", on=on).errors == ()


@pytest.mark.parametrize("kernel", ["fa2", "fa3"])
def test_heads_too_large_for_flash_attention(planned: Planner, small: ModelFacts, kernel: str) -> None:
    """Gemma 4's layers over the whole text have heads of 512, its others of 256."""
    on, setting = machine(card(80, capability=(9, 0)), libraries=EVERYTHING), f"acceleration.attention={kernel}"
    wide = replace(small, head_size=256, largest_head=512)
    assert found(planned(setting, on=on, model=wide), "acceleration.attention").message.values["size"] == 512
    auto = planned(on=on, model=wide)
    choice = next(one for one in auto.choices if one.option == "acceleration.attention")
    assert (choice.value, choice.reason.id) == ("sdpa", "plan.attention.sdpa_large_heads")
    assert planned(on=on, model=replace(small, head_size=256)).recipe.acceleration.attention == "fa2"


def test_packed_conversations_without_flash_attention(planned: Planner) -> None:
    packed = "dataset.packing=true"
    assert "masked" in found(planned(packed), "dataset.packing", "warning").message.text
    on = machine(card(24), libraries=EVERYTHING)
    texts = data(400, texts=data(400).lengths)
    for plan in (planned(packed, on=on), planned(packed, rows=texts), planned()):
        assert not [one for one in plan.findings if one.option == "dataset.packing"]


def test_facts_are_hardly_learned_by_an_adapter(planned: Planner) -> None:
    texts = data(400, texts=data(400).lengths)
    note = found(planned(rows=texts), "dataset.train", "note")
    assert "hardly any facts" in note.message.text and note.fix is not None
    assert not [one for one in planned("method.name=full", rows=texts).findings if one.level == "note"]


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
    assert own in found(planned(model=quantized, on=machine(card(24))), "model.path").message.text.lower()
    on = machine(card(24), libraries=EVERYTHING)
    assert found(planned("precision.quantization=nf4", model=quantized, on=on), "precision.quantization")


def test_an_adapter_on_packed_weights(planned: Planner, small: ModelFacts) -> None:
    packed = replace(small, quantization="gptq")
    bare = found(planned(model=packed, on=machine(card(24))), "model.path")
    assert bare.fix is not None and bare.fix.text.endswith("gptqmodel optimum")
    libraries = {**NOTHING, "gptqmodel": Accelerator("gptqmodel", "7.7.0")}
    ready = machine(card(24), libraries=libraries, extras=("optimum",))
    plan = planned(model=packed, on=ready)
    assert plan.errors == () and plan.recipe.precision.quantization == "none"
    whole = planned(on=ready)
    assert plan.memory.live is not None and whole.memory.live is not None
    assert plan.memory.live.components["weights"] < 0.5 * whole.memory.live.components["weights"]
    assert found(planned("method.name=full", model=packed, on=ready), "method.name").level == "error"
    assert found(planned("method.dora=true", model=packed, on=ready), "method.dora").level == "error"


@pytest.mark.parametrize("log", ["tensorboard", "wandb", "trackio"])
def test_a_log_that_is_not_installed(planned: Planner, log: str) -> None:
    finding = found(planned(f"output.logs=[{log}]"), "output.logs")
    assert finding.fix is not None and finding.fix.text == f"Run: pip install {log}"
    assert planned(f"output.logs=[{log}]", on=replace(machine(), extras=(log,))).errors == ()


def test_quantizing_without_bitsandbytes_names_the_command(planned: Planner) -> None:
    finding = found(planned("precision.quantization=nf4", on=machine(card(24))), "precision.quantization")
    assert finding.fix is not None and "pip install bitsandbytes" in finding.fix.text


def test_the_experts_of_a_mixture_stay_in_sixteen_bits(planned: Planner, tmp_path: Path) -> None:
    """Qwen3-30B-A3B: of 30.5 billion parameters the 29 in experts take 2 bytes each under nf4 too."""
    experts = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "head_dim": 128}
    sizes = {"hidden_size": 2048, "num_hidden_layers": 48, "num_key_value_heads": 4, "vocab_size": 151_936}
    config = {**LLAMA_8B, **sizes, **experts, "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    mixture = replace(model_facts(str(tmp_path)), has_weights=True, has_tokenizer_json=True)
    on = machine(card(80), libraries=EVERYTHING)
    plan = planned("precision.quantization=nf4", model=mixture, on=on)
    assert found(plan, "precision.quantization", "note").message.id == "plan.quantization.experts_stay"
    in_experts, in_attention = 48 * 128 * 3 * 2048 * 768, 48 * 2 * (32 + 4) * 128 * 2048
    assert sum(module.parameters for module in mixture.linear_modules) == in_attention
    assert plan.memory.live is not None and plan.total_parameters is not None
    elsewhere = 2 * (plan.total_parameters - in_experts - in_attention)
    four_bits = plan.memory.live.components["weights"] - 2 * in_experts - elsewhere
    assert 0.5 < four_bits / in_attention < 0.53
    whole = planned("precision.quantization=none", model=mixture, on=on)
    assert not [one for one in whole.findings if one.option == "precision.quantization"]


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


def test_answers_that_no_cut_can_keep_are_counted_apart(planned: Planner) -> None:
    answers = [40] * 397 + [170] * 3
    findings = planned("dataset.cutoff=160", rows=data(answers=answers)).findings
    said = [one for one in findings if one.message.id == "plan.data.left_out"]
    assert [one.message.values["count"] for one in said] == [3] and said[0].fix is not None
    assert not [one for one in planned(rows=data(answers=answers)).findings if one.option == "dataset.cutoff"]


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
    broken = machine(gpu_reason=UPDATED())
    assert "restart" in found(planned(on=broken), "hardware.devices", "warning").message.text


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        (("method.pissa=true", "precision.quantization=nf4"), "method.pissa"),
        (("method.pissa=true", "method.dora=true"), "method.pissa"),
        (("method.pissa=true", "acceleration.unsloth=true"), "method.pissa"),
        (("method.pissa=true", "method.name=full"), "method.pissa"),
        (("method.lora_plus=16", "method.name=full"), "method.lora_plus"),
        (("training.activation_offloading=true", "hardware.devices=cpu"), "training.activation_offloading"),
        (("training.activation_offloading=true", "acceleration.unsloth=true"), "training.activation_offloading"),
        (("training.patience=2", "dataset.validation=0"), "training.patience"),
    ],
)
def test_variants_that_do_not_go_together(planned: Planner, settings: tuple[str, ...], option: str) -> None:
    finding = found(planned(*settings, on=machine(card(24), libraries=EVERYTHING)), option)
    assert finding.level == "error" and finding.fix is not None


def test_variants_that_do(planned: Planner) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    settings = ("method.pissa=true", "method.lora_plus=16", "training.activation_offloading=true")
    assert planned(*settings, "training.patience=2", "precision.quantization=none", on=on).errors == ()


def test_two_losses_are_one_too_many(planned: Planner) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    assert planned(on=on).recipe.acceleration.loss == "chunked"
    assert planned("acceleration.liger=true", on=on).recipe.acceleration.loss == "plain"
    both = planned("acceleration.liger=true", "acceleration.loss=chunked", on=on)
    assert found(both, "acceleration.loss").level == "error"
    fallen_back = planned("acceleration.liger=true", "acceleration.fallback=allow", on=machine())
    assert fallen_back.recipe.acceleration.loss == "chunked"


def test_accelerators_that_have_nothing_for_a_family_say_so(
    planned: Planner, small: ModelFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetty.backend.planning.arithmetic.liger_types", lambda: frozenset(("llama",)))
    on, other = machine(card(), libraries=EVERYTHING), replace(small, model_type="olmo")
    settings = "acceleration.liger=true", "acceleration.unsloth=true"
    liger = found(planned(settings[0], on=on, model=other), "acceleration.liger", "warning")
    assert "nothing for models of type olmo" in liger.message.text
    assert "no kernels" in found(planned(settings[1], on=on, model=other), "acceleration.unsloth", "note").message.text
    both = planned(*settings, on=on).findings
    assert not [one for one in both if one.option in ("acceleration.liger", "acceleration.unsloth")]


def test_a_process_for_each_card(planned: Planner) -> None:
    """The fullest card decides what fits; the batch is shared."""
    on = machine(card(24), card(8, index=1), libraries=EVERYTHING)
    plan = planned("hardware.devices=[0, 1]", "training.batch=16", on=on)
    assert plan.errors == ()
    assert len(plan.recipe.hardware.devices) == 2  # type: ignore[arg-type]
    assert plan.memory.device is not None and plan.memory.device.total == 8 * GIB
    assert isinstance(plan.recipe.training.micro_batch, int)
    assert 16 % (2 * plan.recipe.training.micro_batch) == 0
    uneven = planned("hardware.devices=[0, 1]", "training.batch=3", "training.micro_batch=1", on=on)
    assert "2 processes" in found(uneven, "training.batch").message.text
    assert found(planned("hardware.devices=[0, 5]", on=on), "hardware.devices")


def test_several_processes_do_not_shrink(planned: Planner) -> None:
    on = machine(card(24), card(24, index=1), libraries=EVERYTHING)
    two, shrink = "hardware.devices=[0, 1]", "training.on_out_of_memory=shrink"
    warning = found(planned(two, shrink, on=on), "training.on_out_of_memory", "warning")
    assert warning.message.id == "plan.batch.no_shrinking"
    for settings in ([two], [shrink]):
        assert not [one for one in planned(*settings, on=on).findings if one.option == "training.on_out_of_memory"]


def test_torchrun_takes_as_many_cards_as_it_has_processes(planned: Planner) -> None:
    on = replace(machine(card(24), card(24, index=1), libraries=EVERYTHING), processes=2)
    assert len(planned(on=on).recipe.hardware.devices) == 2  # type: ignore[arg-type]
    assert replace(machine(), processes=2) and planned(on=replace(machine(), processes=2)).errors == ()
