"""A model from ModelScope, by its plain file API, into finetty's own cache; there whole or not at all."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from finetty.backend.messages import Refusal, message
from finetty.backend.models import sites
from finetty.backend.models.download import (
    DOWNLOADING,
    MB,
    TRY_AGAIN,
    Progress,
    Remote,
    Report,
    bring,
    check_room,
    still_missing,
)
from finetty.backend.models.from_hub import CHECK_REVISION, FAILED, NO_REVISION, first_line, wanted
from finetty.backend.models.places import PROOF, cache_folder, own_folder

MISSING = message("models.missing", "{host} has no model {path}.")
CHECK_NAME = message("models.check_name", "Check the name: on ModelScope it may be another than on the Hub.")

NOT_OPEN = message("models.not_open", "{host} does not give {path} to everybody.")
NAME_TOKEN = message(
    "models.name_token", "Put a token of an account that may have it into MODELSCOPE_API_TOKEN, then try again."
)
BRANCH = "master"
"""What ModelScope calls the newest."""
PATIENCE = 30
LISTING_LIMIT = 20_000


def bring_model(path: str, revision: str | None, tell: Report) -> Path:
    """The model's folder in finetty's cache. Raises Refusal: missing, not open, no room, broken off."""
    host = sites.host_of(sites.modelscope())
    try:
        return _bring(path, revision, host, tell)
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise Refusal(NOT_OPEN(path=path, host=host), NAME_TOKEN(), option="model.path") from None
        if code == httpx.codes.NOT_FOUND:
            raise _missing(path, revision, host) from None
        raise Refusal(FAILED(path=path, reason=f"HTTP {code}"), TRY_AGAIN(), option="model.path") from None
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise Refusal(FAILED(path=path, reason=first_line(error)), TRY_AGAIN(), option="model.path") from None


def _missing(path: str, revision: str | None, host: str) -> Refusal:
    if revision is not None:
        said = NO_REVISION(path=path, host=host, revision=revision)
        return Refusal(said, CHECK_REVISION(), option="model.revision")
    return Refusal(MISSING(path=path, host=host), CHECK_NAME(), option="model.path")


def _bring(path: str, revision: str | None, host: str, tell: Report) -> Path:
    listed = _listing(path, revision)
    sizes = wanted(path, host, {name: size for name, (size, _) in listed.items()})
    target = own_folder(path, revision)
    beside = target.with_name(f".coming-{target.name}")
    files = [
        Remote(_url(path, revision, name), beside / name, size, listed[name][1], _headers())
        for name, size in sizes.items()
    ]
    check_room(path, sum(map(still_missing, files)), cache_folder(), "XDG_CACHE_HOME")
    total = sum(sizes.values())
    tell(DOWNLOADING(path=path, host=host, size=total / MB))
    bring(path, files, Progress(total, tell))
    proof = {
        "name": path,
        "revision": revision,
        "made_from": f"{sites.modelscope()}/models/{path}",
        "sha256": _hashes(files),
    }
    with (beside / PROOF).open("w", encoding="utf-8") as file:
        json.dump(proof, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(target)
    return target


def _hashes(files: list[Remote]) -> dict[str, str]:
    return {file.target.name: file.sha256 for file in files if file.sha256}


def _headers() -> dict[str, str]:
    token = os.environ.get("MODELSCOPE_API_TOKEN", "")
    own = {"Cookie": f"m_session_id={token}"} if re.fullmatch(r"[\w.-]+", token) else {}
    return {"User-Agent": "finetty", **own}


def _listing(path: str, revision: str | None) -> dict[str, tuple[int, str | None]]:
    """Name → bytes and SHA-256 of every file. Raises httpx's errors, and ValueError for an answer of another shape."""
    query = urlencode({"Revision": revision or BRANCH, "Recursive": "True"})
    url = f"{sites.modelscope()}/api/v1/models/{path}/repo/files?{query}"
    answer = httpx.get(url, headers=_headers(), timeout=PATIENCE, follow_redirects=True)
    answer.raise_for_status()
    document = answer.json()
    try:
        files = document["Data"]["Files"]
        blobs = [file for file in files[:LISTING_LIMIT] if file["Type"] != "tree"]
        return {str(file["Path"]): (int(file["Size"]), _sha256(file)) for file in blobs}
    except (KeyError, TypeError):
        said = document.get("Message") if isinstance(document, dict) else None
        raise ValueError(f"the answer is no list of files{f': {said}' if said else ''}") from None


def _sha256(file: dict[str, Any]) -> str | None:
    digest = str(file.get("Sha256") or "").lower()
    return digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None


def _url(path: str, revision: str | None, name: str) -> str:
    query = urlencode({"Revision": revision or BRANCH, "FilePath": name})
    return f"{sites.modelscope()}/api/v1/models/{path}/repo?{query}"
