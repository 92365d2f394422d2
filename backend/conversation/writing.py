"""A registry template's slots as Jinja."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetty.backend.conversation.registry import Media, Reasoning, Template, ToolFormat

OWN_TURN, FIRST_USER, LAST_USER = "own_turn", "first_user", "last_user"
SYSTEM, BEFORE_SYSTEM = "system", "before_system"
LAST, ALL, NONE = "last", "all", "none"

FILLED = {"bos_token": "bos_token", "eos_token": "eos_token", "today": "strftime_now('%Y-%m-%d')"}

_SLOT = re.compile(r"\{\{(\w+)\}\}")


class _Raw(str):
    """Jinja as it stands; a plain text is a statement without its braces."""


def written(
    template: Template, tools: ToolFormat | None, *, marks: bool, default_system: str | None, thinking: bool | None
) -> str:
    """The template's Jinja; with `{% generation %}` around what is learned if `marks`."""
    lines = [
        *_macros(template, tools),
        f"set system = {_default(template, default_system)}",
        "if messages and messages[0]['role'] == 'system'",
        f"set system = {_content(template, 'messages[0]')}",
        "set messages = messages[1:]",
        "endif",
        *_places(template, thinking),
        _Raw(_fill(template.prefix)),
        *_opening(template, tools),
        "for message in messages",
        "if message['role'] == 'user'",
        *_user(template, tools),
        "elif message['role'] == 'assistant'",
        *_assistant(template, tools, marks),
        *_observation(template),
        "else",
        _Raw("{{- raise_exception('This template has no role ' ~ message['role']) -}}"),
        "endif",
        "endfor",
        "if add_generation_prompt",
        *_asking(template),
        *(["else", _Raw(_fill(template.suffix))] if template.suffix else []),
        "endif",
    ]
    return "\n".join(line if isinstance(line, _Raw) else f"{{%- {line} -%}}" for line in lines if line)


def _default(template: Template, default_system: str | None) -> str:
    if default_system is None:
        return "none"
    return _literal(default_system) + ("" if template.default_with_tools else " if not tools else none")


def _macros(template: Template, tools: ToolFormat | None) -> Iterator[str]:
    if tools and tools.macros:
        yield _Raw(tools.macros.strip())
    if template.media:
        yield from _media(template.media)


def _media(media: Media) -> Iterator[str]:
    """A content is a text, or a list of parts: texts and media."""
    yield "macro said(content)"
    yield "if content is string"
    yield _Raw("{{- content -}}")
    yield "else"
    yield "for part in content or []"
    yield "if part['text'] is defined"
    yield _Raw("{{- part['text'] -}}")
    for kind, placeholder in (("image", media.image), ("video", media.video), ("audio", media.audio)):
        if placeholder:
            yield f"elif part['type'] in ('{kind}', '{kind}_url', 'input_{kind}')"
            yield _Raw(_fill(placeholder))
    yield "endif"
    yield "endfor"
    yield "endif"
    yield "endmacro"


def _places(template: Template, thinking: bool | None) -> Iterator[str]:
    """What later turns are judged by: the last question's place, and whether the model is to think."""
    reasoning = template.reasoning
    if reasoning and _has_switch(reasoning):
        on = reasoning.on if thinking is None else thinking
        yield f"set thinks = enable_thinking if enable_thinking is defined else {'true' if on else 'false'}"
    if (reasoning and reasoning.kept == LAST) or LAST_USER in (template.tools_in, template.system_in):
        yield "set question = namespace(last=-1)"
        yield "for message in messages"
        yield "if message['role'] == 'user'"
        yield "set question.last = loop.index0"
        yield "endif"
        yield "endfor"


def _has_switch(reasoning: Reasoning) -> bool:
    return reasoning.asks != reasoning.asks_not or bool(reasoning.system)


def _opening(template: Template, tools: ToolFormat | None) -> Iterator[str]:
    """What stands before the first turn: the system prompt and the tools."""
    if tools and template.tools_in == OWN_TURN:
        opening, _, closing = template.tools_turn.partition("{{content}}")
        yield "if tools"
        yield _Raw(_fill(opening))
        yield from _offer(tools)
        yield _Raw(_fill(closing))
        yield "endif"
    if tools and template.tools_in in (SYSTEM, BEFORE_SYSTEM):
        yield "if tools"
        yield "set offered"
        yield from _offer(tools)
        yield "endset"
        joined = _literal(tools.system_join)
        if template.tools_in == SYSTEM:
            yield f"set system = (system ~ {joined} if system else '') ~ offered"
        else:
            yield f"set system = offered ~ ({joined} ~ system if system else '')"
        yield "endif"
    if template.reasoning and template.reasoning.system:
        yield "if thinks"
        begins, joined = _literal(template.reasoning.system), _literal(template.reasoning.system_join)
        yield f"set system = {begins} ~ ({joined} ~ system if system else '')"
        yield "endif"
    if template.system_in == OWN_TURN:
        yield "if system is not none"
        yield _Raw(_fill(template.system, content="system"))
        yield "endif"


