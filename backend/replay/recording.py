"""Every storage that torch makes while a mode is on: when, how large, for which layer, and when it went."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from finetty.backend.replay.events import Event, Trace


class Recorder(TorchDispatchMode):
    """Follows storages from their making to their end. `unit`: bytes to whose multiples sizes are rounded up.

    `layer` is the layer that is being run. Outside of layers, as in the optimizer's step, what is made belongs to the
    layer of the tensor that it is made from. `part` names what storages belong to that are made now.
    """

    def __init__(self, unit: int = 1, *, workspace: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self.layer: int | None = None
        self.part = "activations"
        self.passing: str | None = None
        """The pass, forward or backward, whose thread multiplies; each takes a workspace with its first product."""
        self._unit, self._workspace = unit, workspace
        self._with_workspace: set[str] = set()
        self._numbers: dict[int, int] = {}
        self._layers: dict[int, int | None] = {}
        self._ends: dict[int, Any] = {}
        self._next = 0
        self._latest: int | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if self._workspace and self.passing not in self._with_workspace and "mm" in func._opname:
            self._take_workspace()
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            if not self._lives_on_the_host(func, made):
                self.saw(made, self._layer_of(args))
        elif isinstance(made, tuple | list):
            layers = self._layers_of(args, len(made))
            for one, layer in zip(made, layers, strict=True):
                if isinstance(one, torch.Tensor):
                    self.saw(one, layer)
        return made

    def _take_workspace(self) -> None:
        if self.passing is not None:
            self._with_workspace.add(self.passing)
            self.trace.events.append(Event(self._next, self._workspace, None))
            self.trace.parts[self._next] = "workspace"
            self._next += 1

    def _lives_on_the_host(self, func: Any, made: torch.Tensor) -> bool:
        """torch.tensor(0.0): AdamW counts its steps in memory of the host unless it is fused."""
        return bool(self._workspace) and made.dim() == 0 and func._opname in ("lift_fresh", "lift_fresh_copy")

    def _layer_of(self, args: Sequence[Any]) -> int | None:
        if self.layer is not None:
            return self.layer
        first = args[0] if args else None
        if isinstance(first, torch.Tensor):
            self._latest = self._known(first)
            return self._latest
        # AdamW's count of steps is made from nothing, parameter by parameter.
        return self._latest if self.part == "optimizer" else None

    def _layers_of(self, args: Sequence[Any], count: int) -> Iterable[int | None]:
        first = args[0] if args else None
        if self.layer is None and isinstance(first, tuple | list) and len(first) == count:
            return [self._known(one) if isinstance(one, torch.Tensor) else None for one in first]
        return [self._layer_of(args)] * count

    def _known(self, tensor: torch.Tensor) -> int | None:
        number = self._numbers.get(tensor.untyped_storage()._cdata)
        return None if number is None else self._layers[number]

    def saw(self, tensor: torch.Tensor, layer: int | None) -> None:
        """Follow the tensor's storage, unless it is followed already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = storage.nbytes()
        if key in self._numbers or not size or tensor.device.type == "meta":
            return
        number = self._next
        self._next += 1
        self._numbers[key], self._layers[number] = number, layer
        self.trace.events.append(Event(number, -(-size // self._unit) * self._unit, layer))
        self.trace.parts[number] = self.part
        self._ends[key] = weakref.ref(storage, self._gone(key, number))

    def _gone(self, key: int, number: int) -> Callable[[Any], None]:
        def gone(_: Any) -> None:
            if self._numbers.get(key) == number:
                del self._numbers[key], self._ends[key]
                layer = self._layers[number] if self.layer is None else self.layer
                self.trace.events.append(Event(number, 0, layer))

        return gone

    def belongs(self, tensor: torch.Tensor, part: str) -> None:
        """Say afterwards what a tensor's storage belongs to."""
        number = self._numbers.get(tensor.untyped_storage()._cdata)
        if number is not None:
            self.trace.parts[number] = part
