"""Third-party Jinja without trust: transformers' dialect, sandboxed, bounded in time, loops and size."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from finetty.backend.conversation.opaque import PassedOn, parsed, passes_contents_on

LONGEST_TEMPLATE = 1 << 20
SECONDS = 5.0
LOOPS = 2_000_000
SPARE_CHARACTERS = 1_000_000
WIDEST = 10_000

UNSAFE_TEXT_METHODS = frozenset({"format", "format_map", "center", "ljust", "rjust", "zfill", "expandtabs"})
FILTERS_WITH_WIDTHS = ("center", "indent", "batch", "slice", "wordwrap", "truncate", "round", "filesizeformat")


class TemplateProblem(Exception):
    """The template cannot be compiled, or refuses or fails on a conversation; the text says why."""


class ChatTemplate:
    """A compiled chat template. `variables` are the names that it takes from outside (tools, enable_thinking …)."""

    def __init__(self, source: str, today: date | None = None) -> None:
        if len(source) > LONGEST_TEMPLATE:
            raise TemplateProblem(f"it is longer than {LONGEST_TEMPLATE} characters")
        self.source = source
        self._environment = _Sandbox(today)
        try:
            self.variables = frozenset(meta.find_undeclared_variables(self._environment.parse(source)))
            self._template = self._environment.from_string(source)
        except (jinja2.TemplateError, RecursionError, SyntaxError, ValueError, MemoryError) as error:
            raise TemplateProblem(_first_line(error)) from None

    @cached_property
    def passes_contents_on(self) -> PassedOn | None:
        """Which contents the template writes without looking at them, so that the text around them depends on the
        roles alone; None where it looks at all."""
        return passes_contents_on(parsed(self.source, [_Marks, loopcontrols]))

    @property
    def asks_for_the_date(self) -> bool:
        return "strftime_now" in self.source

    def render(self, variables: Mapping[str, Any]) -> str:
        """Raises TemplateProblem where the template refuses, fails, or exceeds its limits."""
        budget = self._environment.allow(variables)
        parts, length = [], 0
        try:
            context = self._template.new_context(dict(variables))
            for part in self._template.root_render_func(context):
                length += len(part)
                if length > budget:
                    raise TemplateProblem("its output grows without bound")
                parts.append(part)
        except TemplateProblem:
            raise
        except Exception as error:
            raise TemplateProblem(_first_line(error)) from None
        return "".join(parts)


class _Marks(Extension):
    """`{% generation %}` is read through: finetty finds the answers by rendering, marks or not."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, today: date | None) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_Marks, loopcontrols])
        self._limits = threading.local()
        self.filters["tojson"] = self._tojson
        self.filters["finetty_sized"] = self.sized
        for name in FILTERS_WITH_WIDTHS:
            self.filters[name] = _narrow(self.filters[name])
        del self.filters["format"]
        self.globals["raise_exception"] = _raise
        self.globals["strftime_now"] = lambda form: _moment(today).strftime(form)

    def allow(self, variables: Mapping[str, Any]) -> int:
        """Begin a rendering; how many characters it may put out."""
        self._limits.budget = SPARE_CHARACTERS + 4 * _weight(dict(variables), 1 << 40)
        self._limits.loops, self._limits.deadline = 0, time.monotonic() + SECONDS
        return int(self._limits.budget)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Guard().visit(tree)
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in UNSAFE_TEXT_METHODS:
            return False
        return bool(super().is_safe_attribute(obj, attr, value))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and type(left) is str and type(right) is str:
            self._check(len(left) + len(right))
            return left + right
        if operator == "*":
            self._check(_length(left) * _times(right) if _length(left) else _length(right) * _times(left))
        elif operator == "**" and (abs(left) > WIDEST or abs(right) > 16):
            raise jinja2.TemplateError("a power is too large")
        elif operator == "%" and isinstance(left, str):
            raise jinja2.TemplateError("formatting with % is not allowed")
        elif operator == "+":
            self._check(_length(left) + _length(right))
        return super().call_binop(context, operator, left, right)

    def tick(self, *values: Any) -> str:
        """Called in each turn of a loop and at the start of each macro."""
        limits = self._limits
        limits.loops += 1
        if limits.loops > LOOPS or (limits.loops % 64 == 0 and time.monotonic() > limits.deadline):
            raise jinja2.TemplateError("it runs without end")
        for value in values:
            self.sized(value)
        return ""

    def sized(self, value: Any) -> Any:
        if not isinstance(value, bool | int | float | None):
            self._check(_weight(value, self._limits.budget))
        return value

    def joined(self, *values: Any) -> str:
        """`a ~ b`."""
        texts = [str(self.sized(value)) for value in values]
        self._check(sum(map(len, texts)))
        return "".join(texts)

    def _check(self, length: int) -> None:
        if length > self._limits.budget:
            raise jinja2.TemplateError("its texts grow without bound")

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """JSON without HTML escapes, as transformers has it."""
        self.sized(value)
        if isinstance(indent, int) and indent > 64:
            raise jinja2.TemplateError("the indent is too wide")
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Guard(NodeTransformer):
    """Puts the sandbox's checks where a template can loop, recurse or grow a text."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, nodes.Output([_checked("tick", [], node.lineno)], lineno=node.lineno))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        arguments: list[nodes.Expr] = [nodes.Name(argument.name, "load", lineno=node.lineno) for argument in node.args]
        node.body.insert(0, nodes.Output([_checked("tick", arguments, node.lineno)], lineno=node.lineno))
        return node

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.node, nodes.Expr) and not isinstance(node.node, nodes.Const):
            node.node = _checked("sized", [node.node], node.lineno)
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.filter = nodes.Filter(node.filter, "finetty_sized", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _checked("joined", list(node.nodes), node.lineno)


def _checked(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=line)
    return nodes.Call(function, arguments, [], None, None, lineno=line)


def _narrow(apply: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing widths that would fill the memory; it keeps what Jinja passes to it first."""

    def narrow(*arguments: Any, **named: Any) -> Any:
        for value in (*arguments, *named.values()):
            if isinstance(value, int | float) and abs(value) > WIDEST:
                raise jinja2.TemplateError("a width is too large")
        return apply(*arguments, **named)

    narrow.__dict__.update(getattr(apply, "__dict__", {}))
    return narrow


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _times(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 1


def _weight(value: Any, limit: int) -> int:
    """Characters and items in a value, counted as often as they would be written; stops counting at the limit."""
    if type(value) is str:
        return 1 + len(value)
    waiting, weight = [value], 0
    while waiting and weight <= limit:
        item = waiting.pop()
        weight += 1
        if isinstance(item, dict):
            for key, inner in item.items():
                weight += len(key) if type(key) is str else 1
                if type(inner) is str:
                    weight += len(inner)
                elif inner is not None and type(inner) is not bool:
                    waiting.append(inner)
        elif isinstance(item, str | bytes):
            weight += len(item)
        elif isinstance(item, list | tuple | set):
            waiting.extend(item)
    return weight


def _moment(today: date | None) -> datetime:
    return datetime.combine(today, datetime.min.time()) if today else datetime.now()


def _raise(said: Any) -> None:
    raise jinja2.TemplateError(str(said))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
