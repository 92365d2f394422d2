"""What a person says of a run: tags, an hour's price, that it is put away. Nothing of it matters to the run itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from finetty.backend.files import write_whole
from finetty.backend.messages import Refusal, message
from finetty.backend.runs.directory import Run, size_on_disk
from finetty.backend.runs.price import Price, price_of

NOT_A_TAG = message("runs.not_a_tag", "{tag} cannot be a tag.")
TAG_SHAPE = message("runs.tag_shape", "A tag is one word of at most 40 letters, digits, dots, dashes or underscores.")
NOT_LABELLED = message("runs.not_labelled", "What was said of the run {name} could not be written: {reason}.")

_TAG = re.compile(r"[\w][\w.-]{0,39}")
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Labels:
    tags: tuple[str, ...] = ()
    archived: bool = False
    price: Price | None = None
    """Of an hour of the machine."""


def labels_of(run: Run) -> Labels:
    """None where nothing was said, or what was written cannot be read."""
    try:
        with (run.path / "labels.json").open("rb") as file:
            content = json.loads(file.read(_LARGEST))
        tags = [tag for tag in content["tags"] if isinstance(tag, str) and _TAG.fullmatch(tag)]
        price = content.get("price")
        return Labels(tuple(tags), content.get("archived") is True, price_of(price) if price else None)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, Refusal):
        return Labels()


def tag(run: Run, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Labels:
    """The labels with these tags more and these fewer, written down. Raises Refusal."""
    added = list(add)
    for one in added:
        if not _TAG.fullmatch(one):
            raise Refusal(NOT_A_TAG(tag=one), TAG_SHAPE())
    before = labels_of(run)
    kept = [one for one in (*before.tags, *added) if one not in set(remove)]
    return _written(run, replace(before, tags=tuple(dict.fromkeys(kept))))


def archive(run: Run, *, archived: bool = True) -> Labels:
    """Put the run away, or bring it back: lists then leave it out. Raises Refusal."""
    return _written(run, replace(labels_of(run), archived=archived))


def set_price(run: Run, price: Price) -> Labels:
    """Keep what an hour costs with the run, for whoever looks at it later. Raises Refusal."""
    return _written(run, replace(labels_of(run), price=price))


def _written(run: Run, labels: Labels) -> Labels:
    said = {"tags": labels.tags, "archived": labels.archived, "price": str(labels.price) if labels.price else None}
    content = json.dumps(said, ensure_ascii=False)
    try:
        write_whole(run.path / "labels.json", content.encode())
    except OSError as error:
        raise Refusal(NOT_LABELLED(name=run.id, reason=error.strerror)) from None
    return labels


def matches(run: Run, words: Iterable[str]) -> bool:
    """Whether every word is in the run's id, name, state, tags, model or data."""
    wanted = [word.lower() for word in words]
    if not wanted:
        return True
    status = run.status()
    said: list[Any] = [run.id, status.name, status.state, *labels_of(run).tags]
    try:
        recipe = run.recipe()
        said += [recipe.model.path, recipe.method.name, *(file.path for file in recipe.dataset.train)]
    except Refusal:
        pass
    text = "\n".join(map(str, said)).lower()
    return all(word in text for word in wanted)


def disk_use(run: Run) -> dict[str, int]:
    """Bytes on the disk: of the checkpoints, of the result, and of the whole folder. Links are not followed."""
    return {
        "checkpoints": size_on_disk(run.checkpoints) if not run.checkpoints.is_symlink() else 0,
        "output": size_on_disk(run.output) if not run.output.is_symlink() else 0,
        "all": size_on_disk(run.path),
    }
