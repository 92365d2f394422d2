"""The registry of conversation templates: one YAML file each in `finetty.templates`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, get_args, get_type_hints

from ruamel.yaml import YAML

from finetty.backend.conversation.sandbox import ChatTemplate
from finetty.backend.conversation.writing import LAST, OWN_TURN, SYSTEM, written
from finetty.backend.messages import Refusal, message

NO_TEMPLATE = message("conversation.no_template", "There is no template {name}.")
NEAREST = message("conversation.nearest", "Did you mean {name}?")
LIST_THEM = message("conversation.list_them", "`finetty templates` lists them; `auto` takes the model's own.")

EXAMPLE_QUESTION = "帮我写一首关于春天的诗"


class TemplateName(NamedTuple):
    name: str
    source: str
    verified: str | None


@dataclass(frozen=True)
class ToolFormat:
    """How tools are offered and called.

    `offer` holds `{{tools}}` (every `tool`, joined) or `{{names}}`; `tool` holds `{{json}}` (as it was given),
    `{{function}}` (its function's JSON), `{{name}}`, `{{description}}` or `{{written}}`; `call` holds `{{name}}`
    and `{{arguments}}`: their JSON or, where there is an `argument`, each of them by its `{{key}}` and `{{value}}`.
    """

    source: str
    offer: str
    tool: str
    call: str
    system_join: str = ""
    """Stands between the system prompt and what is offered."""
    tool_join: str = ""
    content_join: str = ""
    """Stands between what the answer says and its first call."""
    call_join: str = ""
    calls_open: str = ""
    calls_close: str = ""
    argument: str | None = None
    argument_join: str = ""
    macros: str = ""
    """Jinja: `written_tool(function)` for `{{written}}`, `written_value(value)` for `{{value}}`."""
    indent: int | None = None
    """Of the tools' JSON."""
    verified: str | None = None


@dataclass(frozen=True)
class Reasoning:
    """How a template writes what the model thinks before it answers: `open`, the reasoning, `close`, the answer."""

    open: str
    close: str
    kept: str = LAST
    """`last`: only after the last question; `all`; `none`."""
    empty: str = ""
    """Stands before an answer without reasoning, where reasoning would be written."""
    empty_everywhere: bool = False
    """Whether that is before each such answer behind the last question, or only before the last of all."""
    dropped: str = ""
    """Stands before an earlier answer, whose reasoning is not written."""
    asks: str = ""
    """Ends the generation prompt when the model is to think."""
    asks_not: str = ""
    """Ends the generation prompt when it is not."""
    on: bool = True
    """Whether the model is to think when `enable_thinking` does not say."""
    system: str = ""
    """Begins the system prompt when the model is to think."""
    system_join: str = ""
    """Stands between that and the rest of the system prompt."""
    user_not: str = ""
    """Ends a question when the model is not to think."""
    trim: str = "\n"
    """The white space that is stripped around reasoning and answer: line breaks, or `all` of it, or `none`."""


@dataclass(frozen=True)
class Media:
    """What stands in the text for an image, a video, a sound."""

    image: str = ""
    video: str = ""
    audio: str = ""


@dataclass(frozen=True)
class Template:
    """A template's slots, as its file gives them.

    `{{content}}`, `{{bos_token}}`, `{{eos_token}}` and `{{today}}` are filled in. `user` and `observation` end with
    `generation`, which asks the model for its answer. `marks` are the special tokens that the model must know;
    `models` are the `model_type`s of base models that it is meant for. A file may name another template that it
    `extends`, and say only what differs.
    """

    name: str
    source: str
    user: str
    assistant: str
    generation: str = ""
    system: str = "{{content}}"
    verified: str | None = None
    prefix: str = ""
    suffix: str = ""
    """Ends a conversation that asks for no further answer."""
    system_in: str = OWN_TURN
    """`own_turn`, or before what the `first_user` or the `last_user` says."""
    default_system: str | None = None
    default_with_tools: bool = True
    """Whether the default system prompt is also written where tools are offered."""
    function: str | None = None
    """An answer that calls tools; as `assistant` where it is not given."""
    observation: str | None = None
    """A tool's answer; as `user` where tools are known and it is not given."""
    observation_join: str = ""
    """Stands between the answers of several tools."""
    tools: str | None = None
    """The name of a tool format."""
    tools_in: str = SYSTEM
    """`system`: behind the system prompt; `before_system`: in its turn, before it; `own_turn`: in `tools_turn`, a turn
    before it; `last_user`: before the last question."""
    tools_turn: str = "{{content}}"
    last_end: str | None = None
    """Ends the last answer instead of what `assistant` ends with."""
    reasoning: Reasoning | None = None
    media: Media | None = None
    trim: bool = False
    """Whether the publisher strips white space around contents."""
    skips_empty: bool = False
    """Whether an empty answer is written without what `assistant` begins with."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; empty where the tokenizer's own end token does."""
    replace_eos: bool = False
    """Whether the first stop word becomes the tokenizer's end token."""
    efficient_eos: bool = False
    """Whether the tokenizer's end token stands only behind the last answer, where the template writes none."""
    marks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for slot in (self.user, self.observation):
            if slot is not None and not slot.endswith(self.generation):
                raise ValueError(f"template {self.name}: {slot!r} does not end with {self.generation!r}")

    def jinja(self, *, marks: bool = False, default_system: str | None = None, thinking: bool | None = None) -> str:
        """The Jinja that renders the same; with `{% generation %}` around what is learned if `marks`.

        `thinking` is what a reasoning template does when it is not told `enable_thinking`; None: as its publisher's.
        """
        tools = tool_format(self.tools) if self.tools else None
        default = self.default_system if default_system is None else default_system
        return written(self, tools, marks=marks, default_system=default, thinking=thinking)


def template_names() -> list[TemplateName]:
    """Every template with its source and where it was verified."""
    return [TemplateName(name, found.source, found.verified) for name in _names() for found in [_read(name)]]


def template_named(name: str) -> Template:
    """Raises Refusal with the nearest spelling."""
    if name not in _names():
        near = difflib.get_close_matches(name.lower(), _names(), n=1, cutoff=0.5)
        raise Refusal(NO_TEMPLATE(name=name), NEAREST(name=near[0]) if near else LIST_THEM(), option="template.name")
    return _read(name)


def template_list() -> list[dict[str, str | None]]:
    """Every template {name, source, verified}, as `finetty templates --json` prints it."""
    return [found._asdict() for found in template_names()]


def template_jinja(name: str) -> str:
    """A template's Jinja, as it is saved with a tokenizer. Raises Refusal."""
    return template_named(name).jinja()


def template_document(name: str) -> dict[str, Any]:
    """A template's slots, and a short conversation written with it. Raises Refusal."""
    template = template_named(name)
    slots = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(template).items()}
    return {**slots, "example": render_template(name)}


