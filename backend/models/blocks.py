"""What decoders' layers are built of: attention, feed-forward, experts, state spaces, each with its tensors' shapes.

A block is called with a model's dimensions and a layer's number and yields that layer's tensors. The names are those
of transformers' modules, because adapters are asked for by them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from finetty.backend.models.dimensions import Dimensions, Rule, Size

Kind = Literal["embedding", "head", "linear", "norm", "expert", "router", "other"]
Block = Callable[[Dimensions, int], Iterator["Weight"]]
Test = Callable[[Dimensions, int], bool]


@dataclass(frozen=True)
class Weight:
    """`count` equal tensors of one name; `{}` in it stands for the layer's number."""

    name: str
    shape: tuple[int, ...]
    kind: Kind = "other"
    count: int = 1

    @property
    def elements(self) -> int:
        return self.count * math.prod(self.shape)

    @property
    def linear(self) -> bool:
        """Whether it is the matrix (outputs, inputs) of an nn.Linear that an adapter can be put beside."""
        return self.kind == "linear" and len(self.shape) == 2


def linear(name: str, inputs: int, outputs: int, bias: bool = False) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (outputs, inputs), "linear")
    if bias:
        yield Weight(f"{name}.bias", (outputs,), "linear")


def norm(name: str, *shape: int, bias: bool = False) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", shape, "norm")
    if bias:
        yield Weight(f"{name}.bias", shape, "norm")


@dataclass(frozen=True)
class Only:
    """Blocks that some layers have, and those that the others have instead."""

    when: Test
    blocks: Block | tuple[Block, ...]
    otherwise: Block | tuple[Block, ...] = ()

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        chosen = self.blocks if self.when(d, layer) else self.otherwise
        for block in chosen if isinstance(chosen, tuple) else (chosen,):
            yield from block(d, layer)


@dataclass(frozen=True)
class Norm:
    """`count` norms over the hidden state, or over `width`."""

    count: Size = 1
    bias: Rule = False
    width: Size = "hidden_size"
    name: str = "norm"

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        count = d.size(self.count, layer)
        for weight in norm(self.name, d.size(self.width, layer), bias=d.yes(self.bias)):
            yield replace(weight, count=count)


@dataclass(frozen=True)
class Parameter:
    """A tensor that is no layer of its own: a gate, a scale, a table of positions."""

    name: str
    shape: tuple[Size, ...]
    kind: Kind = "other"

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        yield Weight(self.name, tuple(d.size(size, layer) for size in self.shape), self.kind)


@dataclass(frozen=True)
class Linear:
    """A linear layer, or `count` of them."""

    name: str
    inputs: Size
    outputs: Size
    bias: Rule = False
    count: Size = 1

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        inputs, outputs, count = (d.size(size, layer) for size in (self.inputs, self.outputs, self.count))
        for weight in linear(self.name, inputs, outputs, d.yes(self.bias)):
            yield replace(weight, count=count)


def key_value_heads(d: Dimensions, layer: int) -> int:
    return d.key_value_heads


def head_size(d: Dimensions, layer: int) -> int:
    return d.head


@dataclass(frozen=True)
class Attention:
    """Queries for every head, keys and values for as many or fewer (Ainslie et al. 2023).

    `gated`: the query projection also makes a gate for the output. `norm`: over each head, over all heads at once,
    or by weights of each head's own.
    """

    module: str = "self_attn"
    bias: Rule = False
    output_bias: Rule = False
    key_values: Size = key_value_heads
    head: Size = head_size
    fused: str | None = None
    names: tuple[str, str, str] = ("q_proj", "k_proj", "v_proj")
    output: str = "o_proj"
    gated: bool = False
    norm: Literal["no", "head", "whole", "each"] = "no"
    norm_when: Rule = True
    norm_bias: bool = False
    sinks: bool = False
    shares_keys: Test | None = None
    """Layers that take keys and values from an earlier one."""
    no_values: Rule = False
    """Keys serve as values."""

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        head, keys = d.size(self.head, layer), d.size(self.key_values, layer)
        owns_keys = self.shares_keys is None or not self.shares_keys(d, layer)
        yield from self._projections(d, d.heads * head, keys * head if owns_keys else 0)
        yield from linear(f"{self.module}.{self.output}", d.heads * head, d.hidden, d.yes(self.output_bias))
        if self.norm != "no" and d.yes(self.norm_when):
            yield from self._norm("q_norm", d.heads, head)
            if owns_keys:
                yield from self._norm("k_norm", keys, head)
        if self.sinks:
            yield Weight(f"{self.module}.sinks", (d.heads,))

    def _projections(self, d: Dimensions, queries: int, keys: int) -> Iterator[Weight]:
        bias = d.yes(self.bias)
        if self.fused is not None:
            yield from linear(f"{self.module}.{self.fused}", d.hidden, queries + 2 * keys, bias)
            return
        query, key, value = (f"{self.module}.{name}" for name in self.names)
        yield from linear(query, d.hidden, 2 * queries if self.gated else queries, bias)
        if keys:
            yield from linear(key, d.hidden, keys, bias)
        if keys and not d.yes(self.no_values):
            yield from linear(value, d.hidden, keys, bias)

    def _norm(self, name: str, heads: int, head: int) -> Iterator[Weight]:
        shape = {"head": (head,), "whole": (heads * head,), "each": (heads, head)}[self.norm]
        yield from norm(f"{self.module}.{name}", *shape, bias=self.norm_bias)


