"""Which rows a step sees, and how they become tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset, Sampler

from finetty.backend.dataset.blocks import best_fit
from finetty.backend.dataset.order import row_order

IGNORED = -100
"""The label of a token that is read and not learned, as torch's cross entropy knows it."""

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Example:
    """One sequence: its token ids and which of them are learned; both of the same length.

    `documents` are the lengths of the texts that share it, in order; none where it is one row's.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    documents: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> int:
        """Tokens that the loss counts: the first token of a sequence is predicted by nothing."""
        return sum(self.trained[1:])


class Examples(Dataset[Example]):
    """Sequences in memory, as torch's DataLoader wants them. `block` is the length that texts fill together, if any."""

    def __init__(self, examples: Sequence[Example], block: int | None = None) -> None:
        self._examples, self.block = examples, block
        self.lengths = [len(example) for example in examples]

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[index]

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples)


def in_blocks(texts: Sequence[Example], size: int) -> Examples:
    """Texts of at most `size` tokens, several in a sequence, none of them cut (`best_fit`)."""

    def together(places: Sequence[int]) -> Example:
        parts = [texts[place] for place in places]
        ids = itertools.chain.from_iterable(part.ids for part in parts)
        trained = itertools.chain.from_iterable(part.trained for part in parts)
        return Example(tuple(ids), tuple(trained), tuple(map(len, parts)))

    return Examples([together(places) for places in best_fit([len(text) for text in texts], size)], size)


class RowSampler(Sampler[int]):
    """`row_order` for torch's DataLoader; transformers tells it the epoch."""

    def __init__(self, lengths: Sequence[int], micro_batch: int, seed: int) -> None:
        self._lengths, self._micro_batch, self._seed, self._epoch = lengths, micro_batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(row_order(self._lengths, self._micro_batch, self._seed, self._epoch))


def longest_batch(examples: Examples, micro_batch: int) -> list[Example]:
    """The micro-batch that takes the most memory of all that the data can make."""
    longest = sorted(range(len(examples)), key=lambda index: examples.lengths[index], reverse=True)
    return [examples[index] for index in longest[:micro_batch]]


def in_batches(examples: Examples, rows: int) -> Iterator[list[Example]]:
    """Each sequence once, those of like length together, the longest first: for evaluation."""
    indices = sorted(range(len(examples)), key=lambda index: examples.lengths[index], reverse=True)
    for start in range(0, len(indices), rows):
        yield [examples[index] for index in indices[start : start + rows]]


@dataclass(frozen=True)
class Collator:
    """Pads sequences on the right to the longest of them: input_ids, attention_mask and labels, all [rows, tokens]."""

    pad_id: int

    def __call__(self, examples: Sequence[Example]) -> Batch:
        width = max(len(example) for example in examples)
        ids = torch.full((len(examples), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(examples), width), dtype=torch.long)
        labels = torch.full((len(examples), width), IGNORED, dtype=torch.long)
        for row, example in enumerate(examples):
            end = len(example)
            ids[row, :end] = torch.tensor(example.ids)
            mask[row, :end] = 1
            labels[row, :end] = _labels(example)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@dataclass(frozen=True)
class FlatCollator:
    """Packing: sequences one after the other without padding, input_ids, position_ids and labels all [1, tokens].

    Positions that begin anew tell transformers where one row or text ends, so that none attends to another. The first
    token of each is not learned: it would be predicted from the one before.
    """

    def __call__(self, examples: Sequence[Example]) -> Batch:
        ids = torch.cat([torch.tensor(example.ids) for example in examples])
        lengths = [length for example in examples for length in example.documents or (len(example),)]
        positions = torch.cat([torch.arange(length) for length in lengths])
        labels = torch.cat([_labels(example) for example in examples])
        labels[positions == 0] = IGNORED
        return {"input_ids": ids[None], "position_ids": positions[None], "labels": labels[None]}


def in_parts(batch: Batch, rows: int, block: int | None = None) -> list[Batch]:
    """A batch cut into batches of at most so many rows, each only as wide as its longest row needs.

    Where texts share sequences of `block` tokens, a part has at most as many tokens as so many sequences.

    One that is small enough stays as it is. The parts' losses add up to the whole's where each token counts the same.
    """
    if "attention_mask" in batch:
        count = batch["input_ids"].shape[0]
        if count <= rows:
            return [batch]
        parts = ({name: one[start : start + rows] for name, one in batch.items()} for start in range(0, count, rows))
        return [{name: one[:, : _width(part)] for name, one in part.items()} for part in parts]
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    tokens = batch["input_ids"].shape[1]
    cuts = starts[::rows] if block is None else _cuts([*starts, tokens], rows * block)
    if len(cuts) == 1:
        return [batch]
    edges = itertools.pairwise([*cuts, tokens])
    return [{name: one[:, start:end] for name, one in batch.items()} for start, end in edges]


def _cuts(edges: Sequence[int], most: int) -> list[int]:
    """Where parts of at most `most` tokens begin, each at one of the edges; the last edge is the end."""
    cuts = [0]
    for start, end in itertools.pairwise(edges):
        if end - cuts[-1] > most:
            cuts.append(start)
    return cuts


def _width(batch: Batch) -> int:
    return int(batch["attention_mask"].sum(dim=1).max())


def tokens_read(batch: Batch) -> torch.Tensor:
    """How many tokens of rows, without padding, a batch holds."""
    if "attention_mask" in batch:
        return batch["attention_mask"].sum()
    return torch.tensor(batch["input_ids"].numel(), device=batch["input_ids"].device)


def _labels(example: Example) -> torch.Tensor:
    return torch.where(torch.tensor(example.trained), torch.tensor(example.ids), IGNORED)
