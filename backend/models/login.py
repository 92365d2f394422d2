"""A token for the Hub, checked by asking the Hub whose it is, and kept where huggingface_hub keeps its own.

huggingface_hub does both, in a process of its own: it reads its addresses once, when it is imported. The token goes
there through a pipe, never as an argument, and nothing of it is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message
from finetty.backend.models import sites
from finetty.backend.models.places import hub_home

NOT_A_TOKEN = message(
    "login.not_a_token", "A token is one word, as hf_ and letters; make one at {site}/settings/tokens."
)
UNKNOWN_TOKEN = message("login.unknown_token", "{host} does not know this token; it was not kept.")
OTHER_TOKEN = message("login.other_token", "Make another at {site}/settings/tokens; to read is enough.")
NOT_KEPT = message("login.not_kept", "The token could not be kept: {reason}.")

PATIENCE = 60
"""Seconds for importing huggingface_hub and two questions to the Hub."""


@dataclass(frozen=True)
class KeptToken:
    """Where the token is, and whose it is; no `account` where the Hub could not be asked."""

    path: Path
    account: str | None


def token_path() -> Path:
    """The file that huggingface_hub reads its token from, found as it finds it."""
    if named := os.environ.get("HF_TOKEN_PATH"):
        return Path(named).expanduser()
    return hub_home() / "token"


def has_token() -> bool:
    return bool(os.environ.get("HF_TOKEN")) or token_path().is_file()


def keep_token(token: str) -> KeptToken:
    """Check and keep it. Raises Refusal where the Hub refuses it, and where it cannot be written."""
    token = token.strip()
    site = sites.hub()
    if not (token.isascii() and token.isprintable() and 8 <= len(token) <= 500 and " " not in token):
        raise Refusal(NOT_A_TOKEN(site=site))
    answer = _asked(token)
    if answer.get("refused"):
        raise Refusal(UNKNOWN_TOKEN(host=sites.host_of(site)), OTHER_TOKEN(site=site))
    if "path" not in answer:
        raise Refusal(NOT_KEPT(reason=str(answer.get("failed", "huggingface_hub did not answer"))[:200]))
    account = answer.get("account")
    return KeptToken(Path(answer["path"]), account if isinstance(account, str) else None)


def _asked(token: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "finetty.backend.models.login"],
            input=token,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return {}
    return answer if isinstance(answer, dict) else {}


def _answer(token: str) -> dict[str, Any]:
    """In the process of its own: {"path", "account"}, {"refused"} or {"failed"}."""
    import httpx
    from huggingface_hub import HfApi, constants, login
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils._auth import _write_secret

    path = Path(constants.HF_TOKEN_PATH)
    try:
        account = HfApi().whoami(token)["name"]
        login(token, skip_if_logged_in=False)
        return {"path": str(path), "account": account}
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            return {"refused": True}
    except ValueError:  # an organization's token
        return {"refused": True}
    except (httpx.HTTPError, OfflineModeIsEnabled):
        pass
    _write_secret(path, token)
    return {"path": str(path), "account": None}


if __name__ == "__main__":
    try:
        said = _answer(sys.stdin.read().strip())
    except OSError as problem:
        said = {"failed": problem.strerror or type(problem).__name__}
    print(json.dumps(said))
