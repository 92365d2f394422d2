"""The base model answers rows before anything is trained: as plain transformers would, and only where there is room."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from threading import Event

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetty.backend.conversation import Row, Turn
from finetty.backend.memory import Device
from finetty.backend.messages import Refusal
from finetty.backend.results import talk
from finetty.backend.results.base_alone import BaseAlone, check_room

from .conftest import making

LONGEST = 12
ROW = Row((Turn("system", "Be kind."), Turn("user", "What is the sea?"), Turn("assistant", "It is blue.")))
CALL = {"type": "function", "function": {"name": "look", "arguments": {}}}


def test_a_rows_question_and_what_is_wanted_of_it() -> None:
    assert ROW.asked == ROW.turns[:2] and ROW.wanted == "It is blue."
    called = replace(ROW, turns=(*ROW.turns[:2], Turn("assistant", "", tool_calls=(CALL,))))
    assert json.loads(called.wanted) == CALL
    text = Row((Turn("assistant", "abcdefgh"),))
    assert [turn.content for turn in text.asked] == ["abcd"] and text.wanted == "efgh"
    assert len(Row((Turn("assistant", "x" * 9000),)).asked[0].content) == 400


def test_it_answers_as_plain_transformers_does(tiny_model: Path, tiny_data: Path) -> None:
    base = BaseAlone(making().plan_of(making().resolved_recipe(tiny_model, tiny_data)))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    messages = [{"role": turn.role, "content": turn.content} for turn in ROW.asked]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    text = Row((Turn("assistant", "The sea is blue, and the night is black."),))
    begun = tokenizer(text.asked[0].content, return_tensors="pt")
    for row, inputs in ((ROW, asked), (text, begun)):
        with torch.no_grad():
            written = model.generate(**inputs, do_sample=False, max_new_tokens=LONGEST)[
                0, inputs["input_ids"].shape[1] :
            ]
        expected = tokenizer.decode(written, skip_special_tokens=True)
        assert "".join(base.answer(row.asked, longest=LONGEST)) == expected
        out = io.StringIO()
        request = {"id": 7, "turns": [[turn.role, turn.content, None, [], None, None] for turn in row.asked]}
        talk._answer(base, request | {"base": True, "temperature": 0.0, "top_p": 1.0, "longest": LONGEST}, Event(), out)
        said = [json.loads(line) for line in out.getvalue().splitlines()]
        assert "".join(one.get("piece", "") for one in said) == expected and said[-1]["done"]


def test_a_model_without_room_is_refused_before_it_is_loaded(tiny_model: Path, tiny_data: Path) -> None:
    plan = making().plan_of(making().resolved_recipe(tiny_model, tiny_data))
    check_room(plan)
    free = psutil.virtual_memory().available
    with pytest.raises(Refusal, match="of memory are free"):
        BaseAlone(replace(plan, total_parameters=free))
    on_card = making().resolved_recipe(tiny_model, tiny_data, **{"hardware.devices": 0, "precision.compute": "bf16"})
    device = Device("cuda", "a card", 8 << 30, 6 << 30)
    carded = replace(plan, recipe=on_card, memory=replace(plan.memory, device=device))
    check_room(replace(carded, total_parameters=3 << 30))
    with pytest.raises(Refusal, match=r"6\.2 GiB to answer, and 6\.0 GiB"):
        check_room(replace(carded, total_parameters=round(3.1 * (1 << 30))))


def test_memory_that_runs_out_is_said_as_that() -> None:
    assert "Memory ran out" in talk._broke(MemoryError())["said"]["text"]
    assert "nf4" in talk._broke(MemoryError())["fix"]["text"]
    assert "ValueError: so" in talk._broke(ValueError("so"))["said"]["text"]