def _offer(tools: ToolFormat) -> Iterator[str]:
    before, names, after = tools.offer.partition("{{names}}")
    yield from _offered_tools(tools, before)
    if names:
        yield "for tool in tools"
        yield "if not loop.first"
        yield _Raw(_fill(", "))
        yield "endif"
        yield _Raw("{{- (tool['function'] or tool)['name'] -}}")
        yield "endfor"
        yield from _offered_tools(tools, after)


def _offered_tools(tools: ToolFormat, text: str) -> Iterator[str]:
    before, here, after = text.partition("{{tools}}")
    yield _Raw(_fill(before))
    if here:
        as_json = "tojson" if tools.indent is None else f"tojson(indent={tools.indent})"
        yield "for tool in tools"
        yield "set function = tool['function'] or tool"
        if tools.tool_join:
            yield "if not loop.first"
            yield _Raw(_fill(tools.tool_join))
            yield "endif"
        yield _Raw(
            _fill(
                tools.tool,
                json=f"tool | {as_json}",
                function=f"function | {as_json}",
                name="function['name']",
                description="function['description'] or ''",
                written="written_tool(function)",
            )
        )
        yield "endfor"
        yield _Raw(_fill(after))


def _user(template: Template, tools: ToolFormat | None) -> Iterator[str]:
    slot = template.user.removesuffix(template.generation)
    content = _content(template, "message")
    if tools and template.tools_in == LAST_USER:
        yield "if tools and loop.index0 == question.last"
        yield from _offer(tools)
        yield "endif"
    opening, _, closing = slot.partition("{{content}}")
    if template.system_in != OWN_TURN:
        yield _Raw(_fill(opening))
        here = "loop.first" if template.system_in == FIRST_USER else "loop.index0 == question.last"
        yield f"if {here} and system is not none"
        yield _Raw(_fill(template.system, content="system"))
        yield "endif"
        yield _Raw(f"{{{{- {content} -}}}}")
    else:
        yield _Raw(_fill(opening) + f"{{{{- {content} -}}}}")
    if template.reasoning and template.reasoning.user_not:
        yield "if not thinks"
        yield _Raw(_fill(template.reasoning.user_not))
        yield "endif"
    yield _Raw(_fill(closing))


def _assistant(template: Template, tools: ToolFormat | None, marks: bool) -> Iterator[str]:
    answer, _, behind = template.assistant.partition("{{content}}")
    ending, newline = _end(behind)
    yield _Raw(_fill(template.generation))
    if marks:
        yield _Raw("{% generation -%}")
    yield f"set content = {_content(template, 'message', spare=True)}"
    if template.reasoning:
        yield from _thought(template.reasoning)
    said = _Raw(_fill(answer) + "{{- content -}}")
    end = _Raw(_fill(ending))
    if template.last_end is not None:
        last = f"{{{{- {_literal(template.last_end)} if loop.last else {_literal(ending)} -}}}}"
        end = _Raw(last)
    if tools and template.function:
        calling, _, behind = template.function.partition("{{content}}")
        yield "if message['tool_calls'] is defined and message['tool_calls']"
        yield from _where_not_empty(said)
        yield _Raw(_fill(calling))
        yield from _calls(tools)
        yield _Raw(_fill(behind.rstrip("\n ")))
        yield "else"
        yield from _where_not_empty(said) if template.skips_empty else [said]
        yield end
        yield "endif"
    else:
        yield from _where_not_empty(said) if template.skips_empty else [said]
        if tools:
            yield "if message['tool_calls'] is defined and message['tool_calls']"
            yield from _calls(tools)
            yield "endif"
        yield end
    if marks:
        yield _Raw("{%- endgeneration -%}")
    yield _Raw(_fill(newline))


def _where_not_empty(said: _Raw) -> Iterator[str]:
    yield "if content"
    yield said
    yield "endif"


def _end(behind: str) -> tuple[str, str]:
    """What follows an answer, in two: the end token, which is learned, and the white space behind it."""
    ending = behind.rstrip("\n ")
    return ending, behind[len(ending) :]


