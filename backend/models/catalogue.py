"""The models that people tune, known without a network: searched, filtered, each number with its source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

from finetty.backend.models.tags import TAGS, name_says

FIELDS = (
    "hub",
    "modelscope",
    "names",
    "instead",
    "family",
    "parameters",
    "rounded_to",
    "active_parameters",
    "layers",
    "hidden_size",
    "intermediate_size",
    "attention_heads",
    "key_value_heads",
    "head_size",
    "vocabulary",
    "context_length",
    "tied_embeddings",
    "experts",
    "expert_size",
    "flags",
    "quantization",
    "licence",
    "gated",
    "template",
    "traits",
    "source",
)
"""The keys of a line in catalogue.jsonl, in their order; one that is not there is not known."""

_BYTES = {"Int8": 1.03, "fp8": 1.0, "Int4": 0.53, "AWQ": 0.53, "GPTQ": 0.53, "mxfp4": 0.53}
"""Bytes a quantized parameter takes with its share of the scales (a 16-bit scale for each 32 to 128 of them)."""
_CONFIGURED = {
    "num_hidden_layers": "layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_attention_heads": "attention_heads",
    "num_key_value_heads": "key_value_heads",
    "head_dim": "head_size",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "context_length",
    "tie_word_embeddings": "tied_embeddings",
    "moe_intermediate_size": "expert_size",
}


@dataclass(frozen=True)
class Entry:
    """One model. What its sources do not say is None, never a guess; `source` names where each number is from."""

    hub: str | None
    """Its name on the Hub; None for a name that people use and that no repository has: then see `instead`."""
    modelscope: str | None = None
    names: tuple[str, ...] = ()
    """Names that LLaMA-Factory shows for it."""
    instead: tuple[str, ...] = ()
    family: str | None = None
    """config.json's model_type."""
    parameters: int | None = None
    """Towers included: the Hub's count, exact, or a published figure with `rounded_to`."""
    rounded_to: int | None = None
    active_parameters: int | None = None
    """As published, so rounded to billions."""
    layers: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    attention_heads: int | None = None
    key_value_heads: int | None = None
    head_size: int | None = None
    vocabulary: int | None = None
    context_length: int | None = None
    tied_embeddings: bool | None = None
    experts: int | None = None
    expert_size: int | None = None
    flags: Mapping[str, bool] = field(default_factory=dict, hash=False)
    """Biases that its config.json switches on or off, against its family's custom."""
    quantization: str | None = None
    """gptq, awq, fp8, mxfp4, …; None for 16- or 32-bit weights, and where the sources are silent."""
    licence: str | None = None
    gated: bool | None = None
    template: str | None = None
    """LLaMA-Factory's name of the conversation template that it was tuned with."""
    traits: tuple[str, ...] = ()
    """Tags that its configuration gives, whether its name says them or not."""
    source: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Entry:
        known = {"hub": None, **{key: line[key] for key in FIELDS if line.get(key) is not None}}
        given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in known.items()}
        return cls(**given)

    @property
    def name(self) -> str:
        """What a list shows: the Hub's name, or the first name that people use."""
        return self.hub or self.names[0]

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """By all of its names and by its configuration, in the guide's order."""
        said = [tag for name in (self.hub or "", *self.names) for tag in name_says(name).tags]
        order = {name: place for place, name in enumerate(TAGS)}
        found = dict.fromkeys([*said, *self.traits])
        return tuple(sorted(found, key=lambda tag: order.get(tag, order["version"])))

    @property
    def weight_bytes(self) -> int | None:
        """An estimate of its weight files' size: 16 bits a parameter, or what its quantization takes; bytes."""
        count = self.parameters or name_says(self.name).parameters
        if count is None:
            return None
        packed = [_BYTES[mark] for mark in (*self.tags, self.quantization or "") if mark in _BYTES]
        if not packed:
            return 2 * count
        whole = min(count, (self.vocabulary or 0) * (self.hidden_size or 0) * (1 if self.tied_embeddings else 2))
        return round(2 * whole + max(packed) * (count - whole))

    def configuration(self) -> dict[str, Any]:
        """The part of config.json that its dimensions make, for the formulas and readers of this room."""
        found = {key: getattr(self, attribute) for key, attribute in _CONFIGURED.items()}
        experts = dict.fromkeys(("num_experts", "num_local_experts"), self.experts) if self.experts else {}
        if self.experts and self.intermediate_size is None:
            found["intermediate_size"] = self.expert_size
        written = {"model_type": self.family, **found, **experts, **self.flags}
        return {key: value for key, value in written.items() if value is not None}


@lru_cache(maxsize=1)
def catalogue() -> tuple[Entry, ...]:
    """Every entry, in the file's order; read when first asked for."""
    text = (files("finetty.backend.models") / "catalogue.jsonl").read_text(encoding="utf-8")
    return tuple(Entry.from_json(json.loads(line)) for line in text.splitlines())


def entry_named(name: str) -> Entry | None:
    """The model of this exact name in any case: the Hub's, that without its owner, ModelScope's, LLaMA-Factory's."""
    return _names().get(name.strip().rstrip("/").lower())


@lru_cache(maxsize=1)
def _names() -> Mapping[str, Entry]:
    found: dict[str, Entry] = {}
    entries = catalogue()
    for names in (
        ((entry.hub,) for entry in entries),
        (entry.names for entry in entries),
        ((entry.hub or "").rsplit("/", 1)[-1:] for entry in entries),
        ((entry.modelscope,) for entry in entries),
    ):
        for entry, given in zip(entries, names, strict=True):
            for name in given:
                if name:
                    found.setdefault(name.lower(), entry)
    return found


