"""One training step of a whole model on a tape: embeddings, layers, loss, the way back, the optimizer.

Layers are alike, so the first and the last are run in full; for those between, what they keep is taken and given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetty.backend.memory.job import Job
from finetty.backend.memory.layer import Layer, Shape
from finetty.backend.memory.tape import Tape, Value

POSITIONS_AT_ONCE = 256
"""Trained positions whose logits the chunked loss makes at a time: enough to keep a card busy with any vocabulary."""


@dataclass(frozen=True)
class Outside:
    """Around the layers. `head_trained`, `head_bytes`: the output head's weights; sizes in numbers and bytes."""

    layers: int
    vocabulary: int
    head_size: int
    head_bytes: int
    head_trained: bool
    embeddings_trained: bool
    tied: bool
    layer_gradients: tuple[int, ...]
    """What a layer's trained parameters leave behind, for the layers that are not run in full."""
    learning_layers: int
    """Layers that the gradient goes through, from the last one down."""


class Step:
    """Runs a step. After `run`, the tape holds its events and its peak."""

    def __init__(self, job: Job, shape: Shape, outside: Outside, *, rows_of_chunk: int) -> None:
        self.job, self.outside = job, outside
        self.tape = Tape(gathers=job.accumulates)
        self.layer = Layer(self.tape, job, shape)
        self.hidden = job.tokens * shape.hidden
        self._runs: list[tuple[Value, int, Value]] = []
        """Of each layer run in full: what entered, the graph's length before it, what left."""
        self._between: list[range] = []
        self._beside: list[int] = []
        """What bitsandbytes' int8 layers hold of their inputs where checkpointing does not see it."""
        self._rows_of_chunk = rows_of_chunk
        self.turned = 0
        """The number of events up to where the last layer is through with its backward pass."""

    def run(self) -> Tape:
        tape, job, outside = self.tape, self.job, self.outside
        self._around()
        frozen = outside.layers - outside.learning_layers
        entering = tape.value(self.hidden, job.end_bytes, learns=frozen == 0)
        if frozen:
            entering = self._pass_frozen(entering)
        leaving = self._forward(entering, outside.learning_layers)
        before_loss = tape.mark()
        loss, kept, forward_only = self._loss(leaving)
        tape.drop(*self.layer.cached, *forward_only)
        self.layer.cached.clear()
        tape.part = "loss"
        tape.backward(loss, None, until=before_loss)
        tape.part = "activations"
        gradient = tape.take(leaving.size) if leaving.gradient is None else leaving.gradient
        leaving.gradient = None
        self._backward(gradient)
        if outside.embeddings_trained:
            tape.keep(job.trained_bytes * outside.vocabulary * self.layer.shape.hidden, added=outside.tied)
        tape.drop(*kept)
        return tape

    def _around(self) -> None:
        """Token ids, labels and positions; the angles' sines and cosines; a mask of all pairs where one is made."""
        job, tape = self.job, self.tape
        for _ in range(3):
            tape.take(8 * job.tokens)
        for _ in range(2):
            tape.take(job.residual_bytes * job.length * self.outside.head_size)
        if job.attention == "eager" or (job.masked and not job.attention.startswith("fa")):
            tape.take(job.residual_bytes * job.micro_batch * job.length**2)

    def _pass_frozen(self, entering: Value) -> Value:
        tape = self.tape
        tape.saving = False
        leaving = self.layer.forward(entering)
        tape.saving = True
        tape.drop(entering)
        leaving.learns = False
        return leaving

    # Forward

    def _forward(self, entering: Value, layers: int) -> Value:
        before = len(self.tape.events)
        leaving = self._in_full(entering)
        if layers == 1:
            return leaving
        kept = [] if self.job.offloading else _left_by(self.tape.events[before:])
        self._between = [self.tape.take_all(kept) for _ in range(layers - 2)]
        return self._in_full(leaving)

    def _in_full(self, entering: Value) -> Value:
        tape, mark = self.tape, self.tape.mark()
        tape.saving = not self.job.checkpointing
        leaving = self.layer.forward(entering)
        tape.saving = leaving.learns = True
        if self.job.checkpointing and self.job.quantization == "int8":
            self._beside.append(tape.take(self.layer.inputs_of_bytes()))
        self._runs.append((entering, mark, leaving))
        if not self.job.checkpointing:
            tape.drop(entering)
        return leaving

    # Loss

    def _loss(self, leaving: Value) -> tuple[Value, tuple[Value, ...], tuple[Value, ...]]:
        """The loss, what is kept to the end of the step, and what lasts as long as the forward pass."""
        tape, job = self.tape, self.job
        normed = self.layer.norm(leaving)
        tape.drop(leaving)
        if job.loss_kind == "chunked":
            return self._in_chunks(normed), (), ()
        if job.loss_kind == "fused_linear":
            return self._without_logits(normed), (), ()
        tape.part = "loss"
        logits = self._logits(normed)
        # a kernel of its own reads the logits as they are; torch's wants them in fp32
        as_they_are = job.loss_kind == "in_place" and not job.shifts_logits
        wide = tape.cast(logits, logits.each if as_they_are else 4)
        flat = wide
        if job.shifts_logits:
            flat = tape.apply(wide.count, 4, wide)
        if job.loss_kind == "in_place":
            loss = tape.apply(job.tokens, 4, flat, saves=(flat,), manner="replaces")
        else:
            loss = tape.apply(flat.count, 4, flat, saves_own=True)
        tape.drop(normed, wide)  # the model names what its head was given until it has the loss
        if flat is not wide:
            tape.drop(flat)
        if job.autocast and job.library_trainer and logits.each < 4:
            tape.passing(4 * logits.count)
        # cross entropy's own output is one number: what was named here is only saved
        tape.drop(loss)
        return loss, (logits,) if job.keeps_outputs else (), () if job.keeps_outputs else (logits,)

    def _logits(self, normed: Value) -> Value:
        tape, job, outside = self.tape, self.job, self.outside
        each = job.compute_bytes if job.autocast else max(outside.head_bytes, job.residual_bytes)
        elements = outside.vocabulary * self.layer.shape.hidden
        given = tape.cast(normed, each)
        logits = tape.apply(
            job.tokens * outside.vocabulary,
            each,
            given,
            saves=(given,) if outside.head_trained else (),
            extra=each * elements if outside.head_bytes != each else 0,
            back_within=(each * elements,) if outside.head_trained and outside.head_bytes != each else (),
            keeps=(job.trained_bytes * elements,) if outside.head_trained else (),
        )
        tape.drop(given)
        if not job.widens_logits:
            return logits
        wide = tape.cast(logits, 4)
        tape.drop(logits)
        return wide

    def _without_logits(self, normed: Value) -> Value:
        """Liger's fused loss: logits of a chunk of tokens at a time, their gradient in place; the input's is kept."""
        tape, job, hidden = self.tape, self.job, self.layer.shape.hidden
        tape.part = "loss"
        each = job.compute_bytes
        chunk = self._rows_of_chunk * self.outside.vocabulary
        elements = self.outside.vocabulary * hidden
        gradient = tape.value(normed.count, normed.each)
        keeps = (job.trained_bytes * elements,) if self.outside.head_trained else ()
        loss = tape.apply(
            job.tokens,
            4,
            normed,
            saves=(gradient,),
            within=(each * chunk, 4 * chunk, 4 * elements if keeps else 0),
            keeps=keeps,
            manner="replaces",
        )
        tape.drop(gradient, normed, loss)
        return loss

    def _in_chunks(self, normed: Value) -> Value:
        """finetty's: the trained positions, all of them at most, picked out; then some hundred at a time as torch's
        cross entropy does it, each with its gradient: its output, that one's gradient and the logits' at once."""
        tape, job, outside = self.tape, self.job, self.outside
        tape.part = "loss"
        each = job.compute_bytes if job.autocast else max(outside.head_bytes, job.residual_bytes)
        chunk, elements = self._rows_of_chunk * outside.vocabulary, outside.vocabulary * self.layer.shape.hidden
        keeps = (job.trained_bytes * elements,) if outside.head_trained else ()
        chosen = tape.apply(normed.count, normed.each, normed)
        gradient = tape.value(normed.count, normed.each)
        cast = (each * elements,) if outside.head_bytes != each else ()
        of_head = (2 * 4 * elements,) if keeps else ()
        loss = tape.apply(
            job.tokens,
            4,
            chosen,
            saves=(gradient,),
            within=(*cast, 4 * chunk, 4 * chunk, 4 * chunk, *of_head),
            keeps=keeps,
        )
        tape.drop(gradient, chosen, normed, loss)
        return loss

    # Backward

    def _backward(self, gradient: int) -> None:
        for entering, mark, leaving in reversed(self._runs):
            arrived = self._one_back(entering, mark, leaving, gradient)
            self.turned = self.turned or len(self.tape.events)
            self._back_between()
            if arrived is None:
                return
            gradient = arrived
        self.tape.give(gradient)

    def _one_back(self, entering: Value, mark: int, leaving: Value, gradient: int) -> int | None:
        """A layer's backward pass, after it was computed again if it is checkpointed; what it hands further down."""
        tape = self.tape
        held: list[int] = []
        if self.job.checkpointing:
            mark = tape.mark()
            leaving = self.layer.forward(entering)
            if self.job.reentrant:
                held = [leaving.storage, gradient]
                tape.hold(gradient)
            else:
                tape.drop(leaving)
        tape.backward(leaving, gradient, until=mark)
        for storage in held:
            tape.give(storage)
        if self._beside:
            tape.give(self._beside.pop())
        if self.job.checkpointing:
            tape.drop(entering)
        arrived, entering.gradient = entering.gradient, None
        return arrived

    def _back_between(self) -> None:
        tape = self.tape
        while self._between:
            tape.give_all(self._between.pop())
            for size in self.outside.layer_gradients:
                tape.keep(size)


def chunk_rows(job: Job, vocabulary: int, hidden: int) -> int:
    """Tokens that the loss takes at a time. Liger's: as many chunks as the vocabulary is wider than the hidden state,
    and then a power of two."""
    tokens = job.tokens
    if job.loss_kind == "chunked":
        return min(tokens, POSITIONS_AT_ONCE)
    chunks = -(-vocabulary // hidden)
    return 1 << (-(-tokens // chunks) - 1).bit_length()


def _left_by(events: Sequence[tuple[int, int]]) -> list[int]:
    """Sizes of the storages that were taken and not given back."""
    taken: dict[int, int] = {}
    for number, size in events:
        if size:
            taken[number] = size
        else:
            taken.pop(number, None)
    return list(taken.values())
