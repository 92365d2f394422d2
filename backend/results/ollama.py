"""An Ollama Modelfile: the GGUF, the trained template in Ollama's own template language, the stop words.

Ollama does not run Jinja. What the trained template writes is taken apart by having it write known words, put together
as a Go template, and compared with the trained one on conversations before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from finetty.backend.conversation import Encoder, RowProblem, Turn
from finetty.backend.messages import Refusal, message

CANNOT_SAY = message(
    "results.ollama_cannot_say", "Ollama's template language cannot say what this chat template writes."
)
SERVE_INSTEAD = message("results.ollama_instead", "Export --to gguf: llama-server --jinja uses the template itself.")

SYSTEM, FIRST, ANSWER, SECOND = "finettysystem", "finettyfirst", "finettyanswer", "finettysecond"


@dataclass(frozen=True)
class Pieces:
    """What stands around what is said. `system` is None where the template has no place for a system prompt."""

    without_system: str
    system: tuple[str, str] | None
    user: tuple[str, str]
    answer: tuple[str, str]
    asks: str
    """Behind the last question."""

    def written(self, turns: Sequence[Turn]) -> str:
        """As Ollama's engine fills the template in: the system prompt first, then what is said in turn."""
        said = [turn.content for turn in turns if turn.role == "system"]
        text = said[0].join(self.system) if said and self.system else self.without_system
        for turn in turns:
            if turn.role != "system":
                text += turn.content.join(self.user if turn.role == "user" else self.answer)
        return text + self.asks

    def go_template(self) -> str:
        """The same in Go's text/template, with the names that Ollama fills in."""
        begin = _literal(self.without_system)
        if self.system:
            before, after = map(_literal, self.system)
            begin = "{{ if .System }}" + before + "{{ .System }}" + after + "{{ else }}" + begin + "{{ end }}"
        user, answer = (tuple(map(_literal, one)) for one in (self.user, self.answer))
        return (
            begin
            + '{{ range .Messages }}{{ if eq .Role "user" }}'
            + "{{ .Content }}".join(user)
            + '{{ else if eq .Role "assistant" }}'
            + "{{ .Content }}".join(answer)
            + "{{ end }}{{ end }}"
            + _literal(self.asks)
        )


def modelfile(encoder: Encoder, gguf: Path) -> str:
    """Raises Refusal where Ollama's language cannot say the template."""
    template = pieces(encoder).go_template()
    if '"""' in template:
        raise Refusal(CANNOT_SAY(), SERVE_INSTEAD())
    stops = dict.fromkeys(encoder.token(token_id) for token_id in encoder.stop_ids)
    lines = [f"FROM ./{gguf.name}", f'TEMPLATE """{template}"""']
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops if stop]
    return "\n".join(lines) + "\n"


def pieces(encoder: Encoder) -> Pieces:
    """Taken from what the template writes, and checked on other conversations. Raises Refusal."""
    try:
        found = _taken_apart(encoder)
        for turns in _conversations(with_system=found.system is not None):
            if found.written(turns) != _prompt(encoder, turns):
                raise Refusal(CANNOT_SAY(), SERVE_INSTEAD())
    except (RowProblem, ValueError):
        raise Refusal(CANNOT_SAY(), SERVE_INSTEAD()) from None
    return found


def _taken_apart(encoder: Encoder) -> Pieces:
    """Raises ValueError where the words are not found as often as they were said."""
    turns = [Turn("user", FIRST), Turn("assistant", ANSWER), Turn("user", SECOND)]
    before, between, behind_answer, asks = _cut(_prompt(encoder, turns), FIRST, ANSWER, SECOND)
    try:
        system = _cut(_prompt(encoder, [Turn("system", SYSTEM), *turns[:1]]), SYSTEM, FIRST)[:2]
    except (RowProblem, ValueError):
        system = []
    user_begin = _common_end([before, behind_answer, *system[1:]])
    user_end = _common_start([between, asks])
    return Pieces(
        _without_end(before, user_begin),
        (system[0], _without_end(system[1], user_begin)) if system else None,
        (user_begin, user_end),
        (between.removeprefix(user_end), _without_end(behind_answer, user_begin)),
        asks.removeprefix(user_end),
    )


def _prompt(encoder: Encoder, turns: Sequence[Turn]) -> str:
    """What inference would tokenize, without the begin token where llama.cpp puts one there by itself."""
    text = encoder.renderer.prompt(turns)
    begin = encoder.special.get("bos_token", "")
    added = encoder.tokenizer.encode("").ids[:1]
    return text.removeprefix(begin) if begin and added == [encoder.tokenizer.token_to_id(begin)] else text


def _conversations(*, with_system: bool) -> list[list[Turn]]:
    said = [
        Turn("user", "Is 2 < 3? {{ yes }}"),
        Turn("assistant", "It is.\n\nIndeed."),
        Turn("user", "学习率是什么？"),
        Turn("assistant", "A number"),
        Turn("user", "Why?"),
    ]
    plain = [said[:1], said[:3], said]
    system = Turn("system", "You are brief.\nAlways.")
    return [*plain, *([system, *turns] for turns in plain)] if with_system else plain


def _cut(text: str, *words: str) -> list[str]:
    parts = []
    for word in words:
        before, text = text.split(word)
        parts.append(before)
    return [*parts, text]


def _common_end(texts: Sequence[str]) -> str:
    return _common_start([text[::-1] for text in texts])[::-1]


def _common_start(texts: Sequence[str]) -> str:
    same = takewhile(lambda characters: len(set(characters)) == 1, zip(*texts, strict=False))
    return "".join(characters[0] for characters in same)


def _without_end(text: str, end: str) -> str:
    return text.removesuffix(end) if end else text


def _literal(text: str) -> str:
    """Text that Go's template engine writes as it is."""
    return text.replace("{{", '{{ "{{" }}')