def search(query: str, *, tag: str | None = None, fits_bytes: int | None = None) -> list[Entry]:
    """The entries that the words of `query` find, best first; every word must be found, a slip of the fingers counts.

    `tag`: only models that carry it, as `tags` spells it, or "version" for any version. `fits_bytes`: only models whose
    weights, as they are stored, take no more than that.
    """
    found = _ranked(query) if query.strip() else list(catalogue())
    return [entry for entry in found if _carries(entry, tag) and _fits(entry, fits_bytes)]


def _carries(entry: Entry, tag: str | None) -> bool:
    if tag is None:
        return True
    carried = {one.lower() for one in entry.tags}
    return tag.lower() in carried or (
        tag.lower() == "version" and any(re.fullmatch(r"v[\d.]+", one) for one in carried)
    )


def _fits(entry: Entry, limit: int | None) -> bool:
    return limit is None or (entry.weight_bytes is not None and entry.weight_bytes <= limit)


# Searching: every word of the query against the words of all names, by an index from word to entries.

EXACT, START, INSIDE, NEAR = 4.0, 2.5, 1.5, 1.0
_WORD = re.compile(r"[a-z0-9]+(?:\.[0-9]+)*")
_PART = re.compile(r"[a-z]+|[0-9]+(?:\.[0-9]+)*[bm]?(?![a-z])|[0-9.]+")


@dataclass(frozen=True)
class _Index:
    words: Mapping[str, Mapping[int, float]]
    """Word → the entries that have it, with its worth there."""
    squeezed: tuple[str, ...]
    """Every entry's names without anything but letters and digits."""


@lru_cache(maxsize=1)
def _index() -> _Index:
    words: dict[str, dict[int, float]] = {}
    squeezed = []
    for place, entry in enumerate(catalogue()):
        names = [name for name in (entry.hub, *entry.names) if name]
        for name in names:
            for word, worth in _worths(name):
                there = words.setdefault(word, {})
                there[place] = max(worth, there.get(place, 0.0))
        squeezed.append(" ".join(_squeeze(name) for name in names))
    return _Index(words, tuple(squeezed))


FIRST, OWNERS = 0.3, 0.5


def _worths(name: str) -> Iterator[tuple[str, float]]:
    """Every form of a name's words: worth more where there are few, most where it is the first, less in the owner's."""
    owner, _, own = name.rpartition("/")
    words = _WORD.findall(own.lower())
    for place, word in enumerate(words):
        for form in _forms(word):
            yield form, 1 + 1 / (1 + len(words)) + (FIRST if place == 0 else 0)
    for form in _words(owner):
        yield form, OWNERS


def _words(name: str) -> set[str]:
    """`Qwen2.5-7B` has the words qwen2.5, qwen25, qwen, 2.5 and 7b."""
    return {form for word in _WORD.findall(name.lower()) for form in _forms(word)}


@lru_cache(maxsize=4096)
def _forms(word: str) -> tuple[str, ...]:
    return word, word.replace(".", ""), *_PART.findall(word)


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _ranked(query: str) -> list[Entry]:
    index = _index()
    scores: dict[int, float] | None = None
    for word in _WORD.findall(query.lower()):
        here = _scores(word, index)
        scores = here if scores is None else {place: scores[place] + here[place] for place in scores.keys() & here}
    found = scores or {}
    whole = _squeeze(query)
    for place, names in enumerate(index.squeezed):
        if whole and whole in names:
            exact = whole in names.split() or any(name.endswith(whole) for name in names.split())
            found[place] = found.get(place, 0.0) + (3 * EXACT if exact else EXACT)
    entries = catalogue()
    return [
        entries[place] for place in sorted(found, key=lambda place: (-found[place], len(entries[place].name), place))
    ]


def _scores(word: str, index: _Index) -> dict[int, float]:
    scores: dict[int, float] = {}
    for known, value in _alike(word, index.words):
        for place, worth in index.words[known].items():
            scores[place] = max(scores.get(place, 0.0), value * worth)
    parts = _PART.findall(word)
    if len(parts) > 1:
        together = [_scores(part, index) for part in parts]
        for place in set.intersection(*(set(one) for one in together)):
            scores[place] = max(scores.get(place, 0.0), sum(one[place] for one in together) / len(parts))
    return scores


def _alike(word: str, known: Iterable[str]) -> list[tuple[str, float]]:
    """Words that the typed one is, begins, or is inside of; only where there is none of these, words a slip away."""
    direct = [(other, _direct(word, other)) for other in known if word in other]
    found = [(other, value) for other, value in direct if value]
    if found or len(word) < 4:
        return found
    slips = 1 if len(word) < 8 else 2
    return [(other, NEAR) for other in known if len(other) > 3 and _slips(word, other, slips) <= slips]


def _direct(word: str, other: str) -> float:
    if word == other:
        return EXACT
    if other.startswith(word):
        return START if not (word[-1].isdigit() and other[len(word)].isdigit()) else 0.0
    return INSIDE if len(word) > 2 and not word[0].isdigit() else 0.0


def _slips(one: str, other: str, limit: int) -> int:
    """Letters put in, left out, changed or swapped between two words; `limit` + 1 for any more than `limit`."""
    if abs(len(one) - len(other)) > limit or len(set(one) ^ set(other)) > 2 * limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, there in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != there))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == there:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
