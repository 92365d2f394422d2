"""Every name that LLaMA-Factory registers is found, and writes the same unless its publisher writes otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools import llama_factory

from finetty.backend.conversation import registry
from finetty.backend.conversation.sandbox import ChatTemplate

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "llama_factory.json").read_text("utf-8"))
PUBLISHED = {path.stem for path in HERE.glob("expected/*.json")}
DIFFERS = {
    "alpaca": "it writes no begin token, and nothing between another system prompt and the question",
    "gemma4n": "as gemma4, whose publisher asks for thoughts by a switch",
    "glm5_next": "its question ends with the thought's mark, which its publisher asks for and writes in the answer",
    "vicuna": "FastChat, its publisher, writes a blank behind the system prompt and before an answer",
}
SAID = [
    {"role": role, "content": content}
    for exchange in llama_factory.EXCHANGES
    for role, content in zip(("user", "assistant"), exchange, strict=True)
]
SYSTEM = {"role": "system", "content": llama_factory.SYSTEM}


def test_every_name_is_found() -> None:
    assert len(RECORDED) == 129
    assert set(RECORDED) <= {found.name for found in registry.template_names()}


@pytest.mark.parametrize("name", sorted(set(RECORDED) - PUBLISHED - set(DIFFERS)))
def test_writes_the_same_where_no_publishers_text_is_known(name: str) -> None:
    template = registry.template_named(name)
    jinja, reasoning = ChatTemplate(template.jinja()), template.reasoning
    for messages, wanted in zip((SAID, [SYSTEM, *SAID]), RECORDED[name], strict=True):
        text = jinja.render({"messages": messages, "bos_token": "<s>", "eos_token": "</s>"})
        # LLaMA-Factory adds the empty thought when it encodes, not by a slot.
        for empty in (reasoning.empty, reasoning.dropped) if reasoning else ():
            text = text.replace(empty, "") if empty else text
        assert text == wanted


@pytest.mark.parametrize("name", sorted(DIFFERS))
def test_a_difference_is_one(name: str) -> None:
    jinja = ChatTemplate(registry.template_jinja(name))
    assert jinja.render({"messages": SAID, "bos_token": "<s>", "eos_token": "</s>"}) != RECORDED[name][0]


def test_registrations_are_read_without_running_the_file() -> None:
    source = """
register_template(
    name="x",
    format_user=StringFormatter(slots=[{"bos_token"}, "U:{{content}}", {"token": "<sep>"}]),
    format_assistant=StringFormatter(slots=["{{content}}", {"eos_token"}]),
    default_system="S",
    template_class=Llama2Template,
)
raise SystemExit
"""
    slots = llama_factory.registered(source)["x"]
    assert llama_factory.written(slots, "") == ("<s>U:S帮我写一首关于春天的诗<sep>春眠不觉晓</s><s>U:More?<sep>No.</s>")
