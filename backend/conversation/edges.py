"""Where answers begin and end among a row's token ids, without the tokenizer's offsets, which cost it a fifth more.

An answer follows a special token and the few tokens of its heading, and ends with a special token. A special token
stands for exactly its own text wherever that is, and ids say what text they stand for: so the text says which of the
special tokens it is, and where the heading's own ids follow it the next token is the answer's first. Where that is not
so, for a content's beginning has become one with the heading, the offsets are asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from finetty.backend.conversation.skeleton import Learned, Skeleton

Stretch = tuple[int, int]
"""Of token ids: from the first that is learned to behind the last."""


@dataclass(frozen=True)
class Special:
    """A special token."""

    number: int
    text: str


@dataclass(frozen=True)
class Edge:
    """The last special token before an answer, the ids of the text behind that, and the answer's end token."""

    opening: Special
    heading: list[int]
    end: Special


@dataclass(frozen=True)
class Edges:
    """Of each answer in all rows with the same skeleton."""

    answers: tuple[Edge, ...]

    def stretches(self, ids: list[int], text: str, learned: Learned) -> list[Stretch] | None:
        """What is learned of a row; None where its ids do not say it for certain. `learned`: in characters."""
        found = []
        for edge, (start, end) in zip(self.answers, learned, strict=True):
            opening, closing = _place(ids, text, edge.opening, start), _place(ids, text, edge.end, end)
            if opening is None or closing is None:
                return None
            first = opening + 1 + len(edge.heading)
            if ids[opening + 1 : first] != edge.heading:
                return None
            found.append((first, closing + 1))
        return found


def _place(ids: list[int], text: str, token: Special, before: int) -> int | None:
    """Of the last such token in the text before a character; None where ids and text do not hold it equally often."""
    count = text.count(token.text, 0, before)
    if count + text.count(token.text, before) != ids.count(token.number):
        return None
    place = -1
    for _ in range(count):
        place = ids.index(token.number, place + 1)
    return place


def edges_of(skeleton: Skeleton, tokenizer: Tokenizer) -> Edges | None:
    """None where an answer does not follow, or does not end with, a token that is special."""
    found = tuple(_answers(skeleton, tokenizer))
    return Edges(found) if len(found) == len(skeleton.answers) else None


def _answers(skeleton: Skeleton, tokenizer: Tokenizer) -> Iterator[Edge]:
    added = tokenizer.get_added_tokens_decoder()
    special = {number: token.content for number, token in added.items() if token.special}
    for content, behind in skeleton.answers:
        before = tokenizer.encode(skeleton.between[content], add_special_tokens=False).ids
        end = tokenizer.encode(skeleton.between[content + 1][:behind], add_special_tokens=False).ids
        last = _last(before, special)
        if last is None or len(end) != 1 or end[0] not in special:
            return
        yield Edge(Special(before[last], special[before[last]]), before[last + 1 :], Special(end[0], special[end[0]]))


def _last(ids: Sequence[int], special: dict[int, str]) -> int | None:
    return next((place for place in reversed(range(len(ids))) if ids[place] in special), None)
