"""What would end a run that has left its terminal: leaving a session is not always enough to outlive it."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path

from finetty.backend.messages import Finding, message

SLURM = message("session.slurm", "The run ends with this Slurm step: at its time limit, or when its shell is left.")
SUBMIT = message("session.submit", "Submit it with sbatch, as `finetty train RECIPE --plain`.")
LOGIND = message("session.logind", "This system ends everything that a user runs at logout (KillUserProcesses=yes).")
LINGER = message(
    "session.linger", "Start it with `loginctl enable-linger && systemd-run --user --scope finetty`, and it stays."
)
CONTAINER = message("session.container", "This container ends when its first process, {name}, is left.")
KEEP_CONTAINER = message(
    "session.keep_container",
    "Leave it with Ctrl+P Ctrl+Q, or start the container detached (docker run -d) and exec in.",
)

SHELLS = frozenset({"ash", "bash", "dash", "fish", "ksh", "sh", "tcsh", "zsh"})
_SETTING = re.compile(r"^\s*(KillUserProcesses|KillExcludeUsers|KillOnlyUsers)\s*=\s*(.*?)\s*$", re.MULTILINE)
_SESSION_SCOPE = re.compile(r"/session-[^/]+\.scope")


def threats(
    environment: Mapping[str, str] | None = None, root: Path = Path("/"), user: str | None = None
) -> tuple[Finding, ...]:
    """Warnings of what ends a run although its terminal may go; none where disconnecting is safe. Never raises.

    The arguments say whose surroundings are looked at: by default this process's own.
    """
    environment = os.environ if environment is None else environment
    found = []
    if "SLURM_JOB_ID" in environment:
        found.append(Finding("warning", None, SLURM(), SUBMIT()))
    if _ends_at_logout(root, user or _user()):
        found.append(Finding("warning", None, LOGIND(), LINGER()))
    first = _read(root / "proc/1/comm").strip()
    if first in SHELLS:
        found.append(Finding("warning", None, CONTAINER(name=first), KEEP_CONTAINER()))
    return tuple(found)


def _ends_at_logout(root: Path, user: str) -> bool:
    """logind kills what is in a session's scope, unless its settings spare the user; root is spared by default."""
    if not _SESSION_SCOPE.search(_read(root / "proc/self/cgroup")):
        return False
    settings = {"KillUserProcesses": "no", "KillExcludeUsers": "root", "KillOnlyUsers": ""}
    for path in _logind_files(root):
        settings |= dict(_SETTING.findall(_read(path)))
    if settings["KillUserProcesses"].lower() not in ("1", "yes", "true", "on", "y", "t"):
        return False
    only, excluded = settings["KillOnlyUsers"].split(), settings["KillExcludeUsers"].split()
    return user not in excluded and (not only or user in only)


def _logind_files(root: Path) -> list[Path]:
    """The settings that count, the strongest last."""
    folders = [root / place / "systemd" for place in ("usr/lib", "run", "etc")]
    drop_ins = [path for folder in folders for path in (folder / "logind.conf.d").glob("*.conf")]
    return [folder / "logind.conf" for folder in folders] + sorted(drop_ins, key=lambda path: path.name)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
