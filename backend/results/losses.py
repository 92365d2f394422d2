"""The held-out loss of the base, of every kept checkpoint and of the result, on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finetty.backend.messages import Refusal, message

if TYPE_CHECKING:
    from finetty.backend.results.answers import Chat

NO_HELD_OUT = message("results.no_held_out", "The run kept no rows back to measure on.")
KEEP_SOME = message("results.keep_some", "Set dataset.validation and train again.")


@dataclass(frozen=True)
class Measured:
    """Mean loss over all learned tokens of the held-out rows. `step` is None for base and result."""

    what: Literal["base", "checkpoint", "result"]
    step: int | None
    loss: float
    rows: int


def held_out_losses(chat: Chat) -> Iterator[Measured]:
    """Base, result, then the kept checkpoints, oldest first.

    The checkpoints' weights take the place of the result's in `chat`, which has to answer before. Raises Refusal where
    the rows are gone or none were kept back.
    """
    from finetty.backend.training.checkpoints import whole_checkpoints
    from finetty.backend.training.data import read_data

    rows = list(read_data(chat.source.plan, chat.encoder).held_out)
    if not rows:
        raise Refusal(NO_HELD_OUT(), KEEP_SOME(), option="dataset.validation")
    at_once = chat.source.recipe.training.micro_batch
    at_once = at_once if isinstance(at_once, int) else 1

    def loss(*, base: bool) -> float:
        model, switch = chat.model(base=base)
        with switch:
            return mean_loss(model, rows, chat.encoder.pad_id, at_once)

    yield Measured("base", None, loss(base=True), len(rows))
    yield Measured("result", None, loss(base=False), len(rows))
    for checkpoint in whole_checkpoints(chat.run.checkpoints):
        take_weights(chat.model(base=False)[0], checkpoint)
        yield Measured("checkpoint", int(checkpoint.name.removeprefix("step-")), loss(base=False), len(rows))


def mean_loss(model: Any, rows: Sequence[Any], pad_id: int, at_once: int = 1) -> float:
    """Over all learned tokens of these rows, each counted once."""
    import torch

    from finetty.backend.training.batches import Collator, Examples, in_batches

    collate, total, targets = Collator(pad_id), 0.0, 0
    with torch.no_grad():
        for part in in_batches(Examples(rows), at_once):
            batch = {name: one.to(model.device) for name, one in collate(part).items()}
            count = sum(row.targets for row in part)
            total += float(model(**batch).loss) * count
            targets += count
    return total / targets


def take_weights(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's trained weights into the model, whatever its own number format. Raises KeyError."""
    import torch
    from safetensors.torch import load_file

    from finetty.backend.training.trained import FILE

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in load_file(checkpoint / FILE).items():
            parameters[name].copy_(tensor)
