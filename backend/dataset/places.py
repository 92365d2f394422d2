"""What an entry of dataset.train names: a file, a folder of them, a set of LLaMA-Factory's list, or one on the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from finetty.backend.dataset.files import CHECK_PATH, UNREADABLE
from finetty.backend.dataset.records import shown
from finetty.backend.messages import Declared, Message, Refusal, message
from finetty.backend.recipe import DataFile, is_hub_name

NO_ROWS_FILES = message("dataset.no_rows_files", "The folder {path} holds no files of rows.")
PUT_FILES = message("dataset.put_files", "Give a folder with JSONL, JSON, CSV, TSV, Parquet, Arrow or text files.")
NO_SPLIT = message("dataset.no_split", "{path} has no part called {name}; there are: {names}.")
SEVERAL_SETS = message("dataset.several_sets", "{path} lists several sets: {names}.")
NAME_ONE = message("dataset.name_one", "Name one behind a #, as in dataset_info.json#{name}.")
BROKEN_LIST = message("dataset.broken_list", "{path} is not a list of datasets.")
MEND_LIST = message("dataset.mend_list", "It should be a JSON object: a name for each set, with its file_name.")
NOT_SUPPORTED = message("dataset.not_supported", "The set {name} uses {key}, which finetty does not read.")
NAME_THE_FILE = message("dataset.name_the_file", "Name the set's file itself in dataset.train, with its columns.")
LEAVES_FOLDER = message("dataset.leaves_folder", "The set {name} names a file outside its folder: {file}.")

ENDINGS = (".parquet", ".arrow", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
"""Where a folder holds the same rows in several kinds of files, the first of these is read."""
_NOT_ROWS = {"dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json", "config.json"}
_OTHER_SPLITS = ("test", "validation", "valid", "val", "dev", "eval")
LIST_NAME = "dataset_info.json"
_FORMATS = {"alpaca": "alpaca", "sharegpt": "sharegpt", "openai": "messages"}
_PARTS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "messages": {},
}
_REFUSED_KEYS = ("ranking", "script_url", "ms_hub_url", "om_hub_url", "cloud_file_name", "num_samples", "subset")


@dataclass(frozen=True)
class Part:
    """One file to read, and what is said of it. `tags` are LLaMA-Factory's names of roles and contents."""

    path: Path
    name: str
    format: str = "auto"
    columns: Mapping[str, str | None] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def parts_of(file: DataFile, *, download: bool = False) -> list[Part]:
    """The files behind one entry of the recipe, in a fixed order. Raises Refusal.

    A dataset of the Hub that is not here is downloaded only with `download`: a name that is being typed is none yet.
    Behind a `#` stands which split of a folder, or which set of a list, is meant.
    """
    try:
        return _parts_of(file, download)
    except (OSError, ValueError) as error:  # a name that no file can have, or a folder that may not be looked into
        reason = getattr(error, "strerror", None) or str(error)
        said = UNREADABLE(path=shown(file.path, 200), reason=reason)
        raise Refusal(said, CHECK_PATH(), option="dataset.train") from None


def _parts_of(file: DataFile, download: bool) -> list[Part]:
    path, chosen = Path(file.path).expanduser(), ""
    if "#" in file.path and not path.exists():
        name, _, chosen = file.path.rpartition("#")
        path = Path(name).expanduser()
    if path.is_dir() and _is_list_of_sets(path / LIST_NAME):
        path = path / LIST_NAME
    if path.is_dir():
        return _with_format(folder_parts(path, chosen), file)
    if path.name == LIST_NAME and path.is_file():
        return _with_format(_listed_parts(path, chosen, download), file)
    if not path.exists() and is_hub_name(file.path.partition("#")[0]):
        from finetty.backend.dataset.hub import dataset_folder

        folder = dataset_folder(file.path.partition("#")[0], download=download)
        return _with_format(folder_parts(folder, chosen), file)
    return [Part(path, file.path, file.format, file.columns)]


def _with_format(parts: list[Part], file: DataFile) -> list[Part]:
    """What the recipe itself says goes before what was found."""
    asked = file.format != "auto" or file.columns
    return [Part(part.path, part.name, file.format, file.columns) for part in parts] if asked else parts