@dataclass(frozen=True)
class LatentAttention:
    """Keys and values from one low-rank state (DeepSeek-V2, 2024); queries low-rank too where q_lora_rank is set."""

    indexed: Test | None = None
    """Layers that choose the tokens they attend to by an indexer (DeepSeek-V3.2)."""

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        bias = d.yes("attention_bias")
        rank, turned = d["kv_lora_rank"], d["qk_rope_head_dim"]
        plain, value = d["qk_nope_head_dim"], d["v_head_dim"]
        query_rank = d.optional("q_lora_rank")
        if query_rank:
            yield from linear("self_attn.q_a_proj", d.hidden, query_rank, bias)
            yield from norm("self_attn.q_a_layernorm", query_rank)
            yield from linear("self_attn.q_b_proj", query_rank, d.heads * (plain + turned))
        else:
            yield from linear("self_attn.q_proj", d.hidden, d.heads * (plain + turned))
        yield from linear("self_attn.kv_a_proj_with_mqa", d.hidden, rank + turned, bias)
        yield from norm("self_attn.kv_a_layernorm", rank)
        yield from linear("self_attn.kv_b_proj", rank, d.heads * (plain + value))
        yield from linear("self_attn.o_proj", d.heads * value, d.hidden, bias)
        if self.indexed is not None and self.indexed(d, layer):
            yield from self._indexer(d, d["q_lora_rank"])

    def _indexer(self, d: Dimensions, query_rank: int) -> Iterator[Weight]:
        heads, head = d["index_n_heads"], d["index_head_dim"]
        yield from linear("self_attn.indexer.wq_b", query_rank, heads * head)
        yield from linear("self_attn.indexer.wk", d.hidden, head)
        yield from norm("self_attn.indexer.k_norm", head, bias=True)
        yield from linear("self_attn.indexer.weights_proj", d.hidden, heads)


@dataclass(frozen=True)
class Mlp:
    """A feed-forward network. `into` has two names where it is gated; with `fused`, one matrix does both."""

    module: str = "mlp"
    width: Size = "intermediate_size"
    into: tuple[str, ...] = ("gate_proj", "up_proj")
    back: str = "down_proj"
    bias: Rule = False
    fused: bool = False

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        width, bias = d.size(self.width, layer), d.yes(self.bias)
        for name in self.into:
            yield from linear(f"{self.module}.{name}", d.hidden, 2 * width if self.fused else width, bias)
        yield from linear(f"{self.module}.{self.back}", width, d.hidden, bias)


@dataclass(frozen=True)
class Experts:
    """A mixture: a router, and experts stacked in three-dimensional parameters.

    Those are no nn.Linear: peft puts no adapter beside them and bitsandbytes leaves them in 16 bits.
    """

    count: Size = "num_experts"
    width: Size = "moe_intermediate_size"
    module: str = "mlp"
    router: str = "gate"
    router_bias: bool = False
    bias: bool = False
    gated: bool = True
    inputs: Size = "hidden_size"
    shared: Block | None = None
    """Experts that work on every token: linear layers like any other."""
    shared_gate: bool = False

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        experts, width, inputs = (d.size(size, layer) for size in (self.count, self.width, self.inputs))
        yield Weight(f"{self.module}.{self.router}.weight", (experts, d.hidden), "router")
        if self.router_bias:
            yield Weight(f"{self.module}.{self.router}.bias", (experts,), "router")
        wide = 2 * width if self.gated else width
        for name, rows, columns in (("gate_up_proj", wide, inputs), ("down_proj", inputs, width)):
            yield Weight(f"{self.module}.experts.{name}", (experts, rows, columns), "expert")
            if self.bias:
                yield Weight(f"{self.module}.experts.{name}_bias", (experts, rows), "expert")
        if self.shared is not None:
            yield from self.shared(d, layer)
        if self.shared_gate:
            yield Weight(f"{self.module}.shared_expert_gate.weight", (1, d.hidden), "router")


