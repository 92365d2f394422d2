"""The options of a recipe as a flat list: what a form field, `--set` and a help page need to know of each."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from io import StringIO
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.recipe.schema import DataFile, Recipe

NO_SUCH_OPTION = message("recipe.no_such_option", "There is no option {name}.")
NEAREST = message("recipe.nearest", "Did you mean {name}?")
SEE_OPTIONS = message("recipe.see_options", "The options are listed in the README and in the wizard's settings.")
NOT_AN_ASSIGNMENT = message("recipe.not_an_assignment", "{text} is not of the form option=value.")
EXAMPLE_ASSIGNMENT = message("recipe.example_assignment", "Write, for example, training.epochs=3.")
EITHER = message("recipe.either", "{first} or {last}")
WORDS = message("recipe.words", "{words}")
WHOLE_NUMBER = message("recipe.whole_number", "a whole number")
NUMBER = message("recipe.number", "a number")
TEXT = message("recipe.text", "a text")
TRUE_OR_FALSE = message("recipe.true_or_false", "true or false")
LIST = message("recipe.list", "a list")
MAPPING = message("recipe.mapping", "a mapping")
LIMITED = message("recipe.limited", "{noun} {limit}")
AT_LEAST = message("recipe.at_least", "at least {bound}")
ABOVE = message("recipe.above", "above {bound}")
AT_MOST = message("recipe.at_most", "at most {bound}")
BELOW = message("recipe.below", "below {bound}")
BETWEEN = message("recipe.between", "from {low} to {high}")
WRONG_VALUE = message("recipe.wrong_value", "{name} cannot be {value}: expected {expected}.")


@dataclass(frozen=True)
class Option:
    """One option: `name` is dotted ("method.rank"), `expected` says in words what it takes."""

    name: str
    help: str
    annotation: Any
    default: Any
    llamafactory: str | None
    advanced: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it takes, `auto` among them; empty where any text or number will do."""
        return tuple(_literals(self.annotation))

    @property
    def only_choices(self) -> bool:
        """Whether it takes nothing but one of the words."""
        return all(get_origin(part) is Literal for part in _parts(self.annotation))

    @property
    def boolean(self) -> bool:
        return bool in _parts(self.annotation)

    @property
    def text_only(self) -> bool:
        """Whether it is a text and nothing else, so that what is typed is no YAML: `# 1: be kind` is a prompt."""
        kinds = {get_origin(part) or part for part in _parts(_bare(self.annotation))}
        return kinds <= {str, type(None)} and str in kinds

    @property
    def expected(self) -> Message:
        """What it takes, in words."""
        words = list(dict.fromkeys(self.choices))
        kinds = [part for part in _parts(self.annotation) if get_origin(part) is not Literal]
        described = ([WORDS(words=", ".join(words))] if words else []) + _distinct(map(_in_words, kinds))
        return reduce(lambda first, last: EITHER(first=first, last=last), described)

    def check(self, value: Any) -> Any:
        """The value as the recipe keeps it. Raises Refusal, naming the option and what it takes."""
        try:
            return _adapter(self.name).validate_python(value)
        except ValidationError as error:
            raise self._refusal(value, error) from None

    def _refusal(self, value: Any, error: ValidationError) -> Refusal:
        """Names the part at fault where the value is a list or a mapping: `dataset.train.0.weight`."""
        problem = error.errors()[0]
        place = [part for part in problem["loc"] if isinstance(part, int) or part in DataFile.model_fields]
        if not place or not isinstance(value, list):
            return Refusal(WRONG_VALUE(name=self.name, value=_shown(value), expected=self.expected), option=self.name)
        name = ".".join(map(str, (self.name, *place)))
        said = WRONG_VALUE(name=name, value=_shown(problem["input"]), expected=WORDS(words=problem["msg"]))
        return Refusal(said, option=self.name)

    def parse(self, text: str) -> Any:
        """The value that a person typed, read as YAML unless it is a text. Raises Refusal."""
        return self.check(text if self.text_only and text.strip() != "null" else _scalar(text))


@cache
def options() -> dict[str, Option]:
    """Every option by its dotted name, in the recipe's order."""
    return {found.name: found for found in _walk(Recipe, "")}


def option_named(name: str) -> Option:
    """Raises Refusal with the nearest spelling."""
    if name not in options():
        near = difflib.get_close_matches(name, options(), n=1)
        raise Refusal(NO_SUCH_OPTION(name=name), NEAREST(name=near[0]) if near else SEE_OPTIONS(), option=name)
    return options()[name]


