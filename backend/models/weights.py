"""What a checkpoint holds, from the headers of its safetensors files alone: no weight is read."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message
from finetty.backend.models.configuration import GET_IT_AGAIN, read_json

TRUNCATED = message("models.truncated", "The weight file {file} is cut off or damaged: {reason}.")
MISSING_SHARDS = message("models.missing_shards", "{missing} of the model's {count} weight files are missing: {first}.")
STRANGE_SHARD = message("models.strange_shard", "The list of weight files names {file}, which leads out of the folder.")

LARGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""
BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
}
DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
PACKED = {"U8", "I32", "U32"}
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Tensor:
    """A named tensor's type, as safetensors spells it, and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of a folder's weight files, and the files' size in bytes."""

    tensors: tuple[Tensor, ...]
    size: int

    @property
    def dtype(self) -> str | None:
        """The type that most of the weights are stored in."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.elements
        return DTYPES.get(max(counts, key=lambda kind: counts[kind])) if counts else None

    @property
    def packed(self) -> bool:
        """Whether integers hold several weights each, as GPTQ, AWQ, MXFP4 and bitsandbytes store them."""
        return any(tensor.dtype in PACKED for tensor in self.tensors)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load, empty where there are none. Raises Refusal."""
    if (folder / INDEX).is_file():
        return _shards(folder)
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    return sorted(
        path for path in folder.glob("*.safetensors") if path.is_file() and not path.name.startswith("adapter_model")
    )


def _shards(folder: Path) -> list[Path]:
    index = folder / INDEX
    weight_map = read_json(index).get("weight_map")
    names = sorted({str(name) for name in weight_map.values()}) if isinstance(weight_map, dict) else []
    for name in names:
        if Path(name).name != name or name in ("", ".", ".."):
            raise Refusal(STRANGE_SHARD(file=name[:80]), GET_IT_AGAIN(), path=index)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        first = missing[0] if missing else INDEX
        raise Refusal(MISSING_SHARDS(missing=len(missing), count=len(names), first=first), GET_IT_AGAIN(), path=index)
    return [folder / name for name in names]


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """None where the folder holds no weights in safetensors. Raises Refusal for a damaged or incomplete set."""
    files = weight_files(folder)
    if not files:
        return None
    tensors = {tensor.name: tensor for path in files for tensor in _header(path)}
    return Checkpoint(tuple(tensors.values()), sum(path.stat().st_size for path in files))


def _header(path: Path) -> Iterator[Tensor]:
    """The format: 8 bytes of length (little-endian), JSON, the data (huggingface.co/docs/safetensors)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise ValueError("its header is not whole")
            entries = json.loads(file.read(length))
        if not isinstance(entries, dict):
            raise ValueError("its header is not an object")
        tensors = [_tensor(name, entry) for name, entry in entries.items() if name != "__metadata__"]
        end = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
        if 8 + length + end != size:
            raise ValueError(f"{size:,} bytes are here, its header says {8 + length + end:,}")
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refusal(TRUNCATED(file=path.name, reason=reason), GET_IT_AGAIN(), path=path) from None
    yield from tensors


def _tensor(name: str, entry: Any) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ValueError("its header is damaged") from None
    numbers = (*shape, begin, end)
    if dtype not in BITS or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        raise ValueError("its header is damaged")
    if math.prod(shape) * BITS[dtype] != 8 * (end - begin):
        raise ValueError(f"the size of {name[:60]} does not agree with its shape")
    return Tensor(name, dtype, shape)
