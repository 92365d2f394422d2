"""What the caching allocator reserves for a job: weights as they are loaded, then the events of a step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from finetty.backend.memory.allocator import ROUNDED_TO, SMALL, SMALL_SEGMENT, CachingAllocator
from finetty.backend.memory.job import Job
from finetty.backend.models.facts import ModelFacts

LOADED = 1 << 20
"""More than the tensors of any model."""
Events = list[tuple[int, int]]
"""(storage's number, its size) where it is taken, (number, 0) where it is given back."""


def reserved_on_card(job: Job, model: ModelFacts, events: Events, quantized_bytes: float, stays: int) -> int:
    """Bytes of all segments. `quantized_bytes`: of a quantized parameter; `stays`: adapter, states and the like.

    Blocks of the small pool are counted by their sum: they fill its segments well.
    """
    allocator = CachingAllocator(*_loaded(_as_loaded(job), model, quantized_bytes))
    large, small = _large(events)
    if stays > SMALL and job.method != "lora":
        allocator.take(-1, _rounded(stays))
        stays = 0
    allocator.replay(large)
    return allocator.reserved + -(-(small + stays) // SMALL_SEGMENT) * SMALL_SEGMENT


def _large(events: Events) -> tuple[Events, int]:
    """The events of the large pool, and the most that is taken of the small one."""
    large: Events = []
    there: dict[int, int] = {}
    live = most = 0
    for number, size in events:
        if size > SMALL:
            large.append((number, -(-size // ROUNDED_TO) * ROUNDED_TO))
        elif size:
            there[number] = size
            live += size
            most = max(most, live)
        elif number in there:
            live -= there.pop(number)
        else:
            large.append((number, 0))
    return large, most


def _as_loaded(job: Job) -> Job:
    """The job with nothing but what decides how the weights lie."""
    return Job(
        method=job.method,
        compute=job.compute,
        quantization=job.quantization,
        weights=job.weights,
        upcast=job.upcast,
        loads_on_card=job.loads_on_card,
    )


@lru_cache(maxsize=256)
def _loaded(job: Job, model: ModelFacts, quantized_bytes: float) -> tuple[int, tuple[int, ...]]:
    """Bytes reserved with the weights loaded, and the holes between them."""
    allocator = CachingAllocator()
    _load(allocator, job, model, quantized_bytes)
    return allocator.reserved, allocator.holes()


def _load(allocator: CachingAllocator, job: Job, model: ModelFacts, quantized_bytes: float) -> None:
    """Weights one after the other; where transformers puts them on the card, out of one block that it made room for.

    prepare_model_for_kbit_training then replaces those that are not quantized by copies in fp32.
    """
    sizes = list(_weights(job, model, quantized_bytes))
    if job.loads_on_card:
        room = sum(size if packed or not job.upcast else half for size, half, packed in sizes)
        allocator.take(-2, _rounded(room))
        if job.quantization == "none":
            return
        allocator.give(-2)
    _place(allocator, job, sizes)


def _place(allocator: CachingAllocator, job: Job, sizes: list[tuple[int, int, bool]]) -> None:
    """A quantized weight's 16 bits are there until it is packed; its scales are a tensor of their own."""
    for number, (size, half, packed) in enumerate(sizes, 3):
        kept = _rounded(half if job.upcast and not packed else size)
        if packed and job.quantization != "gptq" and half > SMALL:
            allocator.take(-1 - LOADED, _rounded(half))
            if kept > SMALL:
                allocator.take(-number, kept)
            allocator.give(-1 - LOADED)
        elif kept > SMALL:
            allocator.take(-number, kept)
    for number, (size, half, packed) in enumerate(sizes if job.upcast else (), 3):
        if not packed and half > SMALL:
            allocator.take(-number - LOADED - 1, _rounded(size))
            allocator.give(-number)


def _weights(job: Job, model: ModelFacts, quantized_bytes: float) -> Iterator[tuple[int, int, bool]]:
    """Of each tensor: its bytes, those in 16 bits, whether it is quantized."""
    outside = (model.vocabulary or 0) * (model.hidden_size or 0)
    each, layers = job.residual_bytes, model.layers or 1
    yield job.end_bytes * outside, 2 * outside, False
    everything = model.parameters or model.trainable_text_parameters or 0
    rest = everything - outside * (1 if model.tied_embeddings else 2)
    for _ in range(layers):
        for module in model.linear_modules:
            for _ in range(module.count // layers):
                one = module.inputs * module.outputs
                if job.quantization == "none":
                    yield each * one, 2 * one, False
                else:
                    yield round(quantized_bytes * one), 2 * one, True
    rest -= sum(module.parameters for module in model.linear_modules)
    for _ in range(layers if rest > 0 else 0):
        yield each * (rest // layers), 2 * (rest // layers), False
    if not model.tied_embeddings:
        yield job.end_bytes * outside, 2 * outside, False


def _rounded(size: int) -> int:
    return -(-size // ROUNDED_TO) * ROUNDED_TO
