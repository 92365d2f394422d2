"""`finetty export`: what it writes, what it proves, what it refuses, and that it leaves nothing half-made."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.results.conftest import making

from finetty.backend.messages import Refusal
from finetty.backend.results import Chat, answers, proof
from finetty.backend.results import export as exporting
from finetty.backend.results.adapter import write_adapter
from finetty.backend.results.card import write_card
from finetty.backend.results.export import Wanted, export
from finetty.backend.results.onward import next_lines
from finetty.backend.results.pushing import push
from finetty.backend.results.source import source_of
from finetty.backend.runs import Run
from finetty.backend.training import train

pytestmark = pytest.mark.trains


def exported(run: Run, form: Any, folder: Path, **wanted: Any) -> list[str]:
    return [one.text for one in export(run, form, folder, Wanted(**wanted), lambda _said: None).proof]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base does not go into it: the proof compares tensors here instead of logits in a fresh process."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))


def test_an_adapter_in_pefts_form_with_its_card(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    run = tuned_runs["lora"]
    said = exported(run, "adapter", tmp_path / "out")
    assert said[0].startswith("Proven on 4 rows: loaded by peft") and "byte for byte" in said[-1]
    ours, theirs = (
        load_file(tmp_path / "out/adapter_model.safetensors"),
        load_file(run.output / "adapter_model.safetensors"),
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nbase_model: Tiny-Llama-Instruct\nlibrary_name: peft\n")
    assert "SHA-256 of the data" in card and "rank: 16" in card and "| held-out loss |" in card
    assert str(tmp_path.parent) not in card, "where the data lay is nobody else's business"
    assert (tmp_path / "out/loss.svg").read_text().startswith("<svg")
    assert (tmp_path / "out/chat_template.jinja").read_bytes() == (run.output / "chat_template.jinja").read_bytes()


def test_a_merged_model_is_proven_in_a_fresh_process(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    said = exported(tuned_runs["lora"], "merged", tmp_path / "out", dtype="bf16")
    assert said[0].startswith("Proven on 4 rows")
    assert "bf16" in said[0]
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"
    assert {one.dtype for one in load_file(tmp_path / "out/model.safetensors").values()} == {torch.bfloat16}


@pytest.mark.parametrize("loads", [True, False])
def test_an_adapter_that_says_something_else_is_not_exported(
    tuned_runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loads: bool
) -> None:
    def wrong(source: Any, result: Path, folder: Path) -> None:
        write_adapter(source, result, folder)
        path = folder / "adapter_model.safetensors"
        save_file({name: one * 1.01 for name, one in load_file(path).items()}, path, metadata={"format": "pt"})

    if not loads:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    (tmp_path / "whole").mkdir()
    if not loads:
        said = exported(tuned_runs["lora"], "adapter", tmp_path / "whole")
        assert "bit for bit" in said[0]
    monkeypatch.setattr(exporting, "write_adapter", wrong)
    with pytest.raises(Refusal, match="does not say what" if loads else "tensors are not those"):
        exported(tuned_runs["lora"], "adapter", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_names_the_versions_that_trained(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    source = source_of(tuned_runs["lora"])
    assert source.about["versions"]["torch"] == metadata.version("torch")
    earlier = replace(source, about=source.about | {"versions": {"torch": "1.0"}})
    write_card(earlier, tmp_path, adapter=True)
    assert "The libraries that trained it:\n\n- torch 1.0\n" in (tmp_path / "README.md").read_text()


def test_a_long_row_is_compared_by_its_beginning() -> None:
    asked: list[int] = []

    class Model:
        def __call__(self, input_ids: torch.Tensor) -> Any:
            asked.append(input_ids.shape[1])
            return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 8))

    found = proof.logits(Model(), [SimpleNamespace(ids=tuple(range(length))) for length in (5, 100_000)])
    assert asked == [5, 256] == [len(one) for one in found]


def test_weights_that_say_something_else_are_not_exported(
    tuned_runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetty.backend.results import merged_folder

    write_merged = merged_folder.write_merged

    def wrong(source: Any, result: Path, folder: Path, **how: Any) -> None:
        write_merged(source, result, folder, **how)
        weights = load_file(folder / "model.safetensors")
        name = "model.layers.1.mlp.down_proj.weight"
        save_file(weights | {name: weights[name] * 1.05}, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(merged_folder, "write_merged", wrong)
    with pytest.raises(Refusal, match="do not say what the trained model says"):
        exported(tuned_runs["lora"], "merged", tmp_path / "out", dtype="bf16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("little_memory")
def test_a_run_without_result_exports_its_last_checkpoint(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    run = tuned_runs["lora"]
    crashed = Run.open(Path(shutil.copytree(run.path, tmp_path / "run")))
    shutil.rmtree(crashed.output)
    exported(crashed, "adapter", tmp_path / "out")
    ours, theirs = (
        load_file(tmp_path / "out/adapter_model.safetensors"),
        load_file(run.output / "adapter_model.safetensors"),
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not list(tmp_path.glob(".*"))


def test_a_full_run_has_no_adapter(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no adapter"):
        exported(tuned_runs["full"], "adapter", tmp_path / "out")


def test_what_cannot_be_exported_is_refused_at_once(
    tuned_runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "write_target", lambda *_: pytest.fail("it began to write"))
    run = tuned_runs["lora"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(Refusal, match="not empty"):
        exported(run, "adapter", tmp_path / "full")
    empty = Run.open(Path(shutil.copytree(run.path, tmp_path / "empty")))
    shutil.rmtree(empty.output)
    shutil.rmtree(empty.checkpoints)
    with pytest.raises(Refusal, match="neither a result nor a checkpoint"):
        exported(empty, "merged", tmp_path / "out")
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
        with pytest.raises(Refusal, match="1000 B are free"):
            exported(run, "merged", tmp_path / "out")


@pytest.mark.usefixtures("little_memory")
def test_a_base_that_is_gone_or_another_is_refused(
    tuned_runs: dict[str, Run], tmp_path: Path, tiny_model: Path
) -> None:
    run = Run.open(Path(shutil.copytree(tuned_runs["lora"].path, tmp_path / "run")))
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    run.plan_path.write_text(run.plan_path.read_text().replace(str(tiny_model), str(base)))
    exported(run, "adapter", tmp_path / "out")
    weights = load_file(base / "model.safetensors")
    save_file({name: one * 1.01 for name, one in weights.items()}, base / "model.safetensors")
    with pytest.raises(Refusal, match="is not the one that this run began with"):
        exported(run, "adapter", tmp_path / "again")
    shutil.rmtree(base)
    with pytest.raises(Refusal, match="not on this machine"):
        exported(run, "adapter", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_an_export_that_breaks_off_leaves_nothing(
    tuned_runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(exporting, "write_card", broken)
    with pytest.raises(Refusal if isinstance(failure, OSError) else KeyboardInterrupt):
        exported(tuned_runs["lora"], "adapter", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"r": 12}, "--max-lora-rank 16"),
        ({"r": 16, "use_dora": True}, "DoRA"),
        ({"r": 16, "modules_to_save": ["lm_head"]}, "trained embeddings or head"),
        ({"r": 1024}, "up to rank 512"),
    ],
)
def test_vllms_line_or_why_there_is_none(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    content = {"base_model_name_or_path": "Qwen/Qwen3-0.6B", **config}
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    lines = [line.text for line in next_lines("adapter", tmp_path, "helper")]
    assert any(said in line for line in lines)
    assert any("vllm serve" in line for line in lines) == (config["r"] == 12)


@pytest.fixture(scope="module")
def nf4_run(tiny_model: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = making().resolved_recipe(
        tiny_model, tiny_data, **{"precision.quantization": "nf4", "training.epochs": 4.0}
    )
    run = Run.create(tmp_path_factory.mktemp("runs"), making().plan_of(recipe).to_json(), recipe, asked=recipe)
    assert train(run) == "finished"
    return run


def test_a_run_on_a_quantized_base_says_what_quantizing_cost(nf4_run: Run, tmp_path: Path) -> None:
    said = exported(nf4_run, "merged", tmp_path / "out", dtype="fp16")
    assert said[0].startswith("Proven on 4 rows"), said
    assert "Held-out loss on 8 rows" in said[-1] and "with the base in nf4" in said[-1]


def test_a_run_on_a_quantized_base_and_its_base_can_be_talked_to(nf4_run: Run) -> None:
    from bitsandbytes.nn import Linear4bit

    chat = Chat(nf4_run)
    [both] = answers(chat, ["What is the colour of the sea, asked 0 times?"], longest=12)
    assert both.tuned and both.base is not None and both.tuned != both.base
    assert any(isinstance(layer, Linear4bit) for layer in chat.model(base=True)[0].modules())


def test_an_upload_that_fails_leaves_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("card")
    with pytest.raises(Refusal, match="could not be uploaded to someone/model"):
        push(tmp_path / "out", "someone/model")
    assert (tmp_path / "out" / "README.md").exists()
