"""The registry of conversation templates: one YAML file each in `finetty.templates`, and their Jinja."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, get_args, get_type_hints

from ruamel.yaml import YAML

from finetty.backend.conversation.sandbox import ChatTemplate
from finetty.backend.messages import Refusal, message

NO_TEMPLATE = message("conversation.no_template", "There is no template {name}.")
NEAREST = message("conversation.nearest", "Did you mean {name}?")
LIST_THEM = message("conversation.list_them", "`finetty templates` lists them; `auto` takes the model's own.")

EXAMPLE_QUESTION = "帮我写一首关于春天的诗"
OWN_TURN, FIRST_USER = "own_turn", "first_user"


class TemplateName(NamedTuple):
    name: str
    source: str
    verified: str | None


@dataclass(frozen=True)
class ToolFormat:
    """How tools are offered and called: `offer` holds {{tools}}, `tool` {{json}}, `call` {{name}} and {{arguments}}."""

    source: str
    offer: str
    tool: str
    call: str
    call_join: str = ""
    verified: str | None = None


@dataclass(frozen=True)
class Template:
    """A template's slots, as its file gives them. `{{content}}`, `{{bos_token}}` and `{{eos_token}}` are filled in.

    `user` and `observation` end with `generation`, which asks the model for its answer. `marks` are the special
    tokens that the model must know; `models` are the `model_type`s of base models that it is meant for.
    """

    name: str
    source: str
    user: str
    assistant: str
    generation: str
    system: str
    verified: str | None = None
    prefix: str = ""
    suffix: str = ""
    """Ends a conversation that asks for no further answer."""
    system_in: str = OWN_TURN
    default_system: str | None = None
    function: str | None = None
    observation: str | None = None
    observation_join: str = ""
    """Stands between the answers of several tools."""
    tools: str | None = None
    """The name of a tool format."""
    trim: bool = False
    """Whether the publisher strips white space around contents."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; empty where the tokenizer's own end token does."""
    replace_eos: bool = False
    """Whether the first stop word becomes the tokenizer's end token."""
    marks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for slot in (self.user, self.observation):
            if slot is not None and not slot.endswith(self.generation):
                raise ValueError(f"template {self.name}: {slot!r} does not end with {self.generation!r}")

    def jinja(self, *, marks: bool = False, default_system: str | None = None) -> str:
        """The Jinja that renders the same; with `{% generation %}` around what is learned if `marks`."""
        return _jinja(self, marks, default_system or self.default_system)


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
    return Template(name=name, **_slots(Template, f"{name}.yaml"))


@cache
def tool_format(name: str) -> ToolFormat:
    return ToolFormat(**_slots(ToolFormat, f"tool_formats/{name}.yaml"))


def _slots(kind: type[Any], path: str) -> dict[str, Any]:
    """The file's values, checked against the dataclass: a slip in a template's file is an error at once."""
    loaded = YAML(typ="safe", pure=True).load(files("finetty.templates").joinpath(path).read_text("utf-8"))
    slots = {key: tuple(value) if isinstance(value, list) else value for key, value in loaded.items()}
    hints = get_type_hints(kind)
    for key, value in slots.items():
        allowed = tuple(part for part in (hints[key], *get_args(hints[key])) if isinstance(part, type))
        allowed += (tuple,) if isinstance(value, tuple) and "tuple" in str(hints[key]) else ()
        if not isinstance(value, allowed):
            raise ValueError(f"{path}: {key} cannot be {value!r}")
    return slots


_SLOT = re.compile(r"\{\{(\w+)\}\}")


def _jinja(template: Template, marks: bool, default_system: str | None) -> str:
    tools = tool_format(template.tools) if template.tools else None
    lines = [
        f"set system = {_literal(default_system)}" if default_system else "set system = none",
        "if messages and messages[0]['role'] == 'system'",
        f"set system = {_trimmed(template, 'messages[0]')}",
        "set messages = messages[1:]",
        "endif",
        _Raw(_fill(template.prefix)),
        *_opening(template, tools),
        "for message in messages",
        "if message['role'] == 'user'",
        *_user(template),
        "elif message['role'] == 'assistant'",
        *_assistant(template, tools, marks),
        *_observation(template),
        "else",
        _Raw("{{- raise_exception('This template has no role ' ~ message['role']) -}}"),
        "endif",
        "endfor",
        "if add_generation_prompt",
        _Raw(_fill(template.generation)),
        *(["else", _Raw(_fill(template.suffix))] if template.suffix else []),
        "endif",
    ]
    return "\n".join(line if isinstance(line, _Raw) else f"{{%- {line} -%}}" for line in lines if line)


