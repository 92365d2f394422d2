"""Rows that are filled into the skeleton of their roles are the rows that rendering gives, to the character."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetty.backend.conversation import Encoder, Row, Turn, load_encoder, registry
from finetty.backend.conversation.opaque import PassedOn
from finetty.backend.conversation.rendering import Rendered, Renderer, RowProblem
from finetty.backend.conversation.sandbox import ChatTemplate
from finetty.backend.recipe import Recipe, with_values

NAMES = [found.name for found in registry.template_names()]
LLAMA_3 = (
    "{{- bos_token }}{%- if not tools is defined %}{%- set tools = none %}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}{{- system_message }}{{- '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim }}"
    "{{- '<|eot_id|>' }}"
    "{%- elif message.role == 'tool' or message.role == 'ipython' %}{{- message.content | tojson }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
"""As Llama 3.1's: contents are trimmed, and what tools answer is looked into."""
QWEN_2_5 = (
    "{%- if tools %}{{- messages[0]['content'] }}{{- tools | tojson }}{%- else %}"
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{%- endif %}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if (message.role == 'user') or (message.role == 'system' and not loop.first) or "
    "(message.role == 'assistant' and not message.tool_calls) %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- elif message.role == 'assistant' %}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}"
    "{%- for call in message.tool_calls %}{{- call | tojson }}{%- endfor %}"
    "{%- elif message.role == 'tool' %}"
    "{%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != 'tool') %}{{- 'x' }}{%- endif %}"
    "{{- message.content }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
THINKING = (
    "{%- macro said(content, counts) %}{%- if content is string %}{{- content }}"
    "{%- elif content is iterable %}{%- for part in content %}{{- part.text }}{%- endfor %}{%- endif %}{%- endmacro %}"
    "{%- set ns = namespace(last=messages|length - 1, above=true) %}"
    "{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
    "{%- if ns.above and message.role == 'user' %}{%- set content = said(message.content, false)|trim %}"
    "{%- if not (content.startswith('<tool_response>') and content.endswith('</tool_response>')) %}"
    "{%- set ns.above = false %}{%- set ns.last = index %}{%- endif %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}{%- set content = said(message.content, true)|trim %}"
    "{%- if message.role == 'assistant' %}{%- set thought = '' %}"
    "{%- if message.reasoning_content is string %}{%- set thought = message.reasoning_content %}"
    "{%- elif '</think>' in content %}"
    "{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if loop.index0 > ns.last %}{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{- content.lstrip('\\n') + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- else %}{{- '<think>\\n' }}{%- endif %}{%- endif %}"
)
"""As Qwen3.5's: thoughts are taken out of answers, those of earlier answers are not written, contents may be parts."""
NASTY = [
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "<|im_end|>",
    "</s>",
    "</think>",
    "finetty0content",
    "\u2003",
    " a\n",
    "{{ x }}",
    "\n\n",
    "[/INST]",
    "é\u0301",
]
contents = st.lists(st.sampled_from(NASTY) | st.text(max_size=6), max_size=4).map("".join)
conversations = st.tuples(st.booleans(), st.lists(st.tuples(contents, contents), min_size=1, max_size=3), contents).map(
    lambda drawn: conversation(*drawn)
)


def conversation(with_system: bool, pairs: list[tuple[str, str]], system: str) -> Row:
    turns = [Turn("system", system)] if with_system else []
    for asked, answered in pairs:
        turns += [Turn("user", asked), Turn("assistant", answered)]
    return Row(tuple(turns))


class Rendering(Renderer):
    """Renders each row, as if no template were known to pass contents on."""

    def _filled(self, row: Row) -> None:
        return None


def rendering(renderer: Renderer) -> Renderer:
    return Rendering(**{name: getattr(renderer, name) for name in renderer.__dataclass_fields__})


def outcome(renderer: Renderer, row: Row) -> list[Rendered] | str:
    try:
        return renderer.rendered(row, "assistant")
    except RowProblem as problem:
        return str(problem)


def encoder_of(model: Path, name: str) -> Encoder:
    return load_encoder(model, with_values(Recipe(), {"template.name": name}))


quick = settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", NAMES)
@quick
@given(row=conversations)
def test_the_registrys_templates(name: str, row: Row, tiny_model: Path) -> None:
    renderer = _renderer(name, tiny_model)
    assert outcome(renderer, row) == outcome(rendering(renderer), row)


@pytest.mark.parametrize("source", [None, LLAMA_3, QWEN_2_5, THINKING], ids=["chatml", "llama", "qwen", "thinking"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=conversations)
def test_models_own_templates(source: str | None, row: Row, tiny_model: Path) -> None:
    renderer = _renderer("own", tiny_model)
    if source is not None:
        special = {"bos_token": "<s>", "eos_token": "</s>"}
        template = ChatTemplate(source)
        renderer = replace(renderer, template=template, special=special, ends=("<|eot_id|>", "<|im_end|>"))
    assert renderer.template.passes_contents_on
    assert outcome(renderer, row) == outcome(rendering(renderer), row)


_renderers: dict[str, Renderer] = {}


def _renderer(name: str, model: Path) -> Renderer:
    if name not in _renderers:
        _renderers[name] = encoder_of(model, name).renderer
    return _renderers[name]


def test_most_rows_of_a_plain_template_are_filled(tiny_model: Path) -> None:
    renderer = encoder_of(tiny_model, "own").renderer
    for turns in (2, 4, 6):
        row = conversation(False, [("Q", " A ")] * (turns // 2), "")
        assert renderer._filled(row) is not None
    assert renderer._filled(Row((Turn("user", "Q"), Turn("assistant", "A", reasoning="R")))) is None
    assert renderer._filled(Row((Turn("user", "Q"), Turn("assistant", "  ")))) is None


LOOKS = [
    "{% for m in messages %}{% if 'x' in m.content | upper %}a{% endif %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% set x = 'y' ~ m.content %}{% if 'y' in x %}{{ x | length }}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if 'content' in m %}{{ m.content | length }}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if ' ' in m.content %}a{% endif %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{{ ('y' ~ m.content).split('y')[0] }}{% endfor %}",
    "{% for m in messages %}{{ m.content.split('x')[1] }}{% endfor %}",
    "{% for m in messages %}{{ m.content.split('x') | length }}{% endfor %}",
    "{% for m in messages %}{{ m.content.replace('x', 'y') }}{% endfor %}",
    "{% for m in messages %}{{ m.content.startswith('x') }}{% endfor %}",
    "{% macro w(c) %}y{{ c }}{% endmacro %}{% for m in messages %}{% if 'y' in w(m.content) %}a{% endif %}{% endfor %}",
    "{% for m in messages %}{{ m.content | length }}{% endfor %}",
    "{% for m in messages %}{{ m.content | trim('x') }}{% endfor %}",
    "{% for m in messages %}{{ m.content[0] }}{% endfor %}",
    "{% for m in messages %}{% if m.content == 'x' %}{{ m.content }}{% endif %}{% endfor %}",
    "{% for m in messages %}{{ m | tojson }}{% endfor %}",
    "{{ messages | tojson }}",
    "{{ messages | map(attribute='content') | join }}",
    "{{ (messages | last).content }}",
    "{% for m in messages %}{% for part in m.content %}{{ part }}{% endfor %}{% endfor %}",
    "{% for m in messages %}{{ loop.previtem.content | length }}{{ m.content }}{% endfor %}",
    "{% for m in messages if m.content %}{{ m.content }}{% endfor %}",
    "{% macro w(c) %}{{ c | upper }}{% endmacro %}{% for m in messages %}{{ w(m.content) }}{% endfor %}",
    "{% for m in messages %}{% filter upper %}{{ m.content }}{% endfilter %}{% endfor %}",
    "{% for m in messages %}{% set x %}{{ m.content }}{% endset %}{{ x | length }}{% endfor %}",
    "{% set ns = namespace(x='') %}{% for m in messages %}{% set ns.x = m.content %}{% endfor %}{{ ns.x | length }}",
    "{% set x = messages[0].content %}{{ x | upper }}",
    "{% set x = 'a' ~ messages[0].content %}{% if x != 'a' %}b{% endif %}",
    "{% with all = messages %}{{ all[0].content | length }}{% endwith %}",
    "{% for m in messages %}{{ m.get('content') }}{% endfor %}",
    "{% for m in messages %}{{ m['con' ~ 'tent'] }}{% endfor %}",
    "{% for m in messages %}{{ m.content and 'x' }}{% endfor %}",
    "{% for m in messages %}{{ m.content * 2 }}{% endfor %}",
    "{% for m in messages recursive %}{{ m.content }}{% endfor %}",
]


@pytest.mark.parametrize("source", LOOKS)
def test_a_template_that_looks_into_contents_is_rendered_for_each_row(source: str) -> None:
    assert not ChatTemplate(source).passes_contents_on


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m.role ~ m['content'] | trim }}{% endfor %}",
        "{% for m in messages[1:] %}{{ (m.content or '') }}{% endfor %}{{ messages | length }}",
        "{% set s = messages[0]['content'] if messages[0]['role'] == 'system' else 'x' %}{% if s %}{{ s }}{% endif %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'tool' %}{{ m.content | tojson }}{% endif %}{% endfor %}",
    ],
)
def test_a_template_that_passes_contents_on_is_known(source: str) -> None:
    assert ChatTemplate(source).passes_contents_on == PassedOn()


