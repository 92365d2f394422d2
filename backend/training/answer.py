"""What the model answers to a prompt, token by token as inference would write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation import StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from finetty.backend.conversation import Encoder, Turn

SAMPLE_TOKENS = 160
"""The longest sample answer during a run."""


class _Told(BaseStreamer):  # type: ignore[misc]
    """Tells each new token's id as generate() finds it; the prompt comes first and is not told."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell, self._prompt_passed = tell, False

    def put(self, value: torch.Tensor) -> None:
        if self._prompt_passed:
            for token in value.flatten().tolist():
                self._tell(token)
        self._prompt_passed = True

    def end(self) -> None:
        pass


def answer_ids(
    model: Any,
    encoder: Encoder,
    turns: Sequence[Turn],
    *,
    tools: tuple[Mapping[str, Any], ...] = (),
    longest: int = SAMPLE_TOKENS,
    temperature: float = 0.0,
    top_p: float = 1.0,
    tell: Callable[[int], None] | None = None,
    enough: Callable[[], bool] | None = None,
) -> list[int]:
    """Token ids of the answer, without the stop token. Greedy at temperature 0, else sampled from the likeliest tokens
    that together have the probability `top_p`.

    `tell` gets each token as it comes; generation ends early when `enough` says so.
    """
    ids = continuation(
        model,
        encoder.prompt(turns, tools),
        stop_ids=encoder.stop_ids,
        pad_id=encoder.pad_id,
        longest=longest,
        temperature=temperature,
        top_p=top_p,
        tell=tell,
        enough=enough,
    )
    return ids[:-1] if ids and ids[-1] in encoder.stop_ids else ids


def continuation(
    model: Any,
    prompt: Sequence[int],
    *,
    longest: int,
    stop_ids: Sequence[int] = (),
    pad_id: int = 0,
    temperature: float = 0.0,
    top_p: float = 1.0,
    tell: Callable[[int], None] | None = None,
    enough: Callable[[], bool] | None = None,
) -> list[int]:
    """At most `longest` token ids that the model writes after `prompt`, the stop token among them."""
    read = torch.tensor([list(prompt)], device=model.device)
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_p": top_p} if temperature > 0 else {"do_sample": False}
    )
    config = GenerationConfig(
        max_new_tokens=longest, eos_token_id=list(stop_ids) or None, pad_token_id=pad_id, use_cache=True, **sampling
    )
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            written = model.generate(
                input_ids=read,
                attention_mask=torch.ones_like(read),
                generation_config=config,
                streamer=_Told(tell) if tell else None,
                stopping_criteria=StoppingCriteriaList([lambda ids, _: _all(ids, enough())]) if enough else None,
            )
    finally:
        model.train(was_training)
    ids: list[int] = written[0, read.shape[1] :].tolist()
    return ids


def _all(ids: torch.Tensor, value: bool) -> torch.Tensor:
    return torch.full((ids.shape[0],), value, dtype=torch.bool, device=ids.device)