def _thought(reasoning: Reasoning) -> Iterator[str]:
    """The reasoning before an answer: from the message, or taken out of its content."""
    opened, closed = _literal(reasoning.open.strip()), _literal(reasoning.close.strip())
    breaks = {ALL: "", NONE: None}.get(reasoning.trim, "'\\n'")
    bare = "content" if breaks is None else f"content.lstrip({breaks})"
    yield "set thought = message['reasoning_content'] or ''"
    yield f"if not thought and {closed} in content"
    yield f"set thought = content.split({closed})[0].split({opened})[-1]"
    yield f"set content = {bare.replace('content', f'content.split({closed})[-1]')}"
    yield "endif"
    if breaks is not None:
        yield f"set thought = thought.strip({breaks})"
    if reasoning.trim == ALL:
        yield "set content = content.strip()"
    behind = "loop.index0 > question.last" if reasoning.kept == LAST else "true"
    if reasoning.kept == NONE:
        yield "if false"
    else:
        yield f"if thought and {behind}"
    yield _Raw(f"{_fill(reasoning.open)}{{{{- thought -}}}}{_fill(reasoning.close)}")
    yield f"set content = {bare}"
    if reasoning.empty:
        yield f"elif {behind}{'' if reasoning.empty_everywhere else ' and loop.last'}"
        yield _Raw(_fill(reasoning.empty))
        yield f"set content = {bare}"
    if reasoning.dropped:
        yield "else"
        yield _Raw(_fill(reasoning.dropped))
    yield "endif"


def _calls(tools: ToolFormat) -> Iterator[str]:
    if tools.content_join:
        yield "if content"
        yield _Raw(_fill(tools.content_join))
        yield "endif"
    yield _Raw(_fill(tools.calls_open))
    yield "for call in message['tool_calls']"
    yield "set function = call['function'] if call['function'] is defined else call"
    if tools.call_join:
        yield "if not loop.first"
        yield _Raw(_fill(tools.call_join))
        yield "endif"
    before, here, after = tools.call.partition("{{arguments}}")
    yield _Raw(_fill(before, name="function['name']"))
    if here:
        yield from _arguments(tools)
    yield _Raw(_fill(after, name="function['name']"))
    yield "endfor"
    yield _Raw(_fill(tools.calls_close))


def _arguments(tools: ToolFormat) -> Iterator[str]:
    if tools.argument is None:
        yield _Raw(
            "{{- function['arguments'] if function['arguments'] is string else function['arguments'] | tojson -}}"
        )
        return
    value = "written_value(value)" if tools.macros else "value if value is string else value | tojson"
    yield "for key, value in function['arguments'].items()"
    if tools.argument_join:
        yield "if not loop.first"
        yield _Raw(_fill(tools.argument_join))
        yield "endif"
    yield _Raw(_fill(tools.argument, key="key", value=value))
    yield "endfor"


def _observation(template: Template) -> Iterator[str]:
    slot = template.observation or (template.user if template.tools else None)
    if slot is None:
        return
    opening, _, closing = slot.removesuffix(template.generation).partition("{{content}}")
    content = _content(template, "message") if template.media else "message['content']"
    yield "elif message['role'] == 'tool'"
    if not template.observation_join:
        yield _Raw(_fill(opening) + f"{{{{- {content} -}}}}" + _fill(closing))
        return
    yield "if loop.first or loop.previtem['role'] != 'tool'"
    yield _Raw(_fill(opening))
    yield "else"
    yield _Raw(_fill(template.observation_join))
    yield "endif"
    yield _Raw(f"{{{{- {content} -}}}}")
    yield "if loop.last or loop.nextitem['role'] != 'tool'"
    yield _Raw(_fill(closing))
    yield "endif"


def _asking(template: Template) -> Iterator[str]:
    yield _Raw(_fill(template.generation))
    reasoning = template.reasoning
    if reasoning is None:
        return
    if not _has_switch(reasoning):
        yield _Raw(_fill(reasoning.asks))
        return
    yield "if thinks"
    yield _Raw(_fill(reasoning.asks))
    yield "else"
    yield _Raw(_fill(reasoning.asks_not))
    yield "endif"


def _content(template: Template, turn: str, *, spare: bool = False) -> str:
    """The turn's content as an expression; `spare`: it may be missing, as it is where tools are called."""
    content = f"said({turn}['content'])" if template.media else f"{turn}['content']"
    if template.trim:
        return f"({content} or '') | trim"
    return f"({content} or '')" if spare else content


def _fill(slot: str, **names: str) -> str:
    """The slot as Jinja: literals as quoted texts, so that no white space is the template's to interpret."""
    names = {**FILLED, **names}
    parts = _SLOT.split(slot)
    filled = [f"{{{{- {_literal(part)} -}}}}" for part in parts]
    for index in range(1, len(parts), 2):
        filled[index] = f"{{{{- {names[parts[index]]} -}}}}"
    return "".join(text for text, part in zip(filled, parts, strict=True) if part)


def _literal(text: str) -> str:
    """A Jinja string literal; JSON's escapes are a subset of the ones that Jinja reads."""
    inner = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"
