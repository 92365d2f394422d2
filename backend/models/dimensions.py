"""A decoder's numbers as its family's formula asks for them: written, or the family's own default, or unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from finetty.backend.models.configuration import OTHER_NAMES, Configuration


class Unknown(LookupError):
    """config.json leaves open what the formula needs, or says it in a way that the family does not have."""


class Dimensions:
    """What config.json says of one language model. Every reading raises Unknown or Refusal, never guesses."""

    def __init__(self, configuration: Configuration, defaults: Mapping[str, int]) -> None:
        self._configuration = configuration
        self._defaults = defaults
        self.hidden = self["hidden_size"]
        self.layers = self["num_hidden_layers"]

    def __getitem__(self, key: str) -> int:
        """A positive number."""
        found = self.get(key)
        if not found:
            raise Unknown(key)
        return found

    def get(self, key: str) -> int | None:
        """A number, 0 where the file says 0, None where it says null or where neither it nor the family says."""
        written = [self.written(name) for name in self._names(key)]
        if written and all(value is None for value in written):
            return None
        if any(value == 0 and not isinstance(value, bool) for value in written):
            return 0
        found = self._configuration.number(key, self._defaults.get(key))
        if any(isinstance(value, list) for value in written):
            raise Unknown(key)
        return found

    def count(self, key: str) -> int:
        """A number that may be 0."""
        found = self.get(key)
        if found is None:
            raise Unknown(key)
        return found

    def optional(self, key: str) -> int | None:
        """A number, or None where the file says null; it must say one of them."""
        if not self._names(key):
            raise Unknown(key)
        return self.get(key)

    def _names(self, key: str) -> list[str]:
        """Those of a number's names that the file has."""
        return [name for name in (key, *OTHER_NAMES.get(key, ())) if name in self._configuration.text]

    def yes(self, rule: Rule) -> bool:
        """A trait that all of the family have, or the key of config.json that switches it."""
        if isinstance(rule, bool):
            return rule
        return self._configuration.flag(rule, bool(self._defaults.get(rule, False)))

    def told(self, key: str) -> bool:
        """A switch that releases of one family differ in, so that the file must say it."""
        if not isinstance(self.written(key), bool):
            raise Unknown(key)
        return self.yes(key)

    def size(self, size: Size, layer: int = 0) -> int:
        """A number, the key of one, or what a family makes of several. May differ from layer to layer."""
        if isinstance(size, int):
            return size
        return self[size] if isinstance(size, str) else size(self, layer)

    def written(self, key: str) -> Any:
        """What the file says, unchecked; None where it says nothing."""
        return self._configuration.text.get(key)

    def each(self, key: str) -> list[Any] | None:
        """A list with one value a layer; None where the file has none."""
        found = self.written(key)
        if found is None:
            return None
        if not isinstance(found, list) or len(found) != self.layers:
            raise Unknown(key)
        return found

    def numbered(self, key: str) -> list[Any] | None:
        """A list of layers' numbers; None where the file has none."""
        found = self.written(key)
        if found is not None and not isinstance(found, list):
            raise Unknown(key)
        return found

    def of_layer(self, key: str, layer: int) -> int | None:
        """What `per_layer_config` says of one layer; None where it does not."""
        layers = self.written("per_layer_config")
        named = layers.items() if isinstance(layers, dict) else ()
        own = next((values for name, values in named if name.lstrip("0") == str(layer or "")), None)
        found = own.get(key) if isinstance(own, dict) else None
        if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found <= 0):
            raise Unknown(key)
        return found

    @property
    def heads(self) -> int:
        return self["num_attention_heads"]

    @property
    def key_value_heads(self) -> int:
        """As many as there are heads where the file says null, or says nothing and the family has 0 for it."""
        key = "num_key_value_heads"
        if key not in self._defaults and not self._names(key):
            raise Unknown(key)
        return self.get(key) or self.heads

    @property
    def head(self) -> int:
        """Elements of one attention head."""
        return self.get("head_dim") or self.hidden // self.heads


Rule = bool | str
Size = int | str | Callable[[Dimensions, int], int]
