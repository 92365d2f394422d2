"""A run from start to end on the tiny model, in this process."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetty.backend.conversation import Row, Turn, load_encoder
from finetty.backend.dataset import read_rows
from finetty.backend.machine.session import threats
from finetty.backend.messages import Refusal
from finetty.backend.planning import Memory
from finetty.backend.planning.plan import Device, MemoryPrediction
from finetty.backend.runs import EventLog, Run, history
from finetty.backend.runs.remains import missing
from finetty.backend.training import checkpoints, evaluation, out_of_memory, preflight, resume, train
from finetty.backend.training.trained import trained_parameters

from .conftest import MakeRun, resolved_recipe

pytestmark = pytest.mark.trains

FIVE_STEPS: dict[str, Any] = {"training.max_steps": 5, "output.checkpoint_every": 5}


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return history(run.events_path, kinds=(kind,))


def alerts(run: Run) -> list[str]:
    return [event["message"] for event in events(run, "alert")]


def losses(run: Run) -> list[float]:
    return [event["loss"] for event in events(run, "step")]


def held_out(run: Run) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events(run, "eval")}


Parameters = Callable[[], tuple[set[str], set[str]]]


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> Parameters:
    """Once a run is over: names of its trained parameters, and of those that differ from before step 1 in any bit."""
    before: dict[str, torch.Tensor] = {}
    models: list[Any] = []
    rehearse = preflight.rehearse

    def remembered(trainer: Any) -> None:
        models.append(trainer.model)
        before.update({name: one.detach().clone() for name, one in trainer.model.named_parameters()})
        rehearse(trainer)

    def compared() -> tuple[set[str], set[str]]:
        [model] = models
        moved = {name for name, one in model.named_parameters() if not torch.equal(one.detach(), before[name])}
        return trained_parameters(model).keys(), moved

    monkeypatch.setattr(preflight, "rehearse", remembered)
    return compared


def test_a_run_tells_its_course(make_run: MakeRun) -> None:
    run = make_run(**{"output.samples": ["What is the colour of the sea?"], "output.checkpoint_every": 6})
    assert train(run) == "finished", alerts(run)

    assert [one["state"] for one in events(run, "state")] == ["loading", "preflight", "running", "saving", "finished"]
    steps = events(run, "step")
    assert [one["step"] for one in steps] == list(range(1, 17))
    assert all(one["loss"] > 0 and one["grad_norm"] > 0 and one["tokens_per_second"] > 0 for one in steps)
    assert all(one["elapsed"] < after["elapsed"] for one, after in itertools.pairwise(steps))
    assert [one["learning_rate"] for one in steps[:3]] == [0.0, 0.005, 0.01]
    assert list(held_out(run)) == [0, 6, 12, 16]
    assert held_out(run)[16] < held_out(run)[0]
    assert [one["path"] for one in events(run, "checkpoint")] == [f"checkpoints/step-{n:06d}" for n in (6, 12, 16)]
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-000012", "step-000016"]
    assert {0, 6, 16} <= {one["step"] for one in events(run, "sample")} <= {0, 6, 12, 16}
    status = run.status()
    assert (status.state, status.step, status.total) == ("finished", 16, 16)
    assert status.last_checkpoint == "checkpoints/step-000016"
    [session], [saved] = events(run, "session"), events(run, "output")
    assert session["threats"] == [found.to_json() for found in threats()]
    assert saved["step"] == 16 and saved["files"]["adapter_model.safetensors"] > 0
    assert missing(run, saved["files"]) is None


def test_tokens_are_those_of_the_rows(make_run: MakeRun, tiny_model: Path) -> None:
    run = make_run(**{"dataset.validation": 0, "training.epochs": 1.0})
    assert train(run) == "finished", alerts(run)
    recipe = run.recipe()
    encoder = load_encoder(tiny_model, recipe, cutoff=128)
    tokens = sum(len(one.ids) for row in read_rows(recipe).rows for one in encoder.encode(row))
    assert events(run, "step")[-1]["tokens"] == tokens
    assert events(run, "eval") == []


def test_the_same_seed_gives_the_same_run_and_another_seed_another(make_run: MakeRun) -> None:
    runs = [make_run(**FIVE_STEPS, **{"training.seed": seed, "method.dropout": 0.1}) for seed in (1, 1, 2)]
    assert [train(run) for run in runs] == ["finished"] * 3
    first, again, other = (losses(run) for run in runs)
    assert first == again
    assert first != other


def test_samples_are_answered_at_evaluations_while_they_take_little_time(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**FIVE_STEPS, "output.checkpoint_every": 1, "output.samples": ["Why?"]}
    for share, steps in ((1000.0, [0, 1, 2, 3, 4, 5]), (0.0, [0, 1, 5])):
        monkeypatch.setattr(evaluation, "SHARE_OF_SAMPLES", share)
        run = make_run(**options)
        assert train(run) == "finished"
        assert [one["step"] for one in events(run, "sample")] == steps


def test_preflight_evaluation_and_samples_change_nothing(make_run: MakeRun) -> None:
    """The losses are those of a run that does none of these between its steps."""
    quiet = make_run(**FIVE_STEPS, **{"method.dropout": 0.1})
    busy = make_run(
        **{**FIVE_STEPS, "output.checkpoint_every": 1, "method.dropout": 0.1, "output.samples": ["What is a rank?"]}
    )
    assert train(quiet) == train(busy) == "finished"
    assert losses(quiet) == losses(busy)


def test_accumulated_micro_batches_make_the_loss_of_the_whole_batch(make_run: MakeRun) -> None:
    """Each learned token counts the same, in whichever micro-batch it is: order and steps are of one batch of all."""
    options = {"training.max_steps": 3, "dataset.validation": 0, "training.batch": 40}
    whole = make_run(**options, **{"training.micro_batch": 40})
    parts = make_run(**options, **{"training.micro_batch": 4})
    assert train(whole) == train(parts) == "finished"
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"method.rslora": True, "method.dora": True},
        {"method.pissa": True, "method.lora_plus": 16.0},
        {"precision.quantization": "nf4"},
        {"precision.quantization": "nf4", "precision.double_quantization": False},
        {"precision.quantization": "fp4"},
        {"precision.quantization": "int8"},
        {"precision.compute": "bf16"},
        {"precision.compute": "bf16", "method.name": "full"},
        {"precision.compute": "bf16", "method.name": "freeze"},
        {"training.gradient_checkpointing": True},
        {"training.optimizer": "adamw_fused"},
        {"training.optimizer": "adamw_8bit"},
        {"training.optimizer": "adafactor"},
        {"training.scheduler": "linear"},
        {"training.scheduler": "constant"},
        {"acceleration.attention": "eager"},
        {"dataset.packing": True},
        {"dataset.train_on": "all"},
    ],
    ids=lambda options: " ".join(str(value) for value in options.values()),
)
def test_every_way_to_train_learns_and_moves_its_parameters_alone(
    make_run: MakeRun, options: dict[str, Any], parameters: Parameters
) -> None:
    run = make_run(**{**FIVE_STEPS, "training.max_steps": 8, **options})
    assert train(run) == "finished", alerts(run)
    assert all(math.isfinite(loss) for loss in losses(run))
    assert held_out(run)[8] < held_out(run)[0]
    trained, moved = parameters()
    assert trained
    assert moved == trained


@pytest.mark.parametrize("options", [{"training.gradient_checkpointing": True}, {"dataset.packing": True}])
def test_what_only_saves_memory_or_time_leaves_the_losses(make_run: MakeRun, options: dict[str, Any]) -> None:
    plain, other = make_run(**FIVE_STEPS), make_run(**FIVE_STEPS, **options)
    assert train(plain) == train(other) == "finished"
    assert losses(other) == pytest.approx(losses(plain), rel=1e-5)


def test_quantized_weights_stay_as_they_are_through_an_evaluation(make_run: MakeRun) -> None:
    options = {**FIVE_STEPS, "precision.quantization": "nf4", "precision.compute": "bf16"}
    plain = make_run(**options, **{"dataset.validation": 0})
    assert train(plain) == "finished", alerts(plain)
    measured = make_run(
        **{**options, "output.checkpoint_every": 1, "dataset.validation": 0, "output.samples": ["Why?"]}
    )
    assert train(measured) == "finished", alerts(measured)
    assert losses(plain) == losses(measured)


def test_what_is_trained_is_kept_in_fp32_under_bf16(make_run: MakeRun) -> None:
    for method in ("lora", "full", "freeze"):
        run = make_run(**FIVE_STEPS, **{"precision.compute": "bf16", "method.name": method})
        assert train(run) == "finished", alerts(run)
        saved = load_file(run.checkpoints / "step-000005" / "trained.safetensors")
        assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


def test_a_vision_language_model_learns_text_and_its_towers_stay(make_run: MakeRun, tiny_vision_model: Path) -> None:
    for method in ("lora", "full", "freeze"):
        run = make_run(tiny_vision_model, **FIVE_STEPS, **{"method.name": method})
        assert train(run) == "finished", alerts(run)
        assert held_out(run)[5] < held_out(run)[0]
        names = load_file(run.checkpoints / "step-000005" / "trained.safetensors")
        assert not [name for name in names if "vision" in name or "projector" in name]
        if method == "lora":
            assert len(load_file(run.output / "adapter_model.safetensors")) == 2 * 7 * 2


def test_a_question_too_long_for_the_cutoff_is_shortened_not_refused(make_run: MakeRun) -> None:
    run = make_run(**FIVE_STEPS, **{"dataset.cutoff": 64})
    assert train(run) == "finished", alerts(run)


@pytest.mark.parametrize(
    ("options", "said", "advice"),
    [
        ({"method.targets": ["q_projj"]}, "no linear layer called q_projj", "Did you mean q_proj?"),
        ({"method.targets": ["lm_head"]}, "no linear layer called lm_head", "q_proj"),
        ({"method.name": "freeze", "method.layers": 3}, "3 layers are to be trained and the model has 2", "at most 2"),
        ({"method.name": "freeze", "method.modules": ["attn"]}, "no module called attn", "self_attn"),
        ({"method.name": "freeze", "method.extra_modules": ["nrm"]}, "no module called nrm", "Did you mean norm?"),
        ({"method.name": "freeze", "method.layers": 0}, "Nothing of the model would be trained", "Choose layers"),
        ({"acceleration.attention": "fa2"}, "FlashAttention2", "doctor"),
    ],
)
def test_what_cannot_work_fails_before_step_1_with_its_reason(
    make_run: MakeRun, options: dict[str, Any], said: str, advice: str
) -> None:
    run = make_run(**options)
    assert train(run) == "failed"
    [alert] = events(run, "alert")
    assert said in alert["message"]
    assert advice in alert["advice"]
    assert run.status().state == "failed"
    assert losses(run) == []
    assert not run.output.exists()


def test_broken_weights_are_refused_with_the_folder_named(make_run: MakeRun, tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    run = make_run(broken)
    assert train(run) == "failed"
    [alert] = events(run, "alert")
    assert "could not be loaded" in alert["message"]
    assert str(broken) in alert["advice"]


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_its_checkpoint(make_run: MakeRun) -> None:
    run = make_run(
        **{
            "training.learning_rate": 10.0,
            "training.max_grad_norm": 1e9,
            "method.alpha": 65536.0,
            "method.name": "full",
            "training.warmup": 0,
            "output.checkpoint_every": 1,
            "training.epochs": 50.0,
            "dataset.validation": 0,
            "training.weight_decay": 1.0,
        }
    )
    end = train(run)
    assert end == "failed"
    assert any("training has come apart" in message for message in alerts(run))
    assert events(run, "step")[-1].get("nonfinite")
    assert list(run.checkpoints.iterdir())


def test_a_full_disk_while_saving_a_checkpoint_is_told_and_training_goes_on(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, fill: Any) -> None:
        if path.name.startswith("step"):
            raise OSError(28, "No space left on device")
        real(path, fill)

    real = checkpoints.write_folder
    monkeypatch.setattr(checkpoints, "write_folder", full)
    run = make_run(**FIVE_STEPS)
    assert train(run) == "finished"
    assert any("No space left on device" in message for message in alerts(run))
    assert (run.output / "adapter_model.safetensors").is_file()


def test_out_of_memory_says_where_and_what_was_predicted(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(preflight, "try_longest_batch", no_memory)
    run = make_run()
    assert train(run) == "failed"
    [alert] = events(run, "alert")
    assert alert["code"] == "training.out_of_memory.preflight"
    assert "before step 1" in alert["message"]
    assert "micro_batch" in alert["advice"]


def test_out_of_memory_names_what_was_predicted_and_what_was_free() -> None:
    live = MemoryPrediction(allocated=1, reserved=2, process=3 * 2**30, components={})
    memory = Memory(live, None, Device("cuda", "card", total=8 * 2**30, free=2**31), "over")
    message = out_of_memory.said("running", memory)
    assert message.text == "Memory ran out in training: 3.00 GiB were predicted and 2.00 GiB were free."


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 8 bytes"), True),
        (RuntimeError("shape '[2, 3]' is invalid"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_only_out_of_memory_is_called_so(error: Exception, is_memory: bool) -> None:
    assert out_of_memory.is_out_of_memory(error) is is_memory


def test_a_real_failed_allocation_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert out_of_memory.is_out_of_memory(caught.value)


def test_a_tokenizer_that_does_not_belong_is_refused(make_run: MakeRun, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(tiny_model, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    for token in tokenizer["added_tokens"]:
        if token["content"] == "<|im_end|>":
            token["id"] = 5000
    tokenizer["model"]["vocab"]["<|im_end|>"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    run = make_run(folder)
    assert train(run) == "failed"
    assert any("token 5000" in message for message in alerts(run))


def test_tokens_that_the_models_own_tokenizer_reads_differently_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(tiny_model, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:20]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    recipe = resolved_recipe(tiny_model, tmp_path / "rows.jsonl")
    rows = [Row((Turn("user", "What is the colour of the sea?"), Turn("assistant", "The sea is blue.")))]
    preflight.check_tokens(tiny_model, load_encoder(tiny_model, recipe), rows, trust_remote_code=False)
    with pytest.raises(Refusal, match="reads this text differently: from token"):
        preflight.check_tokens(folder, load_encoder(tiny_model, recipe), rows, trust_remote_code=False)


def test_held_out_rows_may_be_a_file_of_their_own(make_run: MakeRun, tiny_data: Path) -> None:
    run = make_run(**FIVE_STEPS, **{"dataset.validation": str(tiny_data)})
    assert train(run) == "finished", alerts(run)
    assert list(held_out(run)) == [0, 5]


def test_a_gradient_that_should_not_be_there_ends_the_run_before_step_1(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_the_adapter(model: Any) -> dict[str, Any]:
        return {name: one for name, one in model.named_parameters() if "lora_A" in name}

    monkeypatch.setattr(preflight, "trained_parameters", without_the_adapter)
    run = make_run()
    assert train(run) == "failed"
    assert any("should stay frozen get a gradient" in message for message in alerts(run))
    assert losses(run) == []


def test_a_parameter_without_gradient_ends_the_run_before_step_1(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_an_unused_one(model: Any) -> dict[str, Any]:
        return {**trained_parameters(model), "unused": torch.nn.Parameter(torch.zeros(1))}

    monkeypatch.setattr(preflight, "trained_parameters", with_an_unused_one)
    run = make_run()
    assert train(run) == "failed"
    assert any("get no gradient, unused among them" in message for message in alerts(run))


def test_the_preflight_tells_what_the_longest_batch_took(make_run: MakeRun) -> None:
    run = make_run(**FIVE_STEPS)
    assert train(run) == "finished"
    [note] = events(run, "note")
    assert note["process"] > 50 * 2**20
    assert "GiB" in note["message"]


def test_a_run_whose_events_cannot_be_written_ends_without_raising(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(log: EventLog, kind: str, **values: Any) -> None:
        if kind in ("step", "alert"):
            raise OSError(28, "No space left on device")
        real(log, kind, **values)

    real = EventLog.append
    monkeypatch.setattr(EventLog, "append", full)
    assert train(make_run(**FIVE_STEPS)) == "failed"


def test_a_run_that_another_process_holds_is_refused(make_run: MakeRun) -> None:
    run = make_run(**FIVE_STEPS)
    with Run.open(run.path).lock(), pytest.raises(Refusal, match="Another process"):
        train(run)
    assert events(run, "state") == []
    assert train(run) == "finished"


def test_resuming_needs_the_same_data(make_run: MakeRun, tiny_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(tiny_data.read_bytes())
    run = make_run(data=data, **FIVE_STEPS)
    assert train(run) == "finished"
    lines = data.read_text().splitlines()
    data.write_text("\n".join(lines[:-1]) + "\n")
    assert resume(run) == "failed"
    assert any("data has changed" in message for message in alerts(run))


def test_a_checkpoint_of_another_recipe_is_refused_and_left_as_it_is(make_run: MakeRun) -> None:
    first, other = make_run(**FIVE_STEPS), make_run(**FIVE_STEPS, **{"training.seed": 43})
    assert train(first) == "finished"
    foreign = other.checkpoints / "step-000005"
    shutil.copytree(first.checkpoints / "step-000005", foreign)
    before = {file.name: file.read_bytes() for file in foreign.iterdir()}
    assert resume(other) == "failed"
    assert [event["code"] for event in events(other, "alert")] == ["training.other_recipe"]
    assert {file.name: file.read_bytes() for file in foreign.iterdir()} == before
    assert not other.output.exists()


def test_a_finished_run_resumed_makes_its_result_again(make_run: MakeRun) -> None:
    run = make_run(**FIVE_STEPS)
    assert train(run) == "finished"
    before = load_file(run.output / "adapter_model.safetensors")
    for file in run.output.iterdir():
        file.unlink()
    run.output.rmdir()
    assert resume(run) == "finished", alerts(run)
    after = load_file(run.output / "adapter_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_grad_mode_of_the_caller_does_not_matter(make_run: MakeRun) -> None:
    run = make_run(**FIVE_STEPS)
    with torch.no_grad():
        assert train(run) == "finished", alerts(run)
        assert not torch.is_grad_enabled()


def test_output_ends_answers_where_they_were_trained_to_end(make_run: MakeRun, tiny_model: Path) -> None:
    run = make_run(**FIVE_STEPS)
    assert train(run) == "finished"
    encoder = load_encoder(tiny_model, run.recipe())
    generation = json.loads((run.output / "generation_config.json").read_text())
    assert generation["eos_token_id"] == list(encoder.stop_ids)
    assert (run.output / "chat_template.jinja").read_text() == encoder.chat_template
    assert (run.output / "tokenizer.json").read_bytes() == (tiny_model / "tokenizer.json").read_bytes()