def value_of(recipe: Recipe, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(recipe, section), key)


def with_values(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """A new recipe with these options changed; what is not changed is shared with the old recipe.

    Raises Refusal where one does not take its value.
    """
    sections: dict[str, BaseModel] = {}
    for name, value in values.items():
        section, key = name.split(".")
        found = option_named(name)
        if section not in sections:
            sections[section] = getattr(recipe, section).model_copy()
        setattr(sections[section], key, found.check(value))
    return recipe.model_copy(update=sections)


def with_assignments(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """A new recipe with `option=value` texts applied, as `--set` takes them. Raises Refusal."""
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise Refusal(NOT_AN_ASSIGNMENT(text=text), EXAMPLE_ASSIGNMENT())
        values[name.strip()] = option_named(name.strip()).parse(value)
    return with_values(recipe, values)


def nearest(wrong: str, right: Sequence[str]) -> Message | None:
    near = difflib.get_close_matches(wrong, right, n=1, cutoff=0.5)
    return NEAREST(name=near[0]) if near else None


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    from pydantic import ConfigDict

    annotation = options()[name].annotation
    if any(isinstance(part, type) and issubclass(part, BaseModel) for part in _models(annotation)):
        return TypeAdapter(annotation)
    return TypeAdapter(annotation, config=ConfigDict(strict=True))


def _models(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _walk(section: type[BaseModel], prefix: str) -> Iterator[Option]:
    for key, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, f"{prefix}{key}.")
        elif prefix:
            yield _option(f"{prefix}{key}", info)


def _option(name: str, info: FieldInfo) -> Option:
    extra: Any = info.json_schema_extra or {}
    annotation: Any = info.annotation
    if info.metadata:
        from typing import Annotated

        annotation = Annotated[(info.annotation, *info.metadata)]
    return Option(
        name, info.description or "", annotation, info.default, extra.get("llamafactory"), bool(extra.get("advanced"))
    )


def _parts(annotation: Any) -> Iterator[Any]:
    """The alternatives of a union, one by one; Annotated ones keep their limits."""
    if get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def _bare(annotation: Any) -> Any:
    """The annotation without Annotated's limits, each alternative too."""
    if hasattr(annotation, "__metadata__"):
        return _bare(get_args(annotation)[0])
    parts = list(_parts(annotation))
    if len(parts) == 1:
        return annotation
    return Union[tuple(_bare(part) for part in parts)]  # noqa: UP007 - the alternatives are only known here


def _literals(annotation: Any) -> Iterator[str]:
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            yield from (str(word) for word in get_args(part))


_LIMITS = {"ge": AT_LEAST, "gt": ABOVE, "le": AT_MOST, "lt": BELOW}
_NOUNS = {int: WHOLE_NUMBER(), float: NUMBER(), str: TEXT(), bool: TRUE_OR_FALSE(), type(None): WORDS(words="null")}
_NOUNS |= {list: LIST(), dict: MAPPING()}


def _distinct(messages: Iterable[Message]) -> list[Message]:
    return list({said.text: said for said in messages}.values())


def _in_words(part: Any) -> Message:
    limits: list[Message] = []
    if hasattr(part, "__metadata__"):
        limits, part = list(_limits(part.__metadata__)), get_args(part)[0]
    noun = _NOUNS[get_origin(part) or part]
    return noun if part is str else reduce(lambda said, limit: LIMITED(noun=said, limit=limit), limits, noun)


def _limits(metadata: Sequence[Any]) -> Iterator[Message]:
    constraints = [one for item in metadata for one in getattr(item, "metadata", [item])]
    bounds = {key: getattr(one, key) for key in _LIMITS for one in constraints if hasattr(one, key)}
    if {"ge", "le"} <= bounds.keys():
        yield BETWEEN(low=bounds.pop("ge"), high=bounds.pop("le"))
    for key, bound in bounds.items():
        yield _LIMITS[key](bound=bound)


def _scalar(text: str) -> Any:
    try:
        value = YAML(typ="safe", pure=True).load(StringIO(text))
    except YAMLError:
        return text
    return _float_if_written_so(text, value)


def _float_if_written_so(text: str, value: Any) -> Any:
    """YAML 1.2 reads 2e-4 as a text; a person means the number."""
    if isinstance(value, str):
        try:
            return float(value) if value.strip().lower() not in {"nan", "inf", "-inf", "infinity"} else value
        except ValueError:
            return value
    return value


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
