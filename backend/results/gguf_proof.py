"""A GGUF file read back: its weights against the merged ones, its tokenizer's ids on real rows, its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetty.backend.conversation import Encoder
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.results.gguf_file import BLOCK, INTERLEAVED, Array, Described, named_tensors, read_tensors
from finetty.backend.results.gguf_vocabulary import rebuilt
from finetty.backend.results.proof import OTHER_TEMPLATE, REPORT_IT

READ_BACK = message(
    "results.read_back",
    "{file} was read back: {tensors} tensors agree with the merged ones, the ids of {rows} rows and the template are "
    "the same.",
)
OTHER_WEIGHTS = message("results.other_weights", "The weights of {name} in the GGUF file are not the merged ones.")
OTHER_IDS = message("results.other_ids", "The tokenizer in the GGUF file writes a row of the run with other ids.")


def prove_gguf(path: Path, model: Described, encoder: Encoder, rows: Sequence[Sequence[int]]) -> Message:
    """What was found. `rows` are token ids of the run. Raises Refusal where the file says something else."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if fields["tokenizer.chat_template"] != encoder.chat_template:
        raise Refusal(OTHER_TEMPLATE(), REPORT_IT())
    check_ids(fields, encoder, rows)
    found = {tensor.name: tensor for tensor in reader.tensors}
    for name, _tensor, values in read_tensors(model, named_tensors(model)):
        if name not in found or not _agrees(found.pop(name), name, values, fields):
            raise Refusal(OTHER_WEIGHTS(name=name), REPORT_IT())
    if found.keys() - {"rope_freqs.weight"}:
        raise Refusal(OTHER_WEIGHTS(name=next(iter(found))), REPORT_IT())
    return READ_BACK(file=path.name, tensors=len(reader.tensors), rows=len(rows))


def check_ids(fields: Mapping[str, Any], encoder: Encoder, rows: Sequence[Sequence[int]]) -> None:
    """Raises Refusal where the tokenizer that the fields describe writes a row with other ids than the run's."""
    tokenizer = rebuilt(fields)
    for ids in rows:
        text = encoder.decode(ids, special=True)
        if tokenizer.encode(text).ids != encoder.tokenizer.encode(text, add_special_tokens=False).ids:
            raise Refusal(OTHER_IDS(), REPORT_IT())


def _agrees(stored: Any, name: str, values: Array, fields: dict[str, Any]) -> bool:
    """Equal to the bit after rounding in f16; within half of a block's step in q8_0."""
    from gguf import GGMLQuantizationType, dequantize

    read = in_transformers_order(
        np.asarray(dequantize(stored.data, stored.tensor_type), dtype=np.float32), name, fields
    )
    if read.shape != values.shape:
        return False
    if stored.tensor_type != GGMLQuantizationType.Q8_0:
        exact = values.astype(np.float16) if stored.tensor_type == GGMLQuantizationType.F16 else values
        return bool((read == exact.astype(np.float32)).all())
    blocks, errors = values.reshape(-1, BLOCK), np.abs(read - values).reshape(-1, BLOCK)
    largest = np.abs(blocks).max(axis=1)
    step = largest / 127
    # The block's scale is itself rounded to 16 bits: half a unit in the last place of the largest weight, and below
    # the smallest normal number of that format half of its step.
    allowed = step * 0.5 + largest * 2.0**-10 + 127 * 2.0**-25
    return bool((errors.max(axis=1) <= allowed).all())


def in_transformers_order(values: Array, name: str, fields: dict[str, Any]) -> Array:
    """Rows of queries and keys back from llama.cpp's pairs to halves, by the file's own architecture and heads."""
    architecture = fields["general.architecture"]
    counts = {"attn_q": "head_count", "attn_k": "head_count_kv"}
    counted = counts.get(name.split(".")[-2])
    if counted is None or architecture not in INTERLEAVED:
        return values
    heads = int(fields[f"{architecture}.attention.{counted}"])
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)
