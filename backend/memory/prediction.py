"""A predicted memory peak, and the device that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MemoryPrediction:
    """Bytes on the device at the peak. `process` is what the system shows for the whole process.

    `components` name what is in it (weights, adapter, gradients, optimizer, activations, loss, workspace, context).
    """

    allocated: int
    reserved: int
    process: int
    components: Mapping[str, int]


@dataclass(frozen=True)
class Device:
    """Where the run would train. Sizes in bytes; on a CPU they are RAM."""

    kind: Literal["cuda", "cpu"]
    name: str
    total: int | None
    free: int | None
    uuid: str | None = None
