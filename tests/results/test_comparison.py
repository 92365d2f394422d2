"""Base and result on the same rows and prompts, and the process that a screen talks to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from finetty.backend.conversation import Turn
from finetty.backend.messages import Refusal
from finetty.backend.results import Answer, Chat
from finetty.backend.results.comparison import compare
from finetty.backend.results.losses import held_out_losses
from finetty.backend.results.prompts import read_prompts
from finetty.backend.runs import Run, history

pytestmark = pytest.mark.trains

QUESTION = "What is the colour of the sea, asked 0 times?"


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_losses_are_those_that_the_run_measured(tuned_runs: dict[str, Run], method: str) -> None:
    run = tuned_runs[method]
    torch.set_num_threads(1)
    told = {event["step"]: event["loss"] for event in history(run.events_path, ("eval",))}
    found = list(held_out_losses(Chat(run)))
    assert [one.what for one in found[:2]] == ["base", "result"]
    assert found[0].loss == pytest.approx(told[0], rel=1e-5)
    assert found[1].loss == pytest.approx(told[max(told)], rel=1e-5)
    assert len(found) >= 4
    for one in found[2:]:
        assert one.step is not None
        assert one.loss == pytest.approx(told[one.step], rel=1e-5)


def test_a_comparison_says_what_changed(tuned_runs: dict[str, Run]) -> None:
    told: list[Answer] = []
    found = compare(tuned_runs["lora"], [QUESTION], longest=40, tell=told.append)
    assert tuple(told) == found.answers
    assert [one.what for one in found.losses] == ["base", *["checkpoint"] * (len(found.losses) - 2), "result"]
    said = " ".join(fact.text for fact in found.facts)
    assert "On 8 held-out rows the loss went from" in said
    assert "Of 1 answers 1 changed" in said
    assert json.loads(json.dumps(found.to_json()))["answers"][0]["tuned"].startswith("The ")


def test_only_one_model_is_in_memory(tuned_runs: dict[str, Run]) -> None:
    chat = Chat(tuned_runs["lora"])
    tuned, _ = chat.model(base=False)
    base, _ = chat.model(base=True)
    assert base is tuned


def test_prompts_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeffOne?\n\n  二？ \n", encoding="utf-8")
    assert read_prompts(path) == ["One?", "二？"]
    path.write_text("\n")
    with pytest.raises(Refusal, match="no prompt"):
        read_prompts(path)
    with pytest.raises(Refusal, match="cannot be read"):
        read_prompts(tmp_path / "none")


def test_top_p_leaves_the_likeliest_alone(tuned_runs: dict[str, Run]) -> None:
    chat = Chat(tuned_runs["lora"])
    turns = [Turn("user", QUESTION)]
    greedy = "".join(chat.answer(turns, longest=12))
    assert "".join(chat.answer(turns, longest=12, temperature=2.0, top_p=1e-6)) == greedy


def test_the_talking_process_answers_stops_and_ends(tuned_runs: dict[str, Run]) -> None:
    request = {"turns": [["user", QUESTION]], "temperature": 0.0, "top_p": 1.0}
    with subprocess.Popen(
        [sys.executable, "-m", "finetty.backend.results.talk", str(tuned_runs["lora"].path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask(**more: object) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request | more) + "\n")
            process.stdin.flush()

        assert json.loads(process.stdout.readline()) == {"ready": True}
        ask(id=1, base=False, longest=40)
        said = [json.loads(process.stdout.readline())]
        while not said[-1].get("done"):
            said.append(json.loads(process.stdout.readline()))
        answer = "".join(one.get("piece", "") for one in said)
        assert answer.startswith("The ")
        ask(id=2, base=True, longest=100_000, temperature=5.0)
        assert json.loads(process.stdout.readline())["id"] == 2
        process.stdin.write('{"stop": true}\n')
        process.stdin.close()
        last = [json.loads(line) for line in process.stdout][-1]
        assert last["done"] and last["tokens"] < 50_000
        assert process.wait(30) == 0
