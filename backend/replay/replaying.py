"""`replay`: a job's peak, from its own training steps on fake tensors."""

from __future__ import annotations

import logging
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from finetty.backend.memory import Job, MemoryPrediction
from finetty.backend.memory.estimate import CPU_CONTEXT, CUBLAS_WORKSPACE, HEAP_HOLES, context_on
from finetty.backend.messages import Refusal
from finetty.backend.replay.building import build, cannot, materialize, not_built
from finetty.backend.replay.events import ROUNDED_TO, Event, NotSteady, Trace, repeated
from finetty.backend.replay.fused import fused_kernels
from finetty.backend.replay.kernels import FLASH, cuda_kernels, know_flash, nothing_looked_at
from finetty.backend.replay.peak import peak_of
from finetty.backend.replay.recording import Recorder
from finetty.backend.replay.steps import run_steps

COMPONENTS = ("weights", "adapter", "gradients", "optimizer", "activations", "loss", "workspace")
LOADED = Event(-1, 0, None)
"""Where in a trace loading ends."""
ROOM = -2
"""The number of the storage that makes room for all weights."""
Kind = Literal["cuda", "cpu"]


@dataclass(frozen=True)
class Card:
    """What of a card decides how much a run takes on it. `room`: all its bytes; `flash`: it has such kernels."""

    name: str = ""
    room: int | None = None
    flash: bool = True


@dataclass(frozen=True)
class Replayed:
    """`seconds`: how long it took; `whole`: every layer was run, not a few for all."""

    prediction: MemoryPrediction
    seconds: float
    whole: bool


def replay(job: Job, folder: Path, kind: Kind, card: Card | None = None, *, whole: bool = False) -> Replayed:
    """The peak of a job on the model whose config.json is in `folder`.

    Raises Refusal for what it cannot express: remote code, kernels that it does not know, what the library refuses.
    """
    began = time.monotonic()
    try:
        trace = traced(job, folder, kind, card or Card(), whole=whole)
    except NotSteady:
        whole = True
        trace = traced(job, folder, kind, card or Card(), whole=True)
    return Replayed(_prediction(job, trace, kind, card or Card()), time.monotonic() - began, whole)


def traced(job: Job, folder: Path, kind: Kind, card: Card, *, whole: bool) -> Trace:
    """All that is taken and given back, from loading to the end of the second step. Raises NotSteady, Refusal."""
    if job.quantization not in ("none", "nf4", "fp4", "int8"):
        raise cannot(f"{job.quantization} weights")
    if job.attention.startswith("fa"):
        know_flash()
    attention = FLASH if job.attention.startswith("fa") else job.attention
    logging.getLogger("transformers").setLevel(logging.ERROR)
    built = build(job, folder, attention=attention, whole=whole)
    recorder = Recorder(ROUNDED_TO, workspace=CUBLAS_WORKSPACE) if kind == "cuda" else Recorder()
    kernels = cuda_kernels(flash=card.flash, repeats_heads=job.repeats_heads) if kind == "cuda" else nullcontext()
    try:
        with (
            warnings.catch_warnings(),
            torch.enable_grad(),
            nothing_looked_at(packed=job.packed),
            fused_kernels(built.model, built.layers[0], job),
            kernels,
            FakeTensorMode(allow_non_fake_inputs=True),
        ):
            warnings.simplefilter("ignore")
            with recorder:
                materialize(built, job, recorder, on_card=kind == "cuda")
                recorder.trace.events.append(LOADED)
                run_steps(built, job, recorder, kind)
    except (Refusal, NotSteady):
        raise
    except Exception as error:  # whatever a foreign model does that fake tensors cannot follow
        raise not_built(error) from error
    trace = recorder.trace
    if kind == "cuda" and job.optimizer.startswith("paged"):
        trace.outside = 2 * built.pageable
    for stretch in built.stretches:
        trace = repeated(trace, stretch)
    return _loaded_first(trace, job, kind)


def _loaded_first(trace: Trace, job: Job, kind: Kind) -> Trace:
    """transformers takes the room of all weights at once and gives it back before it loads them onto a card."""
    end = trace.events.index(LOADED)
    events = trace.events[:end]
    rest = trace.events[end + 1 :]
    if kind == "cuda" and job.loads_on_card:
        gone = {event.number for event in events if not event.size}
        stays = sum(e.size for e in events if e.number not in gone and trace.parts[e.number] == "weights")
        trace.parts[ROOM] = "weights"
        events = [Event(ROOM, stays, None), Event(ROOM, 0, None), *events]
    return Trace([*events, *rest], trace.parts, trace.outside)


def _prediction(job: Job, trace: Trace, kind: Kind, card: Card) -> MemoryPrediction:
    peak = peak_of(trace, caching=kind == "cuda")
    context = CPU_CONTEXT if kind == "cpu" else context_on(card.name)
    components = {name: peak.components.get(name, 0) for name in COMPONENTS}
    reserved = peak.reserved
    if kind == "cpu":
        reserved += round(HEAP_HOLES * (components["activations"] + components["loss"]))
    elif card.room is not None:
        # Where the card is nearly full the allocator returns what it holds in vain before it gives up.
        reserved = min(reserved, max(peak.allocated, card.room - context))
    outside = context + trace.outside
    return MemoryPrediction(peak.allocated, reserved, reserved + outside, {**components, "context": outside})