@dataclass(frozen=True)
class DeltaNet:
    """Linear attention by the gated delta rule (Yang et al. 2024), as Qwen3-Next and Qwen3.5 have it."""

    fused: bool = False

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        key_heads, value_heads = d["linear_num_key_heads"], d["linear_num_value_heads"]
        keys, values = key_heads * d["linear_key_head_dim"], value_heads * d["linear_value_head_dim"]
        mixed = {"in_proj_qkvz": 2 * keys + 2 * values, "in_proj_ba": 2 * value_heads}
        apart = {"qkv": 2 * keys + values, "z": values, "b": value_heads, "a": value_heads}
        for name, outputs in (mixed if self.fused else {f"in_proj_{name}": out for name, out in apart.items()}).items():
            yield from linear(f"linear_attn.{name}", d.hidden, outputs)
        yield from linear("linear_attn.out_proj", values, d.hidden)
        yield from norm("linear_attn.norm", d["linear_value_head_dim"])
        yield Weight("linear_attn.conv1d.weight", (2 * keys + values, 1, d["linear_conv_kernel_dim"]))
        yield Weight("linear_attn.dt_bias", (value_heads,))
        yield Weight("linear_attn.A_log", (value_heads,))


@dataclass(frozen=True)
class Mamba2:
    """A selective state space with heads (Dao and Gu 2024)."""

    width: Size
    heads: str = "mamba_n_heads"
    groups: str = "mamba_n_groups"
    state: str = "mamba_d_state"
    kernel: str = "mamba_d_conv"
    module: str = "mamba"
    bias: Rule = "mamba_proj_bias"
    output_bias: Rule = "mamba_proj_bias"
    convolution_bias: Rule = "mamba_conv_bias"
    norm: Rule = True

    def __call__(self, d: Dimensions, layer: int) -> Iterator[Weight]:
        width, heads = d.size(self.width, layer), d[self.heads]
        convolved = width + 2 * d[self.groups] * d[self.state]
        yield from linear(f"{self.module}.in_proj", d.hidden, width + convolved + heads, d.yes(self.bias))
        yield from linear(f"{self.module}.out_proj", width, d.hidden, d.yes(self.output_bias))
        yield from convolution(self.module, convolved, d[self.kernel], d.yes(self.convolution_bias))
        for name in ("dt_bias", "A_log", "D"):
            yield Weight(f"{self.module}.{name}", (heads,))
        if d.yes(self.norm):
            yield from norm(f"{self.module}.norm", width)


def convolution(module: str, width: int, kernel: int, bias: bool) -> Iterator[Weight]:
    """One filter of `kernel` steps a channel."""
    yield Weight(f"{module}.conv1d.weight", (width, 1, kernel))
    if bias:
        yield Weight(f"{module}.conv1d.bias", (width,))


def short_convolution(d: Dimensions, layer: int) -> Iterator[Weight]:
    """A gated convolution over a few tokens, as LFM2 has it in place of most attention layers."""
    bias = d.yes("conv_bias")
    yield from linear("conv.in_proj", d.hidden, 3 * d.hidden, bias)
    yield from linear("conv.out_proj", d.hidden, d.hidden, bias)
    yield from convolution("conv", d.hidden, d["conv_L_cache"], bias)


def mamba(d: Dimensions, layer: int) -> Iterator[Weight]:
    """A selective state space (Gu and Dao 2023), with Jamba's norms."""
    width, state = d["mamba_expand"] * d.hidden, d["mamba_d_state"]
    rank = math.ceil(d.hidden / 16) if d.written("mamba_dt_rank") == "auto" else d["mamba_dt_rank"]
    bias = d.yes("mamba_proj_bias")
    yield from linear("mamba.in_proj", d.hidden, 2 * width, bias)
    yield from linear("mamba.x_proj", width, rank + 2 * state)
    yield from linear("mamba.dt_proj", rank, width, True)
    yield from linear("mamba.out_proj", width, d.hidden, bias)
    yield from convolution("mamba", width, d["mamba_d_conv"], d.yes("mamba_conv_bias"))
    yield Weight("mamba.A_log", (width, state))
    yield Weight("mamba.D", (width,))
    for name, size in (("dt", rank), ("b", state), ("c", state)):
        yield from norm(f"mamba.{name}_layernorm", size)


def lightning_attention(d: Dimensions, layer: int) -> Iterator[Weight]:
    """MiniMax-01's linear attention."""
    width = d.heads * d.head
    yield from linear("self_attn.qkv_proj", d.hidden, 3 * width)
    yield from linear("self_attn.output_gate", d.hidden, width)
    yield from linear("self_attn.out_proj", width, d.hidden)
    yield from norm("self_attn.norm", width)
