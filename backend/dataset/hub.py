"""Datasets of the Hugging Face Hub: from its cache, and downloaded where the Hub can be reached."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from finetty.backend.dataset.records import shown
from finetty.backend.messages import Refusal, message
from finetty.backend.models import sites
from finetty.backend.models.places import hub_cache
from finetty.backend.models.sources import hub_reachable

NOT_HERE = message("dataset.not_here", "The dataset {name} is not on this machine, and the Hub cannot be reached.")
NOT_YET = message("dataset.not_yet", "There is no file {name}, and no dataset of that name was downloaded yet.")
FETCH_IT = message("dataset.fetch_it", "Check the path; a dataset on the Hub is downloaded by `finetty train RECIPE`.")
BRING_FILES = message("dataset.bring_files", "Copy its files here and name them, or name a mirror in HF_ENDPOINT.")
NOT_ON_HUB = message("dataset.not_on_hub", "There is no file {name} here, and the Hub has no dataset of that name.")
CHECK_DATASET = message("dataset.check_dataset", "Check the name; a private one needs `hf auth login`.")
GATED_DATASET = message("dataset.gated_dataset", "The dataset {name} asks for its terms to be accepted first.")
ACCEPT_TERMS = message("dataset.accept_terms", "Accept them on its page, then log in here with `hf auth login`.")
NO_ROOM_FOR_IT = message(
    "dataset.no_room_for_it", "The dataset {name} takes {needed:size} and {free:size} are free in {folder}."
)
MOVE_CACHE = message("dataset.move_cache", "Free some space, or move the cache with HF_HOME.")
DOWNLOAD_FAILED = message("dataset.download_failed", "The download of the dataset {name} failed: {reason}.")
TRY_AGAIN = message("dataset.try_again", "Try again: what has come already is kept.")

WANTED = [
    f"*{ending}{packed}"
    for ending in (".parquet", ".arrow", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
    for packed in ("", ".gz")
]


def dataset_folder(name: str, *, download: bool) -> Path:
    """The folder of a dataset's files in the cache, brought there first only with `download`. Raises Refusal."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, repo_type="dataset", cache_dir=hub_cache(), local_files_only=True))
    except HFValidationError:
        raise Refusal(NOT_ON_HUB(name=name[:200]), CHECK_DATASET(), option="dataset.train") from None
    except LocalEntryNotFoundError:
        if not download:
            raise Refusal(NOT_YET(name=name), FETCH_IT(), option="dataset.train") from None
        if not hub_reachable():
            raise Refusal(NOT_HERE(name=name), BRING_FILES(), option="dataset.train") from None
    try:
        _check_room(name)
        return Path(
            snapshot_download(
                name, repo_type="dataset", cache_dir=hub_cache(), endpoint=sites.hub(), allow_patterns=WANTED
            )
        )
    except GatedRepoError:
        raise Refusal(GATED_DATASET(name=name), ACCEPT_TERMS(), option="dataset.train") from None
    except RepositoryNotFoundError:
        raise Refusal(NOT_ON_HUB(name=name), CHECK_DATASET(), option="dataset.train") from None
    except Refusal:
        raise
    except Exception as error:  # whatever a network and a stranger's server can do is one sentence
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise Refusal(
            DOWNLOAD_FAILED(name=name, reason=shown(reason, 200)), TRY_AGAIN(), option="dataset.train"
        ) from None


def _check_room(name: str) -> None:
    from huggingface_hub import HfApi

    found: Any = HfApi(endpoint=sites.hub()).dataset_info(name, files_metadata=True)
    wanted = [file for file in found.siblings or [] if any(fnmatch(file.rfilename, pattern) for pattern in WANTED)]
    needed = sum(file.size or 0 for file in wanted)
    folder = next(path for path in (hub_cache(), *hub_cache().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        said = NO_ROOM_FOR_IT(name=name, needed=needed, free=free, folder=folder)
        raise Refusal(said, MOVE_CACHE(), option="dataset.train")
