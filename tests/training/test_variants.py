"""PiSSA, LoRA+, NEFTune, offloading, patience: that each does what its name says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM

from finetty.backend.runs import Run, history
from finetty.backend.training import offload, resume, train
from finetty.backend.training.arguments import arguments, schedule
from finetty.backend.training.load import load_model
from finetty.backend.training.methods import prepare
from finetty.backend.training.trained import put_back
from finetty.backend.training.trainer import RunTrainer

from .conftest import MakeRun, resolved_recipe

FOUR_STEPS: dict[str, Any] = {"training.max_steps": 4, "output.checkpoint_every": 2}


def losses(run: Run) -> list[float]:
    return [event["loss"] for event in history(run.events_path, ("step",))]


def held_out(run: Run) -> list[float]:
    return [event["loss"] for event in history(run.events_path, ("eval",))]


def test_pissa_leaves_the_model_as_it_was_and_learns_on_the_plain_base(make_run: MakeRun, tiny_model: Path) -> None:
    plain, run = make_run(**FOUR_STEPS), make_run(**FOUR_STEPS, **{"method.pissa": True})
    assert [train(one) for one in (plain, run)] == ["finished", "finished"]
    assert held_out(run)[0] == pytest.approx(held_out(plain)[0], rel=1e-4)
    assert held_out(run)[-1] < held_out(run)[0]
    config = json.loads((run.output / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (8, 16)

    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        exported = PeftModel.from_pretrained(base, run.output).eval()(input_ids=ids).logits
        recipe = resolved_recipe(tiny_model, Path("data.jsonl"), **{"method.pissa": True})
        trained = prepare(load_model(tiny_model, recipe, on_cpu=True), recipe, run.path).eval()
        put_back(trained, run.checkpoints / "step-000004")
        assert torch.allclose(exported, trained(input_ids=ids).logits, atol=1e-4)
        untrained = AutoModelForCausalLM.from_pretrained(tiny_model).eval()(input_ids=ids).logits
        assert not torch.allclose(exported, untrained, atol=1e-2)


def test_pissa_is_resumed_from_the_same_beginning(make_run: MakeRun) -> None:
    """Whatever a decomposition would give a second time: what was taken out of the base is read from the run."""
    options = {**FOUR_STEPS, "method.pissa": True}
    whole, cut = make_run(**options), make_run(**options)
    assert train(whole) == train(cut) == "finished"
    for path in (cut.checkpoints / "step-000004", cut.output):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    torch.manual_seed(99)
    assert resume(cut) == "finished"
    assert losses(cut)[-2:] == pytest.approx(losses(whole)[-2:], rel=1e-5)


def test_lora_plus_moves_the_second_matrix_faster(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: dict[str, float] = {}
    own = RunTrainer.create_optimizer

    def seen(trainer: Any, model: Any = None) -> Any:
        optimizer = own(trainer, model)
        names = {id(one): name for name, one in trainer.model.named_parameters()}
        rates.update({names[id(one)]: group["lr"] for group in optimizer.param_groups for one in group["params"]})
        return optimizer

    monkeypatch.setattr(RunTrainer, "create_optimizer", seen)
    run = make_run(**FOUR_STEPS, **{"method.lora_plus": 16.0, "training.learning_rate": 0.001})
    assert train(run) == "finished"
    assert {rate for name, rate in rates.items() if ".lora_B." in name} == {0.016}
    assert {rate for name, rate in rates.items() if ".lora_A." in name} == {0.001}
    assert held_out(run)[-1] < held_out(run)[0]


def test_neftune_disturbs_training_and_no_evaluation(make_run: MakeRun) -> None:
    plain, noisy = make_run(**FOUR_STEPS), make_run(**FOUR_STEPS, **{"training.neftune": 5.0})
    assert train(plain) == train(noisy) == "finished"
    assert held_out(noisy)[0] == held_out(plain)[0]
    assert losses(noisy)[0] != losses(plain)[0]
    assert all(math.isfinite(loss) for loss in losses(noisy))


def test_neftune_reaches_the_library(tmp_path: Path) -> None:
    recipe = resolved_recipe(Path("model"), Path("data.jsonl"), **{"training.neftune": 5.0})
    assert arguments(recipe, tmp_path, schedule(recipe, 100), on_cpu=True)["neftune_noise_alpha"] == 5.0


def test_offloading_takes_activations_and_leaves_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a card it is `is_cuda` that decides; here everything is wanted."""
    monkeypatch.setattr(offload, "SMALLEST", 1)
    copied: list[torch.Size] = []

    def wanted(tensor: torch.Tensor) -> bool:
        copied.append(tensor.shape)
        return True

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16, bias=False), nn.GELU(), nn.Linear(16, 4, bias=False))
    batch = torch.randn(5, 8)
    model(batch).pow(2).sum().backward()
    plain = [one.grad.clone() for one in model.parameters()]
    model.zero_grad()
    with offload.offloading(model.parameters(), wanted=wanted):
        loss = model(batch).pow(2).sum()
    loss.backward()
    assert all(torch.equal(one.grad, other) for one, other in zip(model.parameters(), plain, strict=True))
    assert torch.Size([5, 16]) in copied


def test_patience_ends_a_run_with_its_best(make_run: MakeRun) -> None:
    """At such a rate the held-out loss rises after its first fall."""
    options = {"training.learning_rate": 0.3, "training.epochs": 20.0, "output.checkpoint_every": 1, "output.keep": 1}
    run = make_run(**options, **{"training.patience": 2, "training.warmup": 0})
    assert train(run) == "finished"
    measured = held_out(run)
    best = measured.index(min(measured))
    assert len(measured) == best + 3 < 160
    notes = [note["code"] for note in history(run.events_path, ("note",))]
    assert "training.no_patience" in notes
    assert ("training.took_best" in notes) == (best > 0)
    assert resume(run) == "finished"
    assert held_out(run) == measured
