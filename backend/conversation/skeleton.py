"""The text between the contents of a conversation: rendered once for its roles, and then filled with any contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from finetty.backend.conversation.rows import Row, Turn

BLANK = "\u2003"
"""White space that no template writes itself: where it is gone the content was trimmed."""
Learned = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Skeleton:
    """`between` are the texts around the contents, one more than those; each content is a turn's, trimmed or not.

    `answers`: for each learned stretch the content that it begins with, and how much of the text behind it is learned.
    """

    between: tuple[str, ...]
    turns: tuple[int, ...]
    trimmed: tuple[bool, ...]
    answers: tuple[tuple[int, int], ...]

    def has_ends(self, longest: int) -> bool:
        """Whether the text behind each answer is long enough that an end token of this length is found in it or not at
        all; a shorter one could go on into the next content."""
        behind = [self.between[place + 1] for place, _ in self.answers if place + 1 < len(self.turns)]
        return all(len(text.lstrip()) >= longest for text in behind)

    def filled(self, row: Row) -> tuple[str, Learned]:
        """The row's text, and the stretches of it that are learned."""
        parts = [self.between[0]]
        for turn, trims, text in zip(self.turns, self.trimmed, self.between[1:], strict=True):
            content = row.turns[turn].content
            parts += [content.strip() if trims else content, text]
        ends = list(accumulate(map(len, parts)))
        learned = [(ends[2 * place], ends[2 * place + 1] + behind) for place, behind in self.answers]
        return "".join(parts), tuple(learned)


def marked(roles: Sequence[str]) -> Row:
    """A conversation of these roles whose contents are marks that are found again, with blanks around them."""
    return Row(tuple(Turn(role, BLANK + _mark(place) + BLANK) for place, role in enumerate(roles)))  # type: ignore[arg-type]


def skeleton_of(text: str, learned: Learned, roles: Sequence[str]) -> Skeleton | None:
    """From what a template writes of `marked(roles)`; None where a mark is not there just once, or where what is
    learned is not a content and some of the text behind it."""
    found: list[tuple[int, int, int, bool]] = []
    for turn in range(len(roles)):
        mark = _mark(turn)
        if text.count(mark) > 1:
            return None
        start = text.find(mark)
        if start < 0:
            continue
        end = start + len(mark)
        before, after = text[start - 1 : start] == BLANK, text[end : end + 1] == BLANK
        if before != after:
            return None
        found.append((start - before, end + after, turn, not before))
    found.sort()
    edges = [0, *(edge for start, end, _, _ in found for edge in (start, end)), len(text)]
    between = tuple(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    starts = {start: place for place, (start, *_) in enumerate(found)}
    answers = []
    for start, end in learned:
        place = starts.get(start)
        if place is None or not 0 <= end - found[place][1] <= len(between[place + 1]):
            return None
        answers.append((place, end - found[place][1]))
    turns, trimmed = tuple(turn for _, _, turn, _ in found), tuple(trims for *_, trims in found)
    return Skeleton(between, turns, trimmed, tuple(answers))


def _mark(place: int) -> str:
    return f"finetty{place}content"