@pytest.mark.parametrize(
    ("source", "marks", "trimmed"),
    [
        ("{% for m in messages %}{% if 'x' in m.content %}{{ m.content | length }}{% endif %}{% endfor %}", "x", False),
        ("{% for m in messages %}{{ m['content'].split('x')[-1].split('y')[0] }}{% endfor %}", "xy", False),
        ("{% for m in messages %}{% set c = m.content.strip() %}{{ c.lstrip('z') }}{% endfor %}", "", True),
        ("{% for m in messages %}{% if m.content.endswith('x') %}a{% endif %}{{ m.content }}{% endfor %}", "x", False),
    ],
)
def test_what_is_looked_for_in_contents_is_known(source: str, marks: str, trimmed: bool) -> None:
    passed_on = ChatTemplate(source).passes_contents_on
    assert passed_on == PassedOn(frozenset(marks), trimmed)
    assert passed_on is not None and passed_on.holds("a b")
    assert not any(passed_on.holds(f"a {mark} b") for mark in marks)
    assert passed_on.holds(" a") != trimmed


def test_the_usual_row_is_filled_into_most_templates(tiny_model: Path) -> None:
    """Or it would be encoded at a fraction of the speed."""
    row = conversation(False, [("Q", "A"), ("R", "B")], "")
    filled = {name for name in NAMES if _renderer(name, tiny_model)._filled(row) is not None}
    assert len(filled) >= 110
    assert filled >= {
        "qwen",
        "qwen3",
        "qwen3_5",
        "qwen3_8",
        "llama3",
        "gemma3",
        "gemma4",
        "phi4",
        "smollm2",
        "minicpm5",
    }


def test_tools_are_rendered(tiny_model: Path) -> None:
    renderer = encoder_of(tiny_model, "own").renderer
    offered: tuple[dict[str, Any], ...] = ({"type": "function", "function": {"name": "f"}},)
    assert renderer._filled(Row((Turn("user", "Q"), Turn("assistant", "A")), tools=offered)) is None
