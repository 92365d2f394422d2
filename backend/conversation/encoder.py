"""encode(row): token ids and what is learned of them. The preview, the data report and the training all use it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import Any

from tokenizers import Encoding, Tokenizer

from finetty.backend.conversation.edges import Edges, Stretch, edges_of
from finetty.backend.conversation.rendering import Rendered, Renderer, RowProblem, TrainOn
from finetty.backend.conversation.rows import Encoded, Row, Turn
from finetty.backend.conversation.skeleton import Skeleton
from finetty.backend.messages import Finding, Message, message

TOO_LONG = message(
    "conversation.too_long", "The answer alone is longer than the cutoff of {cutoff} tokens, so the row is left out."
)
NOTHING_LEARNED = message("conversation.nothing_learned", "No token of the row would be learned.")

BATCH_CHARACTERS = 1 << 20
"""Of texts that are tokenized together. Handing them over waits for the interpreter, up to 5 ms each time, so it is to
be seldom; and until a batch is through it takes some hundred bytes a token, so it is not to be large."""

ROW_COSTS = 100
"""Characters that a row counts for beside its own, so that refused ones do not gather."""

Written = tuple[Row, "list[Rendered] | Message"]
"""A row with its texts, or with what is wrong with it."""


@dataclass(frozen=True)
class EncodedRow:
    """What became of a row: its training sequences, or why there are none."""

    row: Row
    sequences: tuple[Encoded, ...]
    problem: Message | None = None


@dataclass(frozen=True)
class Encoder:
    """Made by `load_encoder`. A row longer than `cutoff` loses of its prompt, never of its answer.

    `chat_template` is the Jinja to save with the tokenizer: it writes what was trained. `pad_id` fills batches, which
    the attention mask hides, so it may be any id; `stop_ids` end generation, the template's own first.
    """

    name: str
    reason: Message
    chat_template: str
    special: Mapping[str, str]
    """Special tokens to save with the tokenizer: bos_token, eos_token, pad_token …"""
    pad_id: int
    stop_ids: tuple[int, ...]
    findings: tuple[Finding, ...]
    renderer: Renderer
    tokenizer: Tokenizer
    train_on: TrainOn = "assistant"
    cutoff: int | None = None
    date: str | None = None
    """The day that the template was made to write, where it asks for today's; in ISO's form."""

    @property
    def pad_token(self) -> str | None:
        return self.special.get("pad_token")

    @property
    def eos_token(self) -> str | None:
        return self.special.get("eos_token")

    def with_cutoff(self, cutoff: int | None) -> Encoder:
        """The same with another cutoff; None cuts nothing."""
        return replace(self, cutoff=cutoff)

    def encode(self, row: Row) -> list[Encoded]:
        """The row's training sequences: usually one, several where the template cannot show it whole, none where
        the row cannot be used (`encode_rows` says why)."""
        return list(next(self.encode_rows([row])).sequences)

    def encode_rows(self, rows: Iterable[Row]) -> Iterator[EncodedRow]:
        """All rows, in their order. A batch is tokenized, on all cores, while the next one is written."""
        batches = self._batches(rows)
        written, second = next(batches, []), next(batches, None)
        if second is None:
            yield from self._outcomes(written, self._tokenized(written))
            return
        with ThreadPoolExecutor(1, "tokenizer") as pool:
            tokenized = pool.submit(self._tokenized, written)
            for following in chain([second], batches):
                ahead = pool.submit(self._tokenized, following)
                yield from self._outcomes(written, tokenized.result())
                written, tokenized = following, ahead
            yield from self._outcomes(written, tokenized.result())

    def text(self, row: Row) -> str:
        """The text that the model reads of the row, whole; where a row becomes several texts, the last. Raises
        RowProblem."""
        return self._texts(row)[-1].text

    def prompt(self, turns: Sequence[Turn], tools: tuple[Mapping[str, Any], ...] = ()) -> list[int]:
        """The ids that ask for the next answer, as inference renders them; of a plain text's beginning, the text.

        Raises RowProblem.
        """
        if Row(tuple(turns)).plain:
            return self._ids(self._around_texts[0] + turns[0].content)
        return self._ids(self.renderer.prompt(turns, tools))

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The ids' text, without special tokens unless `special`."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=not special)
        return text

    def token(self, token_id: int) -> str:
        """The vocabulary's own spelling of a token."""
        return self.tokenizer.id_to_token(token_id) or ""

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.tokenizer.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special) | frozenset(self.stop_ids)

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special_ids

    def _batches(self, rows: Iterable[Row]) -> Iterator[list[Written]]:
        batch: list[Written] = []
        characters = 0
        for row in rows:
            outcome = self._rendered(row)
            batch.append((row, outcome))
            characters += ROW_COSTS + (sum(len(piece.text) for piece in outcome) if isinstance(outcome, list) else 0)
            if characters >= BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
        if batch:
            yield batch

    def _tokenized(self, written: Sequence[Written]) -> list[Encoding]:
        """Each text's ids; with offsets where the ids alone do not say what is learned."""
        pieces = [piece for _, outcome in written if isinstance(outcome, list) for piece in outcome]
        sure = [self._edges(piece.skeleton) is not None for piece in pieces]
        quick = self._encoded([piece.text for piece, is_sure in zip(pieces, sure, strict=True) if is_sure], fast=True)
        slow = self._encoded([piece.text for piece, is_sure in zip(pieces, sure, strict=True) if not is_sure])
        return [next(quick if is_sure else slow) for is_sure in sure]

    def _encoded(self, texts: list[str], *, fast: bool = False) -> Iterator[Encoding]:
        encode = self.tokenizer.encode_batch_fast if fast else self.tokenizer.encode_batch
        return iter(encode(texts, add_special_tokens=False))

    def _edges(self, skeleton: Skeleton | None) -> Edges | None:
        if skeleton is None:
            return None
        key = id(skeleton)
        if key not in self._known_edges:
            self._known_edges[key] = edges_of(skeleton, self.tokenizer)
        return self._known_edges[key]

    @cached_property
    def _known_edges(self) -> dict[int, Edges | None]:
        """By the skeletons that the renderer keeps, which are a few; each is there as long as the renderer is."""
        return {}

    def _outcomes(self, written: Sequence[Written], tokenized: Sequence[Encoding]) -> Iterator[EncodedRow]:
        encodings = iter(tokenized)
        for row, outcome in written:
            if isinstance(outcome, Message):
                yield EncodedRow(row, (), outcome)
            else:
                yield self._outcome(row, [self._sequence(piece, next(encodings)) for piece in outcome])

    def _rendered(self, row: Row) -> list[Rendered] | Message:
        try:
            return self._texts(row)
        except RowProblem as problem:
            return problem.said

    def _texts(self, row: Row) -> list[Rendered]:
        """What is tokenized of a row: a conversation as the template writes it, a plain text as it is. Raises
        RowProblem."""
        if not row.plain:
            return self.renderer.rendered(row, self.train_on)
        before, after = self._around_texts
        text = before + row.turns[0].content + after
        return [Rendered(text, ((0, len(text)),))]

    @cached_property
    def _around_texts(self) -> tuple[str, str]:
        """What stands before a plain text, where the tokenizer puts anything there, and the end token behind it."""
        begins = self.tokenizer.encode("", add_special_tokens=True).ids[:1]
        before = self.special.get("bos_token", "") if begins else ""
        if begins and self.tokenizer.token_to_id(before) != begins[0]:
            before = ""
        after = self.special.get("eos_token") or (self.token(self.stop_ids[0]) if self.stop_ids else "")
        return before, after

    def _outcome(self, row: Row, sequences: Sequence[Encoded]) -> EncodedRow:
        learned = [sequence for sequence in sequences if True in sequence.trained]
        if not learned:
            return EncodedRow(row, (), NOTHING_LEARNED())
        if self.cutoff is None or all(len(sequence.ids) <= self.cutoff for sequence in learned):
            return EncodedRow(row, tuple(learned))
        if row.plain:
            return EncodedRow(row, tuple(self._stretches(learned[0], self.cutoff)))
        shortened = [self._shortened(row, sequence, place) for place, sequence in enumerate(learned)]
        kept = tuple(sequence for sequence in shortened if sequence is not None)
        return EncodedRow(row, kept, None if kept else TOO_LONG(cutoff=self.cutoff))

    def _sequence(self, piece: Rendered, encoding: Encoding) -> Encoded:
        ids = encoding.ids
        edges = self._edges(piece.skeleton)
        if edges is None:
            stretches: list[Stretch] | None = _stretches(encoding, piece, len(ids))
        else:
            stretches = edges.stretches(ids, piece.text, piece.learned)
        if stretches is None:
            whole = self.tokenizer.encode(piece.text, add_special_tokens=False)
            stretches = _stretches(whole, piece, len(ids))
        return Encoded(tuple(ids), _trained(stretches, len(ids)), piece.text, split=self._split)

    def _stretches(self, sequence: Encoded, length: int) -> Iterator[Encoded]:
        """A plain text that is longer than the cutoff, one stretch after another: nothing of it is left out."""
        ends = [0, *accumulate(map(len, sequence.pieces))]
        for start in range(0, len(sequence.ids), length):
            end = min(start + length, len(sequence.ids))
            ids, trained = sequence.ids[start:end], sequence.trained[start:end]
            yield replace(sequence, ids=ids, trained=trained, text=sequence.text[ends[start] : ends[end]])

    def _shortened(self, row: Row, sequence: Encoded, place: int) -> Encoded | None:
        """The sequence within the cutoff: without its oldest exchanges, then without the start of its question."""
        if self.cutoff is None or len(sequence.ids) <= self.cutoff:
            return sequence
        shorter: Row | None = self._without_oldest_exchanges(self._answer_alone(row, place), self.cutoff)
        while shorter is not None:
            try:
                piece = self.renderer.rendered(shorter, self.train_on)[-1]
            except RowProblem:
                return None
            sequence = self._sequence(piece, self.tokenizer.encode(piece.text, add_special_tokens=False))
            excess = len(sequence.ids) - self.cutoff
            if excess <= 0:
                return replace(sequence, cut=True)
            shorter = self._with_shorter_question(shorter, excess)
        return None

    def _without_oldest_exchanges(self, row: Row, cutoff: int) -> Row:
        """The row without as many of its first exchanges as it takes; the last one always stays."""
        questions = [index for index, turn in enumerate(row.turns) if turn.role == "user"]
        if len(questions) < 2:
            return row

        def from_question(number: int) -> Row:
            return replace(row, turns=(*row.turns[: questions[0]], *row.turns[questions[number] :]))

        def fits(number: int) -> bool:
            return len(self._ids(self.renderer.whole(from_question(number)))) <= cutoff

        return from_question(bisect_left(range(len(questions) - 1), True, key=fits))

    def _answer_alone(self, row: Row, place: int) -> Row:
        """The row up to the answer that its sequence number `place` ends with."""
        answers = [index for index, turn in enumerate(row.turns) if turn.role == "assistant"]
        several = len(self.renderer.rendered(row, self.train_on)) > 1
        return replace(row, turns=row.turns[: answers[place] + 1]) if several else row

    def _with_shorter_question(self, row: Row, excess: int) -> Row | None:
        """The row whose longest question has lost `excess` tokens at its start; None when it has not so many."""
        questions = [index for index, turn in enumerate(row.turns) if turn.role in ("user", "tool")]
        if not questions:
            return None
        longest = max(questions, key=lambda index: len(row.turns[index].content))
        content = row.turns[longest].content
        offsets = self.tokenizer.encode(content, add_special_tokens=False).offsets
        if len(offsets) <= excess:
            return None
        start = max(offsets[excess][0], 1)
        kept = replace(row.turns[longest], content=content[start:].lstrip() or content[-1])
        if len(kept.content) >= len(content):
            return None
        return replace(row, turns=(*row.turns[:longest], kept, *row.turns[longest + 1 :]))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _split(self, text: str) -> tuple[str, ...]:
        """The text cut where its tokens end: what no token claims goes to the next one, at the end to the last."""
        ends = [end for _, end in self.tokenizer.encode(text, add_special_tokens=False).offsets]
        if not ends:
            return ()
        places = [0, *(max(ends[: index + 1], default=0) if end == 0 else end for index, end in enumerate(ends))]
        places[-1] = len(text)
        return tuple(text[start:end] for start, end in pairwise(places))


def _stretches(encoding: Encoding, piece: Rendered, count: int) -> list[Stretch]:
    """What is learned, in tokens: those that begin in a learned stretch of the text."""
    length = len(piece.text)
    places = [
        (_first_token(encoding, start, length), _first_token(encoding, end, length)) for start, end in piece.learned
    ]
    return [(count if first is None else first, count if last is None else last) for first, last in places]


def _trained(stretches: Sequence[Stretch], count: int) -> tuple[bool, ...]:
    """Per token, whether it is learned."""
    trained: tuple[bool, ...] = ()
    for first, last in stretches:
        trained += (False,) * (first - len(trained))
        trained += (True,) * (last - len(trained))
    return trained + (False,) * (count - len(trained))


def _first_token(encoding: Encoding, place: int, length: int) -> int | None:
    """The first token that begins at or behind a character; None when there is none."""
    while place < length:
        token: int | None = encoding.char_to_token(place)
        if token is not None:
            span = encoding.token_to_chars(token)
            return token if span is None or span[0] >= place else token + 1
        place += 1
    return None
