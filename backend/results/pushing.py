"""Uploading an export to the Hub, when a person asks for it by name and never otherwise."""

from __future__ import annotations

from pathlib import Path

from finetty.backend.messages import Refusal, message

NOT_PUSHED = message("results.not_pushed", "The export is in {folder}; it could not be uploaded to {name}: {reason}")
LOG_IN = message(
    "results.log_in", "Log in with `hf auth login`, check the name and the network, then: `hf upload {name} {folder}`."
)


def push(folder: Path, name: str) -> str:
    """Upload the folder into the private repository `name`, made where it is not there; returns its address.

    Raises Refusal; the export itself stays.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    hub = HfApi()
    try:
        address = hub.create_repo(name, private=True, exist_ok=True)
        hub.upload_folder(repo_id=address.repo_id, folder_path=str(folder))
    except (HTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Refusal(NOT_PUSHED(folder=folder, name=name, reason=reason), LOG_IN(name=name, folder=folder)) from error
    return str(address)
