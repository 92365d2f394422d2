"""A model from the Hub, into the Hub's own cache: weights by a download that can go on, the rest by its client."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from huggingface_hub import HfApi, get_token, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import hf_raise_for_status
from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models import sites
from finetty.backend.models.download import (
    DOWNLOADING,
    MB,
    TRY_AGAIN,
    Progress,
    Remote,
    Report,
    bring,
    check_file_names,
    check_room,
    still_missing,
)
from finetty.backend.models.places import hub_cache

PRIVATE = message("models.private", "{host} shows no model {path} to somebody who is not logged in.")
LOG_IN = message("models.log_in", "Check the name; if the model is private, log in here with `hf auth login`.")
NOT_FOR_YOU = message("models.not_for_you", "{host} shows no model {path} to the account that is logged in here.")
OTHER_ACCOUNT = message(
    "models.other_account", "Check the name; if the model is private, log in as its owner with `hf auth login`."
)
BAD_TOKEN = message("models.bad_token", "{host} does not know the token that is stored here.")
LOG_IN_AGAIN = message("models.log_in_again", "Log in again with `hf auth login`, or out with `hf auth logout`.")
NO_REVISION = message("models.no_revision", "{host} has no revision {revision} of {path}.")
CHECK_REVISION = message("models.check_revision", "Check model.revision: a branch, a tag or a commit.")
GATED = message("models.gated", "The model {path} asks for its licence to be accepted first.")
ACCEPT = message("models.accept", "Accept it at {url}, then log in here with `hf auth login`.")
ONLY_PICKLES = message(
    "models.hub_only_pickles", "{path} has its weights on {host} only as pickles, which can run any code when opened."
)
NO_SAFETENSORS = message("models.no_safetensors", "{path} has no weights in safetensors on {host}.")
ANOTHER_VERSION = message("models.another_version", "Choose a version of it with .safetensors files.")
FAILED = message("models.failed", "The download of {path} failed: {reason}.")

WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt", "LICENSE*", "NOTICE*")
UNWANTED = ("original/*", "onnx/*", "*/*")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def bring_model(path: str, revision: str | None, tell: Report) -> Path:
    """The snapshot's folder in the Hub's cache. Raises Refusal, each cause with its own sentence."""
    site, host = sites.hub(), sites.host_of(sites.hub())

    def refusal(said: Message, fix: Message) -> Refusal:
        return Refusal(said, fix, option="model.path")

    try:
        return _bring(path, revision, site, tell)
    except GatedRepoError:
        raise refusal(GATED(path=path), ACCEPT(url=f"{site}/{path}")) from None
    except RevisionNotFoundError:
        said = NO_REVISION(path=path, host=host, revision=revision or "main")
        raise Refusal(said, CHECK_REVISION(), option="model.revision") from None
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        response = getattr(error, "response", None)
        if isinstance(error, RepositoryNotFoundError) or _status(response) == httpx.codes.UNAUTHORIZED:
            if response is not None and "Invalid credentials" in response.headers.get("X-Error-Message", ""):
                raise refusal(BAD_TOKEN(host=host), LOG_IN_AGAIN()) from None
            if get_token():
                raise refusal(NOT_FOR_YOU(path=path, host=host), OTHER_ACCOUNT()) from None
            raise refusal(PRIVATE(path=path, host=host), LOG_IN()) from None
        raise refusal(FAILED(path=path, reason=first_line(error)), TRY_AGAIN()) from None


def _status(response: Any) -> int | None:
    return None if response is None else int(response.status_code)


def first_line(error: Exception) -> str:
    """What an error says of itself, as the end of a sentence."""
    said = str(error).strip().splitlines()
    return said[0][:200].rstrip(".") if said else type(error).__name__


def _bring(path: str, revision: str | None, site: str, tell: Report) -> Path:
    host = sites.host_of(site)
    info = HfApi(endpoint=site).model_info(path, revision=revision, files_metadata=True, timeout=30)
    files = wanted(path, host, {file.rfilename: file.size or 0 for file in info.siblings or []})
    weights = _weights(path, info, site)
    rest = sum(size for name, size in files.items() if not name.endswith(".safetensors"))
    check_room(path, sum(map(still_missing, weights)) + rest, hub_cache(), "HF_HOME")
    size = sum(files.values())
    tell(DOWNLOADING(path=path, host=host, size=size / MB))
    progress = Progress(size, tell)
    try:
        bring(path, weights, progress)
    except httpx.HTTPStatusError as error:
        hf_raise_for_status(error.response)  # the Hub says in headers what its statuses mean
    return Path(
        snapshot_download(
            path,
            revision=revision,
            endpoint=site,
            cache_dir=hub_cache(),
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
            tqdm_class=_counting(progress),
        )
    )


def wanted(path: str, host: str, sizes: dict[str, int]) -> dict[str, int]:
    """Of a listing, the files that tuning needs, with their bytes. Raises Refusal: no safetensors, a strange name."""
    check_file_names(path, host, list(sizes))
    files = {
        name: max(0, size)
        for name, size in sizes.items()
        if "/" not in name and any(fnmatch(name, pattern) for pattern in WANTED)
    }
    if not any(name.endswith(".safetensors") for name in files):
        said = ONLY_PICKLES if any(name.endswith(PICKLES) for name in sizes) else NO_SAFETENSORS
        raise Refusal(said(path=path, host=host), ANOTHER_VERSION(), option="model.path")
    return files


def _weights(path: str, info: Any, site: str) -> list[Remote]:
    """The large files, each under the name that the Hub's cache gives it: then its client finds them there."""
    blobs = hub_cache() / f"models--{path.replace('/', '--')}" / "blobs"
    found = []
    for file in info.siblings or []:
        sha256 = file.lfs.sha256 if file.lfs is not None else ""
        if file.rfilename.endswith(".safetensors") and "/" not in file.rfilename and _is_sha256(sha256):
            url = f"{site}/{path}/resolve/{info.sha}/{quote(file.rfilename)}"
            found.append(Remote(url, blobs / sha256, file.size or 0, sha256, build_hf_headers()))
    return found


def _is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _counting(progress: Progress) -> Any:
    """A tqdm that draws nothing and hands the bytes of its file on."""

    class Counting(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # The client counts twice, what comes over the line and what is written: the latter is counted here.
            name = kwargs.pop("name", None)
            self.counts = kwargs.get("unit") == "B" and not str(name).endswith("transfer")
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self.counts and n:
                progress.came(int(n))
            return None

    return Counting
