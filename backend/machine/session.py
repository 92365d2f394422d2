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
MANAGER = message("session.manager", "This system ends what runs under your user manager when you log out.")
STAY = message("session.stay", "`loginctl enable-linger` keeps it, this run too.")
CONTAINER = message("session.container", "This container ends when its first process, {name}, is left.")
KEEP_CONTAINER = message(
    "session.keep_container",
    "Leave it with Ctrl+P Ctrl+Q, or start the container detached (docker run -d) and exec in.",
)

LEFT_BY_HAND = frozenset({"ash", "bash", "dash", "finetty", "fish", "ksh", "sh", "tcsh", "zsh"})
"""What a person leaves, and a container with it, where it is the first process and has a terminal."""
INITS = frozenset({"catatonit", "docker-init", "dumb-init", "tini"})
"""First processes that end with their first child."""
_SETTING = re.compile(r"^\s*(KillUserProcesses|KillExcludeUsers|KillOnlyUsers)\s*=\s*(.*?)\s*$", re.MULTILINE)
_SESSION_SCOPE = re.compile(r"/session-[^/]+\.scope")
_USER_MANAGER = re.compile(r"/user@\d+\.service/")


def threats(
    environment: Mapping[str, str] | None = None, root: Path = Path("/"), user: str | None = None
) -> tuple[Finding, ...]:
    """Warnings of what ends a run although its terminal may go; none where disconnecting is safe. Never raises.

    The arguments say whose surroundings are looked at: by default this process's own.
    """
    environment = os.environ if environment is None else environment
    found = []
    user = user or _user()
    # sbatch says BATCH (Slurm's src/common/env.c): such a job has nobody who could leave it.
    if "SLURM_JOB_ID" in environment and environment.get("ENVIRONMENT") != "BATCH":
        found.append(Finding("warning", None, SLURM(), SUBMIT()))
    if _ends_at_logout(root, user):
        found.append(Finding("warning", None, LOGIND(), LINGER()))
    if _ends_with_manager(root, user):
        found.append(Finding("warning", None, MANAGER(), STAY()))
    if name := _left_by_hand(root):
        found.append(Finding("warning", None, CONTAINER(name=name), KEEP_CONTAINER()))
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


def _ends_with_manager(root: Path, user: str) -> bool:
    """systemd stops a user's manager after the last logout, and all that it runs, unless the user lingers."""
    return (
        bool(_USER_MANAGER.search(_read(root / "proc/self/cgroup")))
        and not (root / "var/lib/systemd/linger" / user).exists()
    )


def _left_by_hand(root: Path) -> str:
    """The name of a container's first process where a person sits in it, else nothing."""
    number = "1"
    if _comm(root, number) in INITS:
        number = (_read(root / "proc/1/task/1/children").split() or ["1"])[0]
    name = _comm(root, number)
    return name if name in LEFT_BY_HAND and _has_terminal(root, number) else ""


def _comm(root: Path, number: str) -> str:
    return _read(root / "proc" / number / "comm").strip()


def _has_terminal(root: Path, number: str) -> bool:
    """proc(5): tty_nr, the fifth field behind the name, is 0 without a terminal. True where it is not to be read."""
    fields = _read(root / "proc" / number / "stat").rpartition(")")[2].split()
    return len(fields) < 5 or fields[4] != "0"


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
