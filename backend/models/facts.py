"""What plan() needs to know of a model, read without torch from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LinearModules:
    """All linear layers of one name in the language model: `q_proj`, 576 to 576, 30 of them."""

    name: str
    inputs: int
    outputs: int
    count: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        """Weights only, without biases."""
        return self.inputs * self.outputs * self.count


@dataclass(frozen=True)
class ModelFacts:
    """A model folder's facts. Counts are exact, from the safetensors header or from the configuration.

    What is not known is None, never a guess; then plan() says so.
    """

    path: str
    """As the recipe names it: a folder, or a name on the Hub."""
    folder: Path | None
    """Where its files are on this machine; None when they are not here."""
    name: str
    architecture: str
    model_type: str
    parameters: int | None
    trainable_text_parameters: int | None
    """Parameters of the language model alone: without the towers of a vision-language checkpoint."""
    embedding_parameters: int | None
    """Input embeddings and, where it is not tied, the output head."""
    linear_modules: tuple[LinearModules, ...]
    """The language model's linear layers, without the output head: what `all-linear` means."""
    layers: int | None
    hidden_size: int | None
    intermediate_size: int | None
    attention_heads: int | None
    key_value_heads: int | None
    head_size: int | None
    vocabulary: int | None
    context_length: int | None
    tied_embeddings: bool
    weight_bytes: int | None
    """Size of the weight files."""
    stored_dtype: str | None
    """float32, bfloat16, float16, or a quantized format's name."""
    quantization: str | None = None
    """How the checkpoint is quantized already: gptq, awq, fp8, mxfp4, bitsandbytes; None when it is not."""
    vision_language: bool = False
    experts: int = 0
    experts_per_token: int | None = None
    expert_size: int | None = None
    """The width of one expert's feed-forward part."""
    tags: tuple[str, ...] = ()
    eos_token_ids: tuple[int, ...] = ()
    has_weights: bool = False
    has_tokenizer_json: bool = False
    has_chat_template: bool = False
    needs_own_code: bool | None = None
    """Whether the installed transformers has no class for it, so that only code in its folder could open it."""
    brings_code: bool = False
    largest_head: int | None = None
    """In elements, of all kinds of layer that the configuration gives a head size; None where it gives none."""
    attention_refuses: tuple[str, ...] = ()
    """Attention kernels that the model's class is known not to support: `sdpa`, `fa2`."""
