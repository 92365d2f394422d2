"""load_encoder(): the model's tokenizer, the template that the recipe asks for, and what is odd about the pair."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from finetty.backend.conversation.encoder import Encoder
from finetty.backend.conversation.registry import Template, special_tokens, template_named, templates
from finetty.backend.conversation.rendering import OPEN_THINKING, THINKING_NAMES, Renderer, RowProblem
from finetty.backend.conversation.rows import Row, Turn
from finetty.backend.conversation.sandbox import ChatTemplate, TemplateProblem
from finetty.backend.conversation.tokenizer import ModelTokenizer, read_tokenizer
from finetty.backend.messages import Finding, Message, Refusal, message
from finetty.backend.recipe import Recipe

OWN = message("conversation.own", "the model's own template, which it was tuned with")
ASKED = message("conversation.asked", "you asked for it")
FOR_FAMILY = message(
    "conversation.for_family", "the model brings no template; its family {family} is written with this one"
)
FOR_MARKS = message("conversation.for_marks", "the model brings no template, but it knows this one's special tokens")
PLAIN = message("conversation.plain", "the model brings no template; this one is plain text, which any model can read")
OWN_NAME = "own"
NO_OWN = message("conversation.no_own", "The model brings no template of its own.")

BROKEN_TEMPLATE = message("conversation.broken_template", "The model's own template cannot be used: {reason}.")
LOSES_TEXT = message("conversation.loses_text", "it does not write what the user or the assistant says")
CHOOSE_ANOTHER = message("conversation.choose_another", "Choose one of the registry, for example chatml.")
NO_STOP = message(
    "conversation.no_stop", "An answer of the template {name} has no end token, so the model would not learn to stop."
)
CLOSED = message(
    "conversation.closed",
    "This template writes nothing behind an answer; finetty ends it with {token}, which begins the next turn.",
)
STOP_IN_PIECES = message(
    "conversation.stop_in_pieces",
    "The end of an answer, {token}, is no token of this model: it is learned as {count} ordinary tokens.",
)
UNTRAINED_MARKS = message(
    "conversation.untrained_marks",
    "The special tokens {tokens} were probably never trained in this base model, and LoRA leaves them as they are.",
)
TRAIN_THEM = message(
    "conversation.train_them", "Choose the template default, which is plain text, or tune the whole model."
)
UNKNOWN_MARKS = message(
    "conversation.unknown_marks", "This model has no tokens {tokens}: the template's marks become ordinary text."
)
ANOTHER_THAN_OWN = message(
    "conversation.another_than_own", "The model was tuned with its own template, and {name} is another."
)
TAKE_AUTO_INSTEAD = message("conversation.take_auto_instead", "Take template auto, or one of the registry.")
TAKE_AUTO = message("conversation.take_auto", "Take template auto, unless you mean it.")
PAD_ENDS = message(
    "conversation.pad_ends",
    "The padding token is the end token. finetty masks padding by position, so the end is still learned; "
    "other programs may mask every {token}.",
)
FOLDED_SYSTEM = message(
    "conversation.folded_system",
    "This template has no place for a system prompt: it is put before the first question.",
)
ASKS_FOR_DATE = message(
    "conversation.asks_for_date",
    "This template writes the date into every row: {date} is taken, and the exported template keeps it.",
)
DOUBLED_BOS = message("conversation.doubled_bos", "The template writes the begin token {token} twice.")

ASKING_FOR_DATE = re.compile(r"""\bstrftime_now\(\s*(?P<quote>['"])(?P<form>[^'"\\]*)(?P=quote)\s*\)""")
_SYSTEM, _QUESTION, _ANSWER = "finettysystem", "finettyquestion", "finettyanswer"


def load_encoder(folder: Path, recipe: Recipe, *, cutoff: int | None = None) -> Encoder:
    """The encoder of a model folder for a recipe; without `cutoff`, the recipe's where it is a number.

    Raises Refusal: no tokenizer.json, an unknown template, a template that cannot be used.
    """
    files = read_tokenizer(folder)
    name = recipe.template.name
    if name in ("auto", OWN_NAME) and files.chat_templates:
        encoder = _own(files, recipe)
    elif name == OWN_NAME:
        raise Refusal(NO_OWN(), TAKE_AUTO_INSTEAD(), option="template.name")
    elif name == "auto":
        template, reason = _for_base_model(files)
        encoder = _from_registry(files, recipe, template, reason)
    else:
        encoder = _from_registry(files, recipe, template_named(name), ASKED())
    if cutoff is None and isinstance(recipe.dataset.cutoff, int):
        cutoff = recipe.dataset.cutoff
    return replace(encoder, cutoff=cutoff, train_on=recipe.dataset.train_on)


def _own(files: ModelTokenizer, recipe: Recipe) -> Encoder:
    source = files.chat_templates.get("default") or next(iter(files.chat_templates.values()))
    today = _day(recipe) if _compiled(source).asks_for_the_date else None
    source = _with_date(source, today)
    template = _compiled(_with_defaults(source, recipe))
    with_tools = _with_date(files.chat_templates.get("tool_use", ""), today)
    renderer = Renderer(
        OWN_NAME,
        template,
        files.special,
        thinking=_thinking(recipe),
        tool_template=_compiled(_with_defaults(with_tools, recipe)) if with_tools else None,
    )
    if recipe.template.thinking is not True and _always_thinks(renderer):
        renderer = replace(renderer, template=_compiled(_with_switch(template.source)))
    findings = [Finding("note", "template.date", ASKS_FOR_DATE(date=today.isoformat()))] if today else []
    encoder = _encoder(files, renderer, OWN(), files.special, findings)
    return replace(encoder, date=today.isoformat() if today else None)


def _day(recipe: Recipe) -> date:
    """The recipe's day; today's where it has none yet, or one that is in no calendar."""
    try:
        return date.fromisoformat(str(recipe.template.date))
    except ValueError:
        return date.today()


def _with_date(source: str, today: date | None) -> str:
    """The template with this day wherever it asks for today's in a form of its own: so it is exported as trained."""
    if today is None:
        return source
    return ASKING_FOR_DATE.sub(lambda found: _quoted(today.strftime(found["form"])), source)


def _compiled(source: str) -> ChatTemplate:
    try:
        return ChatTemplate(source)
    except TemplateProblem as problem:
        raise _unusable(problem) from None


def _always_thinks(renderer: Renderer) -> bool:
    """Whether the template asks with an open think mark and has no switch for it."""
    if any(name in renderer.template.variables for name in THINKING_NAMES):
        return False
    try:
        return bool(OPEN_THINKING.search(renderer.prompt((Turn("user", _QUESTION),))))
    except RowProblem:
        return False


def _with_switch(source: str) -> str:
    """The template with a switch, off by default, that closes the thought it asks with. Jinja drops a line break at
    the end of a template, so this does too."""
    closed = "{{ '\\n</think>\\n\\n' }}"
    switch = "{% if add_generation_prompt and not (enable_thinking is defined and enable_thinking) %}"
    return source.removesuffix("\n") + switch + closed + "{% endif %}"


def _from_registry(files: ModelTokenizer, recipe: Recipe, template: Template, reason: Message) -> Encoder:
    special = special_tokens(template, files.special)
    thinks = recipe.template.thinking is True
    jinja = ChatTemplate(template.jinja(default_system=recipe.template.system or None, thinking=thinks))
    closing = special.get("eos_token", "") if template.efficient_eos else ""
    renderer = Renderer(template.name, jinja, special, template.stop, closing, _thinking(recipe))
    return _encoder(files, renderer, reason, special, list(_about_marks(files, recipe, template)))


def _for_base_model(files: ModelTokenizer) -> tuple[Template, Message]:
    for template in templates():
        if files.model_type in template.models and _knows(files, template):
            return template, FOR_FAMILY(family=files.model_type)
    chatml = template_named("chatml")
    if _knows(files, chatml):
        return chatml, FOR_MARKS()
    return template_named("default"), PLAIN()


def _knows(files: ModelTokenizer, template: Template) -> bool:
    return all(files.token_id(mark) is not None for mark in template.marks)


def _about_marks(files: ModelTokenizer, recipe: Recipe, template: Template) -> Iterator[Finding]:
    if files.chat_templates:
        yield Finding("warning", "template.name", ANOTHER_THAN_OWN(name=template.name), TAKE_AUTO())
    unknown = [mark for mark in template.marks if files.token_id(mark) is None]
    if unknown:
        yield Finding("warning", "template.name", UNKNOWN_MARKS(tokens=", ".join(unknown)), TRAIN_THEM())
    elif template.marks and not files.chat_templates and recipe.method.name == "lora":
        marks = ", ".join(template.marks)
        yield Finding("warning", "template.name", UNTRAINED_MARKS(tokens=marks), TRAIN_THEM())


def _encoder(
    files: ModelTokenizer, renderer: Renderer, reason: Message, special: dict[str, str], findings: list[Finding]
) -> Encoder:
    """The encoder, with what a trial conversation shows of the template."""
    renderer, written = _understood(renderer)
    end = _end_of_answer(files, renderer, written)
    if end is None and (closing := _closing(files, renderer)):
        renderer, end = replace(renderer, closing=closing), closing
        findings.append(Finding("note", "template.name", CLOSED(token=closing)))
    ends = tuple(dict.fromkeys(text for text in (end, *renderer.ends, *_stop_texts(files)) if text))
    renderer = replace(renderer, ends=ends, folds_system=_folds_system(renderer))
    end_ids = _ids(files, end) if end else []
    stops = tuple(dict.fromkeys([*(end_ids if len(end_ids) == 1 else []), *files.stop_ids]))
    pad = files.pad_token(stops)
    if pad:
        special = {**special, "pad_token": pad}
    findings += _about_ends(renderer, end, end_ids)
    findings += _about_text(files, renderer, written, special)
    pad_id = files.token_id(pad)
    if pad and pad_id in stops:
        findings.append(Finding("note", None, PAD_ENDS(token=pad)))
    return Encoder(
        renderer.name,
        reason,
        renderer.template.source,
        special,
        pad_id if pad_id is not None else 0,
        stops,
        tuple(findings),
        renderer,
        files.tokenizer,
    )


def _understood(renderer: Renderer) -> tuple[Renderer, str]:
    """The renderer, giving contents in the form that the template reads, and the trial conversation's text."""
    problem = Refusal(BROKEN_TEMPLATE(reason=LOSES_TEXT().text), CHOOSE_ANOTHER(), option="template.name")
    for candidate in (renderer, replace(renderer, parts=True)):
        try:
            written = _tried(candidate, with_system=False)
        except Refusal as refusal:
            problem = refusal
            continue
        if _QUESTION in written and _ANSWER in written:
            return candidate, written
    raise problem


def _tried(renderer: Renderer, *, with_system: bool) -> str:
    turns: tuple[Turn, ...] = (Turn("user", _QUESTION), Turn("assistant", _ANSWER))
    if with_system:
        turns = (Turn("system", _SYSTEM), *turns)
    try:
        return renderer.rendered(Row(turns), "assistant")[-1].text
    except RowProblem as problem:
        raise _unusable(problem) from None


def _folds_system(renderer: Renderer) -> bool:
    try:
        return _SYSTEM not in _tried(renderer, with_system=True)
    except Refusal:
        return True


def _end_of_answer(files: ModelTokenizer, renderer: Renderer, written: str) -> str | None:
    """The text of the token that follows an answer, if it is one that can end it."""
    tail = written[written.rfind(_ANSWER) + len(_ANSWER) :]
    known = [text for text in (*renderer.ends, *_stop_texts(files)) if tail.strip().startswith(text)]
    if known:
        return max(known, key=len)
    # Where a mark closes the answer and the turn's end follows it (Tiny Aya's), both are the answer's end.
    later = [text for text in renderer.ends if text in tail]
    if later:
        return later[0]
    encoding = files.tokenizer.encode(tail.strip(), add_special_tokens=False)
    added = files.tokenizer.get_added_tokens_decoder()
    if encoding.ids and encoding.ids[0] in added and added[encoding.ids[0]].special:
        begin, end = encoding.offsets[0]
        return tail.strip()[begin:end]
    return None


def _closing(files: ModelTokenizer, renderer: Renderer) -> str | None:
    """The stop token that the next turn begins with, for a template that writes none behind an answer (GLM's)."""
    turns = (Turn("user", _QUESTION), Turn("assistant", _ANSWER), Turn("user", _SYSTEM))
    try:
        written = renderer.whole(Row(turns))
    except RowProblem:
        return None
    tail = written[written.rfind(_ANSWER) + len(_ANSWER) :]
    return next((text for text in _stop_texts(files) if tail.startswith(text)), None)


def _stop_texts(files: ModelTokenizer) -> list[str]:
    return [text for stop in files.stop_ids if (text := files.tokenizer.id_to_token(stop))]


def _ids(files: ModelTokenizer, text: str) -> list[int]:
    return list(files.tokenizer.encode(text, add_special_tokens=False).ids)


def _about_ends(renderer: Renderer, end: str | None, end_ids: list[int]) -> Iterator[Finding]:
    if end is None:
        yield Finding("warning", "template.name", NO_STOP(name=renderer.name), CHOOSE_ANOTHER())
    elif len(end_ids) > 1:
        said = STOP_IN_PIECES(token=end, count=len(end_ids))
        yield Finding("warning", "template.name", said, TRAIN_THEM())


def _about_text(files: ModelTokenizer, renderer: Renderer, written: str, special: dict[str, str]) -> Iterator[Finding]:
    if renderer.folds_system:
        yield Finding("note", "template.system", FOLDED_SYSTEM())
    begin = special.get("bos_token")
    if begin and written.startswith(begin * 2):
        yield Finding("warning", "template.name", DOUBLED_BOS(token=begin), CHOOSE_ANOTHER())


def _with_defaults(source: str, recipe: Recipe) -> str:
    """The template with the recipe's system prompt and thinking as its defaults, so that the exported one writes
    what was trained. The line break at the end is the block's own: Jinja drops it."""
    opening = ""
    if recipe.template.system:
        text = _quoted(recipe.template.system)
        turn = f"{{'role': 'system', 'content': {text}}}"
        opening += (
            "{% if not messages or messages[0]['role'] != 'system' %}"
            f"{{% set messages = [{turn}] + messages %}}{{% endif %}}\n"
        )
    for name in THINKING_NAMES:
        if recipe.template.thinking is not True and name in _compiled(source).variables:
            opening += f"{{% if {name} is not defined %}}{{% set {name} = false %}}{{% endif %}}\n"
    return opening + source


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _thinking(recipe: Recipe) -> bool | None:
    return None if recipe.template.thinking == "auto" else bool(recipe.template.thinking)


def _unusable(problem: Exception) -> Refusal:
    reason = str(problem).rstrip(".")
    return Refusal(BROKEN_TEMPLATE(reason=reason), CHOOSE_ANOTHER(), option="template.name")
