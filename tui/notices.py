"""Notices of a run's end and of its alerts: where they go, what they say, and how they are sent.

Where they go is the user's and may be a secret, as a webhook's address is: it is read from a file that nobody else can
read, or from the environment, and never written to a recipe, a run's folder or a log.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from finetty.backend.folders import config_root
from finetty.backend.messages import Refusal, message
from finetty.backend.runs import Run
from finetty.tui.errors import said
from finetty.tui.follow import said_in
from finetty.tui.language import _
from finetty.tui.plain import state_words

NOT_SENT = message("notices.not_sent", "A notice could not be sent to the {way}: {reason}.")
OPEN_TO_OTHERS = message("notices.open_to_others", "Others can read {path}, so its notices are not sent.")
CLOSE_IT = message("notices.close_it", "Run: chmod 600 {path}")
NOT_READABLE = message("notices.not_readable", "{path} cannot be read as notices' settings: {reason}.")
WRITE_IT = message(
    "notices.write_it", 'It holds JSON: {{"command": "notify-send", "webhook": "https://…"}}, or one of them.'
)
NO_ADDRESS = message(
    "notices.no_address", "The webhook for notices is no address that begins with http:// or https://."
)
GIVE_ADDRESS = message("notices.give_address", "Mend it in {path} or in FINETTY_NOTIFY_WEBHOOK.")
NONE_SET = message("notices.none_set", "No notices are set.")
SET_THEM = message("notices.set_them", "Set FINETTY_NOTIFY_COMMAND or FINETTY_NOTIFY_WEBHOOK, or write {path}.")

SECONDS_TO_SEND = 10.0
LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Ways:
    """Where notices go: a command's words, and an address. Neither is shown by what prints this."""

    command: tuple[str, ...] = field(default=(), repr=False)
    webhook: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return bool(self.command or self.webhook)

    def shown(self) -> list[str]:
        """What may be said of them in public: the command's name, and the host of the address."""
        shown = [_("the command {name}").format(name=Path(self.command[0]).name)] if self.command else []
        host = urlsplit(self.webhook).hostname if self.webhook else None
        return [*shown, *([_("the webhook at {host}").format(host=host)] if host else [])]


def settings_path() -> Path:
    """`$XDG_CONFIG_HOME/finetty/notify.json`."""
    return config_root() / "finetty" / "notify.json"


def ways() -> Ways:
    """What FINETTY_NOTIFY_COMMAND and FINETTY_NOTIFY_WEBHOOK say, else the file. Raises Refusal."""
    path = settings_path()
    command, webhook = (os.environ.get(f"FINETTY_NOTIFY_{name}") or None for name in ("COMMAND", "WEBHOOK"))
    if not (command or webhook):
        kept = _kept(path)
        command, webhook = kept.get("command"), kept.get("webhook")
    try:
        words = tuple(shlex.split(command)) if command else ()
    except ValueError as error:
        raise Refusal(NOT_READABLE(path=path, reason=str(error)), WRITE_IT()) from None
    if webhook is not None and not _is_address(webhook):
        raise Refusal(NO_ADDRESS(), GIVE_ADDRESS(path=path))
    return Ways(words, webhook)


def _kept(path: Path) -> dict[str, str | None]:
    try:
        if path.stat().st_mode & 0o077:
            raise Refusal(OPEN_TO_OTHERS(path=path), CLOSE_IT(path=path))
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise Refusal(NOT_READABLE(path=path, reason=reason), WRITE_IT()) from None
    if isinstance(found, dict) and (strange := [*(found.keys() - {"command", "webhook"})]):
        raise Refusal(NOT_READABLE(path=path, reason=f"it knows no {strange[0]}"), WRITE_IT())
    if not isinstance(found, dict) or not all(isinstance(one, str | None) for one in found.values()):
        raise Refusal(NOT_READABLE(path=path, reason="it holds something else"), WRITE_IT())
    return found


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def notice_of(run: Run, event: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent: `text` for a person, the rest for programs; `content` is the same text, as Discord wants it."""
    status = run.status()
    if event["kind"] == "alert":
        what, level = said_in(event, "message"), event.get("level")
    else:
        words = _("{state} at step {step} of {total}")
        total = "?" if status.total is None else status.total
        what, level = words.format(state=state_words(str(event["state"])), step=status.step, total=total), None
    text = f"finetty: {status.name} ({run.id}): {what}"[:LONGEST_TEXT]
    return {
        "text": text,
        "content": text,
        "event": event["kind"],
        "level": level,
        "run": run.id,
        "name": status.name,
        "state": event.get("state") or status.state,
        "step": status.step,
        "total": status.total,
        "host": status.host,
    }


def send_test_notice() -> None:
    """Send one every way that is set, and say so. Raises Refusal where nothing is set or something does not work."""
    to = ways()
    if not to:
        raise Refusal(NONE_SET(), SET_THEM(path=settings_path()))
    text = _("finetty: this is a test; notices come through.")
    for refusal in sent(to, {"text": text, "content": text, "event": "test"}):
        raise refusal
    print(_("Sent to: {ways}").format(ways=", ".join(to.shown())))


def notices_document() -> list[str]:
    """Where notices go, for doctor; what is set wrongly in its own words."""
    try:
        return ways().shown()
    except Refusal as refusal:
        return [said(refusal)]


def sent(to: Ways, notice: Mapping[str, Any]) -> list[Refusal]:
    """Send it each way; what could not be sent, said without the address."""
    tried: list[tuple[str, Callable[[], None]]] = []
    if to.command:
        tried.append(("command", lambda: _run_command(to.command, notice)))
    if (address := to.webhook) is not None:
        tried.append(("webhook", lambda: _post(address, notice)))
    failures = []
    for way, send in tried:
        try:
            send()
        except Exception as error:
            failures.append(Refusal(NOT_SENT(way=way, reason=_reason(error))))
    return failures


def _run_command(command: tuple[str, ...], notice: Mapping[str, Any]) -> None:
    """Run the user's command with the text as its last word and the whole notice, as JSON, on its input."""
    nowhere = subprocess.DEVNULL  # what it prints may hold its secrets, and the console log is in the run's folder
    process = subprocess.Popen(
        [*command, notice["text"]], stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    try:
        process.communicate(json.dumps(notice).encode(), timeout=SECONDS_TO_SEND)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise ChildProcessError(0, f"exit code {process.returncode}")


def _post(address: str, notice: Mapping[str, Any]) -> None:
    from urllib.request import Request, urlopen

    body = json.dumps(notice).encode()
    request = Request(address, body, {"Content-Type": "application/json", "User-Agent": "finetty"})
    with urlopen(request, timeout=SECONDS_TO_SEND) as answer:
        answer.read(1)


def _reason(error: Exception) -> str:
    """Why it failed, in words that cannot hold the address: many libraries quote it in theirs."""
    if isinstance(code := getattr(error, "code", None), int):
        return f"HTTP {code}"
    if isinstance(error, subprocess.TimeoutExpired | TimeoutError):
        return f"no answer in {SECONDS_TO_SEND:.0f} seconds"
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError):
        return f"no answer in {SECONDS_TO_SEND:.0f} seconds"
    kind = inner if isinstance(inner, Exception) else error
    return (inner.strerror if isinstance(inner, OSError) else None) or type(kind).__name__
