"""A row as the text that the model reads, and which stretches of it are its answers.

Answers are found by rendering: what the template writes before an answer is what inference would ask with
(the turns so far and the generation prompt), and the answer goes from there to its end token. A template that
writes an earlier turn differently once a later one follows (Qwen3 drops old reasoning) cannot show a whole
conversation as inference saw it, so each answer becomes a text of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from finetty.backend.conversation.rows import Row, Turn, has_reasoning
from finetty.backend.conversation.sandbox import ChatTemplate, TemplateProblem
from finetty.backend.conversation.skeleton import Skeleton, marked, skeleton_of
from finetty.backend.messages import Message, message

REFUSED = message("conversation.row_refused", "The template refuses this row: {reason}.")
NO_TOOLS = message("conversation.no_tools", "The row uses tools, and the template ({name}) cannot write them.")
NO_ANSWER = message("conversation.no_answer", "The row has no answer to learn.")

TrainOn = Literal["assistant", "all", "last"]
MOST_SKELETONS = 1000
THINKING_NAMES = ("enable_thinking", "thinking")
OPEN_THINKING = re.compile(r"<think>\s*$")


class RowProblem(Exception):
    """This row cannot be written by this template; `said` says why."""

    def __init__(self, said: Message) -> None:
        super().__init__(said.text)
        self.said = said


@dataclass(frozen=True)
class Rendered:
    """What is tokenized in one piece, and the stretches (start, end) in characters that are learned."""

    text: str
    learned: tuple[tuple[int, int], ...]
    skeleton: Skeleton | None = field(default=None, compare=False)
    """What the text was filled into, where all of its answers are learned and nothing else is."""


@dataclass(frozen=True)
class Renderer:
    """Writes rows with one template. `ends` are the texts that end an answer, the likeliest first."""

    name: str
    template: ChatTemplate
    special: Mapping[str, str]
    ends: tuple[str, ...] = ()
    closing: str = ""
    """Ends the last answer where the template itself writes nothing behind it: what its next turn would begin with."""
    thinking: bool | None = None
    """None: as the row, with its reasoning if it brings any."""
    folds_system: bool = False
    """The template knows no system prompt: it is put before the first question."""
    parts: bool = False
    """The template reads contents as lists of parts, as those of vision-language models do."""
    tool_template: ChatTemplate | None = None
    """The publisher's second template, for rows that offer tools."""

    def prompt(self, turns: Sequence[Turn], tools: tuple[Mapping[str, Any], ...] = ()) -> str:
        """The turns and the generation prompt, as inference writes them. Raises RowProblem."""
        return self._write(Row(tuple(turns), tools=tools), turns, ask=True, thinks=bool(self.thinking))

    def rendered(self, row: Row, train_on: TrainOn) -> list[Rendered]:
        """The row's texts: one, or one an answer. Raises RowProblem."""
        filled = self._filled(row)
        if filled is not None:
            return [_limited(text, train_on) for text in (filled if train_on == "assistant" else filled[-1:])]
        row = self._prepared(row)
        answers = [index for index, turn in enumerate(row.turns) if turn.role == "assistant"]
        if not answers:
            raise RowProblem(NO_ANSWER())
        together = self._together(row, answers)
        if together is not None:
            return [_limited(together, train_on)]
        if train_on != "assistant":
            answers = answers[-1:]
        return [_limited(self._alone(row, index), train_on) for index in answers]

    def _filled(self, row: Row) -> list[Rendered] | None:
        """The row's texts from the skeletons of its roles, which are the same as rendering it; None where that is not
        certain."""
        passed_on = None if row.tools or self.parts else self.template.passes_contents_on
        if passed_on is None or not all(_is_plain(turn) and passed_on.holds(turn.content) for turn in row.turns):
            return None
        roles = tuple(turn.role for turn in row.turns)
        if roles not in self._skeletons and len(self._skeletons) < MOST_SKELETONS:
            self._skeletons[roles] = self._skeletons_of(roles)
        skeletons = self._skeletons.get(roles)
        return [Rendered(*skeleton.filled(row), skeleton) for skeleton in skeletons] if skeletons else None

    def _skeletons_of(self, roles: Sequence[str]) -> tuple[Skeleton, ...]:
        row = marked(roles)
        answers = [index for index, role in enumerate(roles) if role == "assistant"]
        try:
            together = self._together(row, answers) if answers else None
            texts = [together] if together is not None else [self._alone(row, index) for index in answers]
        except RowProblem:
            return ()
        skeletons = tuple(skeleton for text in texts if (skeleton := self._skeleton(text, roles)) is not None)
        return skeletons if len(skeletons) == len(texts) else ()

    def _skeleton(self, written: Rendered, roles: Sequence[str]) -> Skeleton | None:
        skeleton = skeleton_of(written.text, written.learned, roles)
        if skeleton is None or not skeleton.has_ends(max(map(len, self.ends), default=0)):
            return None
        found = [self._end_at(skeleton.between[place + 1], 0) for place, _ in skeleton.answers]
        return skeleton if found == [behind for _, behind in skeleton.answers] else None

    @cached_property
    def _skeletons(self) -> dict[tuple[str, ...], tuple[Skeleton, ...]]:
        """By the roles of a conversation, one a text; none where each has to be rendered."""
        return {}

    def whole(self, row: Row) -> str:
        """The conversation as the template writes it in one piece, whatever is learned of it. Raises RowProblem."""
        return self._write(row, row.turns, ask=False, thinks=self._thinks(row.turns))

    def _prepared(self, row: Row) -> Row:
        source = (self.tool_template or self.template).source
        calls = any(turn.tool_calls for turn in row.turns)
        if (row.tools and "tools" not in source) or (calls and "tool_calls" not in source):
            raise RowProblem(NO_TOOLS(name=self.name))
        if self.thinking is False and row.reasons:
            return replace(row, turns=tuple(_without_reasoning(turn) for turn in row.turns))
        return row

    def _together(self, row: Row, answers: Sequence[int]) -> Rendered | None:
        """The whole row as one text, where each answer in it stands as inference would have it; else None."""
        thinks = self._thinks(row.turns)
        whole = self._write(row, row.turns, ask=False, thinks=thinks)
        learned = []
        for index in answers:
            prompt = self._write(row, row.turns[:index], ask=True, thinks=thinks)
            end = self._end_within(whole, len(prompt), row, index, thinks) if whole.startswith(prompt) else None
            if end is None:
                return None
            learned.append((len(prompt), end))
        return Rendered(whole, tuple(learned))

    def _end_within(self, whole: str, start: int, row: Row, index: int, thinks: bool) -> int | None:
        """Where the answer that begins at `start` ends; None if `whole` does not hold it as it was given."""
        end = self._plain_end(whole, start, row.turns[index])
        if end is not None:
            return end
        finished = self._write(row, row.turns[: index + 1], ask=False, thinks=thinks)
        end = self._last_end(finished, start)
        if not whole.startswith(finished[:end]):
            return None
        # A call of tools that its template writes no end behind ends with what the tool's turn begins with (GLM-4's).
        return end if finished[:end].endswith(self.ends) else self._end_at(whole, end) or end

    def _plain_end(self, whole: str, start: int, turn: Turn) -> int | None:
        """The same without rendering once more, for the usual answer that stands in the text word for word."""
        if turn.tool_calls or has_reasoning(turn) or not turn.content.strip():
            return None
        for content, begin in ((turn.content, start), (turn.content.strip(), _after_space(whole, start))):
            if whole.startswith(content, begin):
                return self._end_at(whole, begin + len(content))
        return None

    def _alone(self, row: Row, index: int) -> Rendered:
        """One answer after its prompt, written as inference writes it."""
        turns = row.turns[: index + 1]
        thinks = self._thinks(turns[-1:])
        prompt = self._write(row, turns[:-1], ask=True, thinks=thinks)
        finished = self._write(row, turns, ask=False, thinks=thinks)
        if not finished.startswith(prompt):
            prompt, finished = self._joined(turns[-1], prompt, finished)
        return Rendered(finished, ((len(prompt), self._last_end(finished, len(prompt))),))

    def _joined(self, turn: Turn, prompt: str, finished: str) -> tuple[str, str]:
        """Prompt and text for a template that asks for an answer otherwise than it writes a finished one.

        Inference has the prompt, and the answer behind it. The usual case is a prompt with an open `<think>` that a
        finished answer no longer shows: then the answer begins with its reasoning.
        """
        reasoning, content = _split_reasoning(turn)
        place = finished.rfind(content) if content else -1
        if place < 0:
            place = len(_common_start(prompt, finished))
        thought = f"{reasoning}\n</think>\n\n" if OPEN_THINKING.search(prompt) else ""
        return prompt, prompt + thought + finished[place:]

    def _end_at(self, text: str, place: int) -> int | None:
        for end in self.ends:
            for begin in (place, _after_space(text, place)):
                if text.startswith(end, begin):
                    return begin + len(end)
        return None

    def _last_end(self, text: str, start: int) -> int:
        """The end of the last answer in `text`, its end token included, the white space behind it not."""
        for end in self.ends:
            place = text.rfind(end, start)
            if place >= 0:
                return place + len(end)
        return max(len(text.rstrip()), start)

    def _thinks(self, turns: Sequence[Turn]) -> bool:
        return self.thinking is not False and any(has_reasoning(turn) for turn in turns)

    def _write(self, row: Row, turns: Sequence[Turn], *, ask: bool, thinks: bool) -> str:
        template = self.tool_template if row.tools and self.tool_template else self.template
        variables: dict[str, Any] = {
            **self.special,
            "messages": [self._message(template, turn) for turn in self._folded(turns)],
            "tools": list(row.tools) or None,
            "documents": None,
            "add_generation_prompt": ask,
        }
        variables |= {name: thinks for name in THINKING_NAMES if name in template.variables}
        try:
            text = template.render(variables)
        except TemplateProblem as problem:
            raise RowProblem(REFUSED(reason=str(problem).rstrip("."))) from None
        answered = not ask and turns and turns[-1].role == "assistant" and not turns[-1].tool_calls
        return text + self.closing if answered else text

    def _folded(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        if not self.folds_system or len(turns) < 2 or turns[0].role != "system":
            return turns
        first = replace(turns[1], content=f"{turns[0].content}\n\n{turns[1].content}")
        return (first, *turns[2:])

    def _message(self, template: ChatTemplate, turn: Turn) -> dict[str, Any]:
        written: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.tool_calls:
            written["tool_calls"] = list(turn.tool_calls)
        if turn.name:
            written["name"] = turn.name
        if turn.call_id:
            written["tool_call_id"] = turn.call_id
        if turn.reasoning:
            self._add_reasoning(template, turn, written)
        if self.parts:
            written["content"] = [{"type": "text", "text": written["content"]}]
        return written

    def _add_reasoning(self, template: ChatTemplate, turn: Turn, written: dict[str, Any]) -> None:
        known = [name for name in ("reasoning_content", "thinking") if f".{name}" in template.source]
        known = known or [name for name in ("reasoning_content", "thinking") if f"['{name}']" in template.source]
        for name in known:
            written[name] = turn.reasoning
        if not known:
            written["content"] = f"<think>\n{turn.reasoning}\n</think>\n\n{turn.content}"


def _is_plain(turn: Turn) -> bool:
    """Whether nothing but its role and its content, which is not blank, is written of a turn."""
    if turn.role == "tool" or turn.tool_calls or turn.reasoning or turn.name or turn.call_id:
        return False
    return bool(turn.content.strip()) and not (turn.role == "assistant" and "</think>" in turn.content)


def _after_space(text: str, place: int) -> int:
    """The place of the next character that is no white space."""
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _limited(rendered: Rendered, train_on: TrainOn) -> Rendered:
    if train_on == "all":
        return Rendered(rendered.text, ((0, len(rendered.text)),))
    return Rendered(rendered.text, rendered.learned[-1:]) if train_on == "last" else rendered


def _split_reasoning(turn: Turn) -> tuple[str, str]:
    """The reasoning and the answer, both stripped, wherever the row keeps the reasoning."""
    before, mark, after = turn.content.rpartition("</think>")
    inline = before.strip().removeprefix("<think>").strip() if mark else ""
    return (turn.reasoning or inline).strip(), after.strip()


def _without_reasoning(turn: Turn) -> Turn:
    return replace(turn, reasoning=None, content=_split_reasoning(turn)[1]) if has_reasoning(turn) else turn


def _common_start(left: str, right: str) -> str:
    length = next(
        (index for index, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
        min(len(left), len(right)),
    )
    return left[:length]