class _Raw(str):
    """Jinja as it stands; a plain text is a statement without its braces."""


def _opening(template: Template, tools: ToolFormat | None) -> Iterator[str]:
    """What stands before the first turn: the system prompt and the tools."""
    if template.system_in == FIRST_USER:
        return
    if tools is None:
        yield "if system is not none"
        yield _Raw(_fill(template.system, content="system"))
        yield "endif"
        return
    before, _, after = tools.offer.partition("{{tools}}")
    opening, _, closing = template.system.partition("{{content}}")
    yield "if tools or system is not none"
    yield _Raw(_fill(opening))
    yield _Raw("{{- system or '' -}}")
    yield "if tools"
    yield _Raw(_fill(before))
    yield "for tool in tools"
    yield _Raw(_fill(tools.tool, json="tool | tojson"))
    yield "endfor"
    yield _Raw(_fill(after))
    yield "endif"
    yield _Raw(_fill(closing))
    yield "endif"


def _user(template: Template) -> Iterator[str]:
    slot = template.user.removesuffix(template.generation)
    content = _trimmed(template, "message")
    if template.system_in == FIRST_USER:
        opening, _, closing = slot.partition("{{content}}")
        yield _Raw(_fill(opening))
        yield "if loop.first and system is not none"
        yield _Raw(_fill(template.system, content="system"))
        yield "endif"
        yield _Raw(f"{{{{- {content} -}}}}" + _fill(closing))
    else:
        yield _Raw(_fill(slot, content=content))


def _assistant(template: Template, tools: ToolFormat | None, marks: bool) -> Iterator[str]:
    answer, _, behind = template.assistant.partition("{{content}}")
    ending, newline = _end(behind)
    yield _Raw(_fill(template.generation))
    if marks:
        yield _Raw("{% generation -%}")
    content = _trimmed(template, "message") if template.trim else "message['content'] or ''"
    yield _Raw(_fill(answer) + "{{- " + content + " -}}")
    if tools:
        yield from _calls(tools)
    yield _Raw(_fill(ending) + ("{%- endgeneration -%}" if marks else ""))
    yield _Raw(_fill(newline))


def _end(behind: str) -> tuple[str, str]:
    """What follows an answer, in two: the end token, which is learned, and the white space behind it."""
    ending = behind.rstrip("\n ")
    return ending, behind[len(ending) :]


def _calls(tools: ToolFormat) -> Iterator[str]:
    yield "if message['tool_calls'] is defined and message['tool_calls']"
    yield "for call in message['tool_calls']"
    yield "set function = call['function'] if call['function'] is defined else call"
    yield "if not loop.first or message['content']"
    yield _Raw(_fill(tools.call_join))
    yield "endif"
    yield _Raw(_fill(tools.call, name="function['name']", arguments="function['arguments'] | tojson"))
    yield "endfor"
    yield "endif"


def _observation(template: Template) -> Iterator[str]:
    if template.observation is None:
        return
    opening, _, closing = template.observation.removesuffix(template.generation).partition("{{content}}")
    yield "elif message['role'] == 'tool'"
    if not template.observation_join:
        yield _Raw(_fill(opening) + "{{- message['content'] -}}" + _fill(closing))
        return
    yield "if loop.first or loop.previtem['role'] != 'tool'"
    yield _Raw(_fill(opening))
    yield "else"
    yield _Raw(_fill(template.observation_join))
    yield "endif"
    yield _Raw("{{- message['content'] -}}")
    yield "if loop.last or loop.nextitem['role'] != 'tool'"
    yield _Raw(_fill(closing))
    yield "endif"


def _trimmed(template: Template, turn: str) -> str:
    return f"({turn}['content'] or '') | trim" if template.trim else f"{turn}['content']"


def _fill(slot: str, **names: str) -> str:
    """The slot as Jinja: literals as quoted texts, so that no white space is the template's to interpret."""
    names = {"bos_token": "bos_token", "eos_token": "eos_token", **names}
    parts = _SLOT.split(slot)
    filled = [f"{{{{- {_literal(part)} -}}}}" for part in parts]
    for index in range(1, len(parts), 2):
        filled[index] = f"{{{{- {names[parts[index]]} -}}}}"
    return "".join(text for text, part in zip(filled, parts, strict=True) if part)


def _literal(text: str) -> str:
    """A Jinja string literal; JSON's escapes are a subset of the ones that Jinja reads."""
    inner = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"


def special_tokens(template: Template, known: Mapping[str, str]) -> dict[str, str]:
    """The tokenizer's special tokens once the template is its own: a stop word may become the end token."""
    if template.replace_eos and template.stop:
        return {**known, "eos_token": template.stop[0]}
    return dict(known)