def render_template(name: str, question: str = EXAMPLE_QUESTION) -> str:
    """A question as the template asks it of the model, special tokens by their usual spelling. Raises Refusal."""
    template = template_named(name)
    special = special_tokens(template, {"bos_token": "<s>", "eos_token": "</s>"})
    said = [{"role": "user", "content": question}]
    return ChatTemplate(template.jinja()).render({"messages": said, "add_generation_prompt": True, **special})


def templates() -> Iterator[Template]:
    return (_read(name) for name in _names())


@cache
def _names() -> tuple[str, ...]:
    folder = files("finetty.templates")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


@cache
def _read(name: str) -> Template:
    path = f"{name}.yaml"
    return Template(name=name, **_checked(Template, path, _extended(path)))


@cache
def tool_format(name: str) -> ToolFormat:
    path = f"tool_formats/{name}.yaml"
    return ToolFormat(**_checked(ToolFormat, path, _extended(path)))


def _extended(path: str) -> dict[str, Any]:
    """The file's values over those of the file that it extends; what was verified and for whom stays its own."""
    own = _loaded(path)
    if "extends" not in own:
        return own
    folder = path.rpartition("/")[0]
    inherited = _extended(f"{folder}/{own.pop('extends')}.yaml".lstrip("/"))
    inherited.pop("models", None)
    return {**inherited, "verified": None, **own}


def _loaded(path: str) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(files("finetty.templates").joinpath(path).read_text("utf-8")))


def _checked(kind: type[Any], path: str, loaded: dict[str, Any]) -> dict[str, Any]:
    """The file's values, checked against the dataclass: a slip in a template's file is an error at once."""
    hints = get_type_hints(kind)
    slots = {}
    for key, value in loaded.items():
        allowed = tuple(part for part in (hints[key], *get_args(hints[key])) if isinstance(part, type))
        nested = next((part for part in allowed if is_dataclass(part)), None)
        if isinstance(value, dict) and nested:
            value = nested(**_checked(nested, path, value))
        elif isinstance(value, list):
            value = tuple(value)
        allowed += (tuple,) if isinstance(value, tuple) and "tuple" in str(hints[key]) else ()
        if not isinstance(value, allowed):
            raise ValueError(f"{path}: {key} cannot be {value!r}")
        slots[key] = value
    return slots


def special_tokens(template: Template, known: Mapping[str, str]) -> dict[str, str]:
    """The tokenizer's special tokens once the template is its own: a stop word may become the end token."""
    if template.replace_eos and template.stop:
        return {**known, "eos_token": template.stop[0]}
    return dict(known)
