"""Answers of the tuned model and of its base, and the result in other people's hands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetty.backend.conversation import Turn
from finetty.backend.messages import Refusal
from finetty.backend.results import Chat, answers, weights_in_place
from finetty.backend.results.answers import load_base
from finetty.backend.runs import Run

pytestmark = pytest.mark.trains

QUESTION = "What is the colour of the sea, asked 0 times?"

PLAIN = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, base, question = sys.argv[1:]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
with torch.no_grad():
    logits = model(**inputs).logits[0, -1].tolist()
    written = model.generate(**inputs, do_sample=False, max_new_tokens=40)[0, inputs["input_ids"].shape[1] :]
print(json.dumps({"ids": inputs["input_ids"][0].tolist(), "logits": logits, "written": written.tolist()}))
"""


def test_the_adapter_loads_with_plain_peft_and_gives_the_same_logits(tuned_runs: dict[str, Run]) -> None:
    run = tuned_runs["lora"]
    base = json.loads((run.output / "adapter_config.json").read_text())["base_model_name_or_path"]
    plain = json.loads(
        subprocess.run(
            [sys.executable, "-c", PLAIN, str(run.output), base, QUESTION],
            check=True,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=300,
        ).stdout
    )
    torch.set_num_threads(1)
    chat = Chat(run)
    ids = chat.encoder.prompt([Turn("user", QUESTION)])
    assert plain["ids"] == ids
    with torch.no_grad():
        logits = chat.model(base=False)[0](input_ids=torch.tensor([ids])).logits[0, -1].tolist()
    assert plain["logits"] == logits
    ours = "".join(chat.answer([Turn("user", QUESTION)], longest=40))
    assert chat.encoder.decode(plain["written"]) == ours


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_tuned_and_base_answer_differently(tuned_runs: dict[str, Run], method: str) -> None:
    [both] = answers(Chat(tuned_runs[method]), [QUESTION], longest=40)
    assert both.tuned is not None
    assert both.base is not None
    assert both.tuned.startswith("The ")
    assert not both.base.startswith("The ")


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
@pytest.mark.parametrize("named_alike", [True, False])
def test_both_sides_are_one_model_in_memory(
    tuned_runs: dict[str, Run], method: str, named_alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not named_alike:
        monkeypatch.setattr(weights_in_place, "put_weights", lambda model, folder: False)
    torch.set_num_threads(1)
    chat = Chat(tuned_runs[method])
    ids = torch.tensor([chat.encoder.prompt([Turn("user", QUESTION)])])

    def logits(*, base: bool) -> list[float]:
        model, switch = chat.model(base=base)
        with switch, torch.no_grad():
            return list(model(input_ids=ids).logits[0, -1].tolist())

    tuned, base, again = logits(base=False), logits(base=True), logits(base=False)
    assert tuned == again
    assert tuned != base
    plain = load_base(chat.source)
    with torch.no_grad():
        assert base == plain(input_ids=ids).logits[0, -1].tolist()
    if named_alike:
        assert chat.model(base=True)[0] is chat.model(base=False)[0]


def test_weights_by_other_names_are_not_put(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    run = tuned_runs["full"]
    stored = load_file(run.output / "model.safetensors")
    save_file({f"other.{name}": one for name, one in stored.items()}, tmp_path / "model.safetensors")
    model = Chat(run).model(base=False)[0]
    assert weights_in_place.put_weights(model, tmp_path) is False
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, stored[name])


def test_only_the_model_that_is_asked_answers(tuned_runs: dict[str, Run]) -> None:
    [one] = answers(Chat(tuned_runs["lora"]), [QUESTION], base=False, longest=40)
    assert one.base is None
    assert one.tuned
    [other] = answers(Chat(tuned_runs["lora"]), [QUESTION], tuned=False, longest=40)
    assert other.tuned is None


def test_asking_the_base_leaves_the_adapter_on(tuned_runs: dict[str, Run]) -> None:
    chat = Chat(tuned_runs["lora"])
    turns = [Turn("user", QUESTION)]
    first = "".join(chat.answer(turns, longest=40))
    "".join(chat.answer(turns, base=True, longest=8))
    assert "".join(chat.answer(turns, longest=40)) == first


def test_an_answer_comes_in_pieces_and_can_be_cut_short(tuned_runs: dict[str, Run]) -> None:
    chat = Chat(tuned_runs["lora"])
    turns = [Turn("user", QUESTION)]
    pieces = list(chat.answer(turns, longest=40))
    assert len([piece for piece in pieces if piece]) > 3
    stream = chat.answer(turns, longest=100_000)
    assert next(stream) == pieces[0]
    stream.close()
    assert "".join(chat.answer(turns, longest=40)) == "".join(pieces)


def test_an_answer_ends_at_the_trained_stop(tuned_runs: dict[str, Run]) -> None:
    answer = "".join(Chat(tuned_runs["full"]).answer([Turn("user", QUESTION)], longest=400))
    assert "<|im_end|>" not in answer
    assert len(answer) < 300


def test_sampling_varies_and_greedy_does_not(tuned_runs: dict[str, Run]) -> None:
    chat = Chat(tuned_runs["lora"])
    turns = [Turn("user", QUESTION)]
    torch.manual_seed(0)
    sampled = {"".join(chat.answer(turns, temperature=3.0, longest=12)) for _ in range(4)}
    greedy = {"".join(chat.answer(turns, longest=12)) for _ in range(2)}
    assert len(sampled) > 1
    assert len(greedy) == 1


def test_a_run_without_result_answers_from_its_last_checkpoint(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    for method, run in tuned_runs.items():
        crashed = Run.open(Path(shutil.copytree(run.path, tmp_path / method)))
        [with_result] = answers(Chat(crashed), [QUESTION], base=False, longest=40)
        shutil.rmtree(crashed.output)
        [without] = answers(Chat(crashed), [QUESTION], base=False, longest=40)
        assert without == with_result


def test_a_run_with_nothing_to_show_says_so(tuned_runs: dict[str, Run], tmp_path: Path) -> None:
    run = Run.open(Path(shutil.copytree(tuned_runs["lora"].path, tmp_path / "empty")))
    shutil.rmtree(run.output)
    shutil.rmtree(run.checkpoints)
    with pytest.raises(Refusal, match="neither a result nor a checkpoint"):
        Chat(run)