def folder_parts(folder: Path, split: str = "") -> list[Part]:
    """A folder's files of rows: those of the split, of train where none is named, or all where there are no splits."""
    found = [path for path in sorted(folder.rglob("*")) if _may_hold_rows(path.relative_to(folder)) and path.is_file()]
    ending = next((ending for ending in ENDINGS if any(_ending(path) == ending for path in found)), None)
    if ending is None:
        raise Refusal(NO_ROWS_FILES(path=folder), PUT_FILES(), option="dataset.train")
    files = {path.relative_to(folder).as_posix(): path for path in found if _ending(path) == ending}
    chosen = _of_split(files, split or "train")
    if not chosen and not split:
        chosen = [name for name in files if not any(_of_split([name], other) for other in _OTHER_SPLITS)]
    if not chosen:
        said = NO_SPLIT(path=folder, name=split or "train", names=_listing(files))
        raise Refusal(said, None, option="dataset.train")
    return [Part(files[name], str(files[name])) for name in chosen]


def _may_hold_rows(name: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.parts)
    return not hidden and name.name not in _NOT_ROWS and _ending(name) in ENDINGS


def _ending(path: Path) -> str:
    return PurePosixPath(path.name.lower().removesuffix(".gz")).suffix


def _of_split(names: Sequence[str] | Mapping[str, Path], split: str) -> list[str]:
    word = re.compile(rf"(^|[/_.-]){re.escape(split)}([/_.-]|$)", re.IGNORECASE)
    return [name for name in names if word.search(name)]


def _listed_parts(path: Path, chosen: str, download: bool) -> list[Part]:
    """The files of a set in LLaMA-Factory's dataset_info.json (its data/README.md says what the keys mean)."""
    listed = _listed(path)
    if not chosen:
        if len(listed) != 1:
            names = list(listed)
            said = SEVERAL_SETS(path=path, names=_listing(listed) or "none")
            raise Refusal(said, NAME_ONE(name=shown(names[0])) if names else None, option="dataset.train")
        chosen = next(iter(listed))
    if chosen not in listed:
        raise Refusal(NO_SPLIT(path=path, name=chosen, names=_listing(listed)), option="dataset.train")
    return _set_parts(path, chosen, listed[chosen], download)


def _is_list_of_sets(path: Path) -> bool:
    """Whether it is LLaMA-Factory's list: the `datasets` library describes a single set in a file of that name."""
    try:
        listed = _listed(path)
    except Refusal:
        return False
    return any("file_name" in entry or "hf_hub_url" in entry for entry in listed.values())


def _listed(path: Path) -> dict[str, dict[str, Any]]:
    try:
        listed = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        listed = None
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()):
        raise Refusal(BROKEN_LIST(path=path), MEND_LIST(), option="dataset.train", path=path)
    return listed


def _set_parts(path: Path, name: str, entry: dict[str, Any], download: bool) -> list[Part]:
    refused = next((key for key in _REFUSED_KEYS if entry.get(key)), None)
    form = _FORMATS.get(str(entry.get("formatting") or "alpaca"))
    if refused or form is None:
        raise _refusal(NOT_SUPPORTED, NAME_THE_FILE(), path, name=name, key=refused or f"formatting: {form}")
    columns, tags = (_texts(entry.get(key)) for key in ("columns", "tags"))
    if set(columns) == {"prompt"}:
        form, columns = "text", {"text": columns["prompt"]}
    else:
        columns = {_PARTS[form].get(part, part): column for part, column in columns.items()}
    if entry.get("hf_hub_url"):
        from finetty.backend.dataset.hub import dataset_folder

        folder = dataset_folder(str(entry["hf_hub_url"]), download=download)
        files = folder_parts(folder, str(entry.get("split") or ""))
    else:
        files = _named_files(path, name, entry.get("file_name"))
    return [Part(part.path, part.name, form, columns, tags) for part in files]


def _named_files(path: Path, name: str, file_name: Any) -> list[Part]:
    if not isinstance(file_name, str) or not file_name:
        raise Refusal(BROKEN_LIST(path=path), MEND_LIST(), option="dataset.train", path=path)
    if Path(file_name).is_absolute() or ".." in Path(file_name).parts:
        raise _refusal(LEAVES_FOLDER, NAME_THE_FILE(), path, name=name, file=shown(file_name))
    named = path.parent / file_name
    return folder_parts(named) if named.is_dir() else [Part(named, str(named))]


def _listing(names: Iterable[str]) -> str:
    return ", ".join(shown(name) for name in islice(names, 20))


def _texts(value: Any) -> dict[str, str]:
    given = value if isinstance(value, dict) else {}
    return {str(key): text for key, text in given.items() if isinstance(text, str)}


def _refusal(said: Declared, fix: Message, path: Path, **values: Any) -> Refusal:
    return Refusal(said(**values), fix, option="dataset.train", path=path)
