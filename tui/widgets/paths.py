"""Completion of paths and model names as they are typed: the rest stands in grey, → takes it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from textual.suggester import Suggester


class PathSuggester(Suggester):
    """Completes names that are known, and folders and files that `wanted` lets through."""

    def __init__(self, wanted: Callable[[os.DirEntry[str]], bool], names: Iterable[str] = ()) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.wanted, self.names = wanted, list(names)

    async def get_suggestion(self, value: str) -> str | None:
        if not value:
            return None
        known = next((name for name in self.names if name.lower().startswith(value.lower())), None)
        if known is not None:
            return value + known[len(value) :]
        return await asyncio.to_thread(self._completed, value)

    def _completed(self, value: str) -> str | None:
        folder, begun = os.path.split(value)
        fitting = entries_of(value, self.wanted)
        return os.path.join(folder, fitting[0]) if fitting and begun + "/" != fitting[0] else None  # noqa: PTH118


def entries_of(typed: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """Names in the typed path's folder that go on from it: folders, with a slash, and what is wanted; sorted."""
    folder, begun = os.path.split(typed)
    try:
        with os.scandir(Path(folder or ".").expanduser()) as entries:
            return sorted(
                entry.name + ("/" if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(begun)
                and (begun.startswith(".") or not entry.name.startswith("."))
                and entry.name.isprintable()
                and (entry.is_dir() or wanted(entry))
            )
    except (OSError, RuntimeError, ValueError):
        return []


DATA_ENDINGS = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".md")


def is_data(entry: os.DirEntry[str]) -> bool:
    """Whether a file looks as if it held rows."""
    return entry.name.removesuffix(".gz").endswith(DATA_ENDINGS)


def is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir()


def is_prompts(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith((".txt", ".md", ".prompts"))


def is_recipe(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith((".yaml", ".yml"))
