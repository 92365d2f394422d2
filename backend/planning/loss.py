"""Which loss runs: finetty's chunked one wherever it is proven to be the model's own, else the model's own."""

from __future__ import annotations

from finetty.backend.messages import message
from finetty.backend.planning.draft import Draft

CHUNKED = message(
    "plan.loss.chunked", "the same loss and gradients with the logits of trained tokens only: faster, less memory"
)
NOT_PROVEN = message("plan.loss.not_proven", "for this kind of model the chunked loss is not proven to be the same")
SHARED_OUT = message("plan.loss.shared_out", "the chunked loss needs the output head whole, and FSDP shares it out")
OTHERS_OWN = message("plan.loss.others_own", "{name} brings a loss of its own")
TWO_LOSSES = message("plan.loss.two", "{name} brings a loss of its own, so the chunked one is not used.")
TAKE_AUTO = message("plan.loss.take_auto", "Set acceleration.loss: auto.")

PROVEN = frozenset(
    (
        "cohere",
        "cohere2",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "glm",
        "glm4",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "stablelm",
        "starcoder2",
    )
)
"""Model types for which tests compare its loss and gradients with transformers' own."""

OWN_LOSS = {"acceleration.unsloth": "Unsloth", "acceleration.liger": "Liger Kernel"}


def choose_loss(draft: Draft) -> None:
    """After the accelerators: Liger and Unsloth come with a loss."""
    brings_own = [name for option, name in OWN_LOSS.items() if draft.value(option) is True]
    if brings_own:
        if draft.value("acceleration.loss") == "chunked":
            draft.find("error", "acceleration.loss", TWO_LOSSES(name=brings_own[0]), TAKE_AUTO())
        draft.choose("acceleration.loss", "plain", OTHERS_OWN(name=brings_own[0]))
    elif draft.asked.hardware.fsdp:
        draft.choose("acceleration.loss", "plain", SHARED_OUT())
    elif draft.model is None or draft.model.model_type in PROVEN:
        draft.choose("acceleration.loss", "chunked", CHUNKED())
    else:
        draft.choose("acceleration.loss", "plain", NOT_PROVEN())
