"""Where a model that is not here comes from: the Hub, ModelScope, or for the demo's the package that carries it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models import sites
from finetty.backend.models.places import DEMO_MODEL, check_name, is_folder_name, locate

NO_SUCH_FOLDER = message("models.no_such_folder", "There is no folder {path}.")
OFFLINE = message("models.offline", "The model {path} is not on this machine, and {host} cannot be reached.")
BRING_IT = message(
    "models.bring_it",
    "Copy the model's folder here and name the folder, or name a mirror in HF_ENDPOINT.",
)
INSTEAD = message("models.instead", "{host} cannot be reached: the model comes from ModelScope instead")

SECONDS_TO_CONNECT = 4.0

Source = Literal["any", "huggingface", "modelscope"]
Report = Callable[[Message], None]


def fetch(path: str, revision: str | None = None, report: Report | None = None, *, source: Source = "any") -> Path:
    """The model's folder, downloaded if it is not here. Raises Refusal: offline, gated, missing, no room.

    `report` is told what happens. A download that was cut short goes on where it stopped. `any` takes ModelScope
    where only that can be reached, and where the settings prefer it; the demo's model has its package.
    """
    found = locate(path, revision)
    if found is not None:
        return found
    if is_folder_name(path):
        raise Refusal(NO_SUCH_FOLDER(path=path), option="model.path")
    check_name(path)
    tell = report or _silent
    if source == "any" and path != DEMO_MODEL and sites.prefers_modelscope() and modelscope_reachable():
        source = "modelscope"
    if source != "modelscope" and hub_reachable():
        from finetty.backend.models import from_hub

        return from_hub.bring_model(path, revision, tell)
    if path == DEMO_MODEL and revision is None and source == "any":
        from finetty.backend.models import demo_model

        return demo_model.prepare(tell)
    if source != "huggingface" and modelscope_reachable():
        from finetty.backend.models import from_modelscope

        if source == "any":
            tell(INSTEAD(host=sites.host_of(sites.hub())))
        return from_modelscope.bring_model(path, revision, tell)
    site = sites.modelscope() if source == "modelscope" else sites.hub()
    raise Refusal(OFFLINE(path=path, host=sites.host_of(site)), BRING_IT(), option="model.path")


def is_on_the_hub(path: str) -> bool:
    """Whether this can only be a name on the Hub: not a folder that is merely missing."""
    return not is_folder_name(path)


def _silent(said: Message) -> None:
    pass


def hub_reachable() -> bool:
    """Whether the Hub, or the mirror in HF_ENDPOINT, answers within a few seconds; never more than those."""
    return reachable(sites.hub())


def modelscope_reachable() -> bool:
    """The same of ModelScope, or the site in MODELSCOPE_DOMAIN."""
    return reachable(sites.modelscope())


def reachable(site: str) -> bool:
    """The same of any site."""
    return not wants_no_network() and _reachable(site)


def wants_no_network() -> bool:
    """Whether HF_HUB_OFFLINE asks for no network at all."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _reachable(url: str) -> bool:
    answered = threading.Event()
    threading.Thread(target=_knock, args=(url, answered), daemon=True).start()
    return answered.wait(SECONDS_TO_CONNECT)


def _knock(url: str, answered: threading.Event) -> None:
    """Resolving a name can hang for 30 s and takes no timeout; hence a thread that may be left behind."""
    import httpx

    try:
        httpx.head(url, timeout=SECONDS_TO_CONNECT, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, socket.gaierror):
        return
    answered.set()
