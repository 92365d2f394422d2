"""One decoder layer as PyTorch computes it: which tensors it makes, and which of them its backward pass needs.

After transformers' decoder layers (RMSNorm in fp32, rotary positions, a gated product), peft's LoRA and bitsandbytes'
4- and 8-bit linear layers. N is the tokens of a micro-batch; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finetty.backend.memory.job import Job
from finetty.backend.memory.tape import Tape, Value

QUERY, KEY, VALUE, OUT = "q_proj", "k_proj", "v_proj", "o_proj"


@dataclass(frozen=True)
class Linear:
    """One linear layer: `rank` of its adapter, 0 without; `trained`: its own weights are."""

    inputs: int
    outputs: int
    rank: int = 0
    trained: bool = False
    bias: bool = False
    quantized: bool = True

    @property
    def elements(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Shape:
    """A layer's dimensions; `queries` and `keys` are heads × their size. `others`: linear layers beside the usual."""

    hidden: int
    heads: int
    queries: int
    keys: int
    width: int
    linears: Mapping[str, Linear]
    fused_attention: str | None
    feed_forward: tuple[str, ...]
    others: tuple[str, ...]
    rows: int = 1
    """How many experts work on a token; `width` is one expert's."""
    norms_trained: bool = False


class Layer:
    """Runs a layer on a tape. `residual`, `compute`: bytes of a number in the residual stream and in products."""

    def __init__(self, tape: Tape, job: Job, shape: Shape) -> None:
        self.tape, self.job, self.shape = tape, job, shape
        self.tokens = job.tokens
        self.residual, self.compute = job.residual_bytes, job.compute_bytes
        self.fused_norms, self.fused_gate = job.liger or job.fused_norms, job.liger or job.fused_gate
        self.cached: list[Value] = []
        """16-bit copies of trained fp32 weights that autocast keeps to the end of the forward pass."""

    def forward(self, entering: Value) -> Value:
        tape = self.tape
        normed = self.norm(entering)
        attended, held = self._attention(normed)
        tape.drop(normed)
        between = tape.add(entering, attended)
        tape.drop(attended)
        normed = self.norm(between)
        fed = self._feed_forward(normed)
        tape.drop(normed)
        leaving = tape.add(between, fed)
        tape.drop(between, fed, *held)
        return leaving

    def norm(self, entering: Value) -> Value:
        """RMSNorm: transformers computes it in fp32; a fused kernel keeps its input and one number a token."""
        tape, count = self.tape, entering.count
        keeps = (self.job.trained_bytes * self.shape.hidden,) if self.shape.norms_trained else ()
        if self.fused_norms:
            return tape.apply(count, entering.each, entering, saves=(entering,), extra=4 * self.tokens, keeps=keeps)
        wide = tape.cast(entering, 4)
        tape.passing(4 * count)
        scaled = tape.apply(count, 4, wide, saves=(wide,), extra=4 * self.tokens, back_within=(4 * count, 4 * count))
        tape.drop(wide)
        narrow = tape.cast(scaled, entering.each)
        tape.drop(scaled)
        each = max(entering.each, self.residual)  # its weights are in the residual stream's format
        normed = tape.apply(count, each, narrow, saves=(narrow,) if keeps else (), keeps=keeps)
        tape.drop(narrow)
        return normed

    # Attention

    def _attention(self, normed: Value) -> tuple[Value, tuple[Value, ...]]:
        """What attention adds to the residual stream, and what its caller still holds."""
        tape = self.tape
        query, key, value = self._projected(normed)
        turned, turned_key = self._turn(query), self._turn(key)
        tape.drop(query, key)
        wanted = self.compute if self.job.autocast or self.job.attention.startswith("fa") else turned.each
        ready = [tape.cast(one, wanted) for one in (turned, turned_key, value)]
        tape.drop(turned, turned_key, value)
        held: tuple[Value, ...] = ()
        if self.job.attention == "eager":
            mixed, scores = self._eager(*ready)
            held = (scores,)
        else:
            mixed = self._kernel(*ready)
        tape.drop(*ready)
        narrow = tape.cast(mixed, normed.each if not self.job.autocast else mixed.each)
        tape.drop(mixed)
        out = self._linear(narrow, OUT)
        tape.drop(narrow)
        for name in self.shape.others:
            inputs = self.shape.linears[name].inputs
            if inputs == self.shape.hidden:
                tape.drop(self._linear(normed, name))
        return out, held

    def _projected(self, normed: Value) -> tuple[Value, Value, Value]:
        shape = self.shape
        if shape.fused_attention is None:
            return self._linear(normed, QUERY), self._linear(normed, KEY), self._linear(normed, VALUE)
        whole = self._linear(normed, shape.fused_attention)
        query, key, value = self.tape.split(
            whole, [self.tokens * one for one in (shape.queries, shape.keys, shape.keys)]
        )
        return query, key, value

    def _turn(self, entering: Value) -> Value:
        """Rotary positions: two products and their sum, in the wider of the value's and the residual's format."""
        each = entering.each if self.fused_norms else max(entering.each, self.residual)
        size = entering.count * each
        if self.fused_norms:
            return self.tape.apply(entering.count, each, entering, manner="passes")
        return self.tape.apply(
            entering.count, each, entering, within=(size, size), back_within=(size, entering.count * entering.each)
        )

    def _eager(self, query: Value, key: Value, value: Value) -> tuple[Value, Value]:
        """Scores of every pair of tokens: scaled, masked, as probabilities in fp32 and in the product's format."""
        tape, job, each = self.tape, self.job, query.each
        scores = job.micro_batch * self.shape.heads * job.length**2
        query, key, value = (self._whole(one) for one in (query, key, value))
        raw = tape.apply(scores, each, query, key, saves=(query, key))
        scaled = tape.apply(scores, each, raw)
        tape.drop(raw)
        masked = tape.add(scaled)
        tape.drop(scaled)
        # CUDA's softmax multiplies gradient and output into a tensor of its own on the way back.
        soft = tape.apply(scores, 4, masked, saves_own=True, back_within=(4 * scores,))
        likely = tape.cast(soft, each)
        tape.drop(soft, masked)
        mixed = tape.apply(self.tokens * self.shape.queries, each, likely, value, saves=(likely, value))
        tape.drop(query, key, value)
        joined = tape.add(mixed)
        tape.drop(mixed)
        return joined, likely

    def _whole(self, value: Value) -> Value:
        """With a head for each query's head, and laid out for one batched product: a copy where it is not so yet."""
        full = self.tokens * self.shape.queries
        if value.count == full and self.job.micro_batch == 1:
            return self.tape.cast(value, value.each)
        return self.tape.apply(full, value.each, value)

    def _kernel(self, query: Value, key: Value, value: Value) -> Value:
        """A kernel that never writes the scores; it keeps its inputs, its output and one number a head and token."""
        tape, shape, full = self.tape, self.shape, self.tokens * self.shape.queries
        numbers = 4 * shape.heads * self.tokens
        grouped = key.count != full
        if grouped and self.job.repeats_heads:
            key, value = tape.apply(full, key.each, key), tape.apply(full, value.each, value)
        else:
            key, value = tape.cast(key, key.each), tape.cast(value, value.each)
        within = [numbers]
        if query.each < 4:
            within.append(4 * full)
        if grouped and not self.job.repeats_heads:
            within += [full * query.each] * 2
        out = tape.apply(
            full,
            query.each,
            query,
            key,
            value,
            saves=(query, key, value),
            saves_own=True,
            extra=numbers,
            back_within=within,
        )
        tape.drop(key, value)
        return out

    # The feed-forward part

    def _feed_forward(self, normed: Value) -> Value:
        """gate, up and down; or up and down with an activation between; of a mixture, the experts that work."""
        tape, names = self.tape, self.shape.feed_forward
        wide = self.tokens * self.shape.rows * self.shape.width
        if len(names) == 3:
            gate = self._linear(normed, names[0])
            product = self._gated(gate, self._linear(normed, names[1]), wide)
        elif names[0].startswith("gate"):
            both = self._linear(normed, names[0])
            gate, up = tape.split(both, [wide, wide])
            product = self._gated(gate, up, wide)
        else:
            up = self._linear(normed, names[0])
            product = tape.apply(up.count, up.each, up, saves=(up,))
            tape.drop(up)
        fed = self._linear(product, names[-1])
        tape.drop(product)
        return fed

    def _gated(self, gate: Value, up: Value, wide: int) -> Value:
        tape = self.tape
        if self.fused_gate:
            product = tape.apply(wide, up.each, gate, up, saves=(gate, up), manner="replaces")
            tape.drop(gate, up)
            return product
        active = tape.apply(wide, gate.each, gate, saves=(gate,))
        tape.drop(gate)
        product = tape.apply(wide, up.each, active, up, saves=(active, up))
        tape.drop(active, up)
        return product

    # Linear layers

    def inputs_of_bytes(self) -> int:
        """Bytes of the inputs of linear layers in int8, which bitsandbytes holds whatever autograd saves."""
        shape = self.shape
        wide = all(shape.linears[name].quantized for name in shape.feed_forward)
        numbers = shape.hidden + shape.queries + ((shape.hidden + shape.rows * shape.width) if wide else 0)
        return self.tokens * self.compute * numbers

    def _linear(self, entering: Value, name: str) -> Value:
        linear = self.shape.linears[name]
        if linear.rank and self.job.fused_adapters:
            return self._at_once(entering, linear)
        result = self._base(entering, linear)
        return self._adapted(entering, result, linear) if linear.rank else result

    def _base(self, entering: Value, linear: Linear) -> Value:
        tape, rows = self.tape, entering.count // linear.inputs
        quantization = self.job.quantization if linear.quantized else "none"
        given = tape.cast(entering, self.compute)
        count = rows * linear.outputs
        if quantization == "none":
            result = self._product(given, linear, count)
        else:
            whole = self._unpacked(linear)
            in_bytes = quantization == "int8"
            within = (given.count, 4 * count, 2 * count) if in_bytes else (whole,)
            saves = (given,) if in_bytes else ()
            result = tape.apply(count, self.compute, given, saves=saves, within=within, back_within=(whole,))
        tape.drop(given)
        if quantization in ("none", "gptq"):
            return result
        back = tape.cast(result, entering.each)
        tape.drop(result)
        return back

    def _unpacked(self, linear: Linear) -> int:
        """Bytes of a quantized weight that is unpacked to be multiplied; GPTQ's kernel does it piece by piece."""
        quantization = self.job.quantization if linear.quantized else "none"
        return 0 if quantization in ("none", "gptq") else self.compute * linear.elements

    def _at_once(self, entering: Value, linear: Linear) -> Value:
        """The product and the adapter's added to it by one kernel (Unsloth's, and FOAK's after it)."""
        tape, job, rows = self.tape, self.job, entering.count // linear.inputs
        given = tape.cast(entering, self.compute)
        taken = tape.value(given.count, given.each, learns=False) if job.dropout else tape.cast(given, given.each)
        count, whole = rows * linear.outputs, self._unpacked(linear)
        result = tape.apply(
            count,
            self.compute,
            given,
            saves=(given, taken),
            within=(whole, self.compute * count),
            back_within=(whole, given.size),
            keeps=tuple(job.trained_bytes * side * linear.rank for side in (linear.inputs, linear.outputs)),
        )
        tape.drop(given, taken)
        return result

    def _product(self, given: Value, linear: Linear, count: int) -> Value:
        job, tape = self.job, self.tape
        held = job.trained_bytes if linear.trained else job.weight_bytes
        copy = self.compute * linear.elements if held != self.compute else 0
        keeps = (job.trained_bytes * linear.elements,) if linear.trained else ()
        if copy and linear.trained and not tape.saving:
            self.cached.append(tape.value(copy, 1))
            copy = 0
        return tape.apply(
            count,
            self.compute,
            given,
            saves=(given,) if linear.trained else (),
            extra=copy,
            back_within=(copy,) if linear.trained else (),
            keeps=keeps,
        )

    def _adapted(self, entering: Value, result: Value, linear: Linear) -> Value:
        """peft's LoRA: the input once more in the adapter's fp32, through two thin matrices, scaled, added."""
        tape, job = self.tape, self.job
        four_bit = job.quantization in ("nf4", "fp4")
        if four_bit:
            copied = tape.add(result)
            tape.drop(result)
            result = copied
        given = tape.cast(entering, entering.each if four_bit and job.autocast else job.trained_bytes)
        if job.dropout:
            dropped = tape.apply(given.count, given.each, given, extra=given.count)
            tape.drop(given)
            given = dropped
        each = self.compute if job.autocast else job.trained_bytes
        taken = tape.cast(given, each)
        rows = entering.count // linear.inputs
        thin = tape.apply(
            rows * linear.rank, each, taken, saves=(taken,), keeps=(job.trained_bytes * linear.inputs * linear.rank,)
        )
        tape.drop(taken)
        wide = tape.apply(
            result.count, each, thin, saves=(thin,), keeps=(job.trained_bytes * linear.outputs * linear.rank,)
        )
        tape.drop(thin)
        scaled = tape.apply(result.count, each, wide)
        tape.drop(wide)
        total = tape.add(result, scaled)
        tape.drop(scaled)
        narrow = tape.cast(total, result.each)
        tape.drop(total, result, given)
        return narrow
