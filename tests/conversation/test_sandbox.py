"""A stranger's Jinja cannot reach Python, run for ever or fill the memory; transformers' dialect works."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from finetty.backend.conversation import sandbox
from finetty.backend.conversation.sandbox import ChatTemplate, TemplateProblem

SAID: dict[str, Any] = {"messages": [{"role": "user", "content": "hi <b>&amp;"}]}

BOMBS = {
    "joined": "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "added": "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "nested": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
    "{{ n.x | tojson }}",
    "captured": "{% set n = namespace(x='aa') %}{% for i in range(60) %}"
    "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}",
    "multiplied": "{{ 'a' * 10**10 }}",
    "centred": "{{ 'a' | center(1000000000) }}",
    "formatted": "{{ '%999999999d' | format(1) }}",
    "percent": "{{ '%999999999d' % 1 }}",
    "methods": "{{ '{:>999999999}'.format(1) }}",
    "filled": "{{ 'a'.zfill(1000000000) }}",
    "recursion": "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('a') }}",
    "endless recursion": "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m('a') }}",
    "output": "{% for i in range(99999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
    "batch": "{{ [1] | batch(1000000000, 'x') | list }}",
}

ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ messages.append(1) }}",
    "{{ raise_exception.__globals__.os }}",
    "{{ tick() }}{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    with pytest.raises(TemplateProblem):
        ChatTemplate(BOMBS[name]).render(SAID)


def test_endless_loops_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.2)
    loops = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateProblem, match="without end"):
        ChatTemplate(loops).render(SAID)


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_outside_is_reached(source: str) -> None:
    with pytest.raises(TemplateProblem):
        ChatTemplate(source).render(SAID)


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{", "{% for x in %}", "{{ x | nosuchfilter }}", "(" * 9 + "{{" + "(" * 5000]
)
def test_broken_jinja_is_a_problem_with_a_reason(source: str) -> None:
    with pytest.raises(TemplateProblem) as problem:
        ChatTemplate(source)
    assert str(problem.value)


def test_a_huge_template_is_refused() -> None:
    with pytest.raises(TemplateProblem):
        ChatTemplate(" " * (sandbox.LONGEST_TEMPLATE + 1))


def test_the_templates_own_refusal_is_told() -> None:
    with pytest.raises(TemplateProblem, match="roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}").render(SAID)


def test_transformers_dialect() -> None:
    template = ChatTemplate(
        "{% for m in messages %}\n  {% if loop.index > 9 %}{% break %}{% endif %}\n"
        "{{ m | tojson }}{{ strftime_now('%d %b %Y') }}{% generation %}!{% endgeneration %}\n{% endfor %}",
        today=date(2026, 11, 24),
    )
    assert template.render(SAID) == '{"role": "user", "content": "hi <b>&amp;"}24 Nov 2026!'
    assert template.asks_for_the_date


def test_knows_which_names_come_from_outside() -> None:
    template = ChatTemplate("{% if enable_thinking %}{{ messages[0].content }}{% endif %}{% set x = 1 %}{{ x }}")
    assert template.variables >= {"enable_thinking", "messages"}
    assert "x" not in template.variables


def test_long_rows_are_no_bombs() -> None:
    long = {"messages": [{"role": "user", "content": "word " * 1_000_000}]}
    text = ChatTemplate("{% for m in messages %}{% set c = m.content | trim %}{{ c + '!' }}{% endfor %}").render(long)
    assert len(text) == 5_000_000
