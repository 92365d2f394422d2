"""Talking to a folder that was exported: as plain transformers and peft load it, and refused where it is no model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetty.backend.conversation import Turn
from finetty.backend.messages import Refusal
from finetty.backend.results.exported import Exported, exported_at, speaker_of, talked_at, transcripts_of

LONGEST = 12
QUESTION = "What is the colour of the sea?"
TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}<|im_end|>{% endfor %}[answer] "


@pytest.fixture(scope="module")
def exports(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An adapter with weights that change the answers, and the model merged with it; the template is their own."""
    root = tmp_path_factory.mktemp("exports")
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(base, config)
    model.save_pretrained(root / "adapter")
    model.merge_and_unload().save_pretrained(root / "merged")
    for name in ("adapter", "merged"):
        for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            shutil.copy(tiny_model / file, root / name / file)
        (root / name / "chat_template.jinja").write_text(TEMPLATE)
    return {"adapter": root / "adapter", "merged": root / "merged", "base": tiny_model}


def plainly(folder: Path, template_of: Path) -> str:
    """What plain transformers writes, or with an adapter plain peft."""
    if (folder / "adapter_config.json").is_file():
        named = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(named), str(folder)).eval()
    else:
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(template_of)
    messages = [{"role": "user", "content": QUESTION}]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        written = model.generate(**asked, do_sample=False, max_new_tokens=LONGEST)
    return str(tokenizer.decode(written[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))


def test_it_answers_as_plain_transformers_and_peft_do(exports: dict[str, Path]) -> None:
    turns = [Turn("user", QUESTION)]
    merged, adapter = (speaker_of(talked_at(exports[name])) for name in ("merged", "adapter"))
    tuned = plainly(exports["merged"], exports["merged"])
    assert "".join(merged.answer(turns, longest=LONGEST)) == tuned
    assert "".join(adapter.answer(turns, longest=LONGEST)) == tuned == plainly(exports["adapter"], exports["adapter"])
    base = plainly(exports["base"], exports["adapter"])
    assert "".join(adapter.answer(turns, base=True, longest=LONGEST)) == base != tuned
    assert "".join(adapter.answer(turns, longest=LONGEST)) == tuned, "the adapter is on again"
    with pytest.raises(Refusal, match="has no base beside it"):
        next(merged.answer(turns, base=True))


def test_an_adapter_without_its_tokenizer_takes_that_of_its_base(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exports["adapter"], tmp_path / "adapter"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    said = "".join(speaker_of(exported_at(folder)).answer([Turn("user", QUESTION)], longest=LONGEST))
    assert said == plainly(folder, exports["base"])


def spoil_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def take_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def move_base(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "/nowhere/base"}))


def only_gguf(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()
    (folder / "model-f16.gguf").touch()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (only_gguf, "is neither a merged model nor an adapter"),
        (spoil_config, "cannot be used: JSONDecodeError"),
        (take_weights, "adapter_model.safetensors is missing"),
        (move_base, "The base /nowhere/base of the adapter in .* is not on this machine"),
        (shutil.rmtree, "There is no folder"),
    ],
)
def test_what_is_no_export_is_one_sentence(
    exports: dict[str, Path], tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = Path(shutil.copytree(exports["adapter"], tmp_path / "adapter"))
    spoil(folder)
    with pytest.raises(Refusal, match=said) as refused:
        talked_at(folder)
    assert refused.value.fix is not None


def test_an_adapter_of_another_model_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exports["adapter"], tmp_path / "adapter"))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 8}))
    with pytest.raises(Refusal, match="cannot be used: "):
        speaker_of(exported_at(folder))


def test_a_model_without_room_is_refused_before_it_is_loaded(
    exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(Refusal, match="to answer, and 1000 B are free"):
        speaker_of(exported_at(exports["merged"]))


def test_transcripts_never_go_into_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    talked = Exported(tmp_path / "merged", None)
    assert transcripts_of(talked) == tmp_path / "state/finetty/transcripts/merged"
