"""Two settings side by side: where they differ once plan() has resolved both, and what each takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetty.backend.messages import Finding
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe, options, value_of


@dataclass(frozen=True)
class Setting:
    """A recipe as asked, what plan() made of it, and what was found: one thing, so that no part is another's."""

    recipe: Recipe
    plan: Plan
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Comparison:
    """`options`: (name, first value, second value), resolved; `components`: (name, bytes, bytes) of the memory's parts;
    findings that only one of them has, and those of both."""

    options: tuple[tuple[str, Any, Any], ...]
    components: tuple[tuple[str, int, int], ...]
    only_first: tuple[Finding, ...]
    only_second: tuple[Finding, ...]
    both: tuple[Finding, ...]


def compare(first: Setting, second: Setting) -> Comparison:
    mine, other = ({_key(found) for found in one.findings} for one in (first, second))
    return Comparison(
        options=tuple(_differences(first.plan.recipe, second.plan.recipe)),
        components=tuple(_components(first.plan, second.plan)),
        only_first=_those(first.findings, mine - other),
        only_second=_those(second.findings, other - mine),
        both=_those(first.findings, mine & other),
    )


def _differences(first: Recipe, second: Recipe) -> list[tuple[str, Any, Any]]:
    values = ((name, value_of(first, name), value_of(second, name)) for name in options())
    return [(name, one, other) for name, one, other in values if one != other]


def _components(first: Plan, second: Plan) -> list[tuple[str, int, int]]:
    """Parts that take something in either, in their order."""
    both = [(plan.memory.exact or plan.memory.live) for plan in (first, second)]
    parts = [dict(one.components) if one else {} for one in both]
    names = dict.fromkeys(name for part in parts for name in part)
    rows = [(name, parts[0].get(name, 0), parts[1].get(name, 0)) for name in names]
    return [row for row in rows if row[1] or row[2]]


def _key(found: Finding) -> tuple[str | None, str]:
    return (found.option, found.message.text)


def _those(findings: Sequence[Finding], keys: set[tuple[str | None, str]]) -> tuple[Finding, ...]:
    return tuple(found for found in findings if _key(found) in keys)
