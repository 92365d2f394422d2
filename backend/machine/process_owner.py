"""Whose a process is and what it runs, for the cards' lists: never more of its command line than that."""

from __future__ import annotations

from pathlib import PurePath

import psutil

BARE_FLAGS = {"-u", "-O", "-B", "-E", "-I", "-s"}
"""Python's flags that stand before the script and take no value."""


def owner_and_command(pid: int) -> tuple[str | None, str | None]:
    """(user, command), each None where this user may not read it or the process has just ended. Never raises."""
    try:
        process = psutil.Process(pid)
        user = process.username()
    except (psutil.Error, OSError, KeyError):
        return None, None
    try:
        return user, short_command(process.cmdline()) or process.name()
    except (psutil.Error, OSError):
        return user, None


def short_command(words: list[str]) -> str:
    """`python train.py`, `python -m app`, `vllm serve`: later arguments are left out, for they may hold secrets."""
    if not words:
        return ""
    program = PurePath(words[0]).name
    rest = words[1:]
    while rest and rest[0] in BARE_FLAGS:
        rest = rest[1:]
    if rest[:1] == ["-m"]:
        return " ".join([program, *rest[:2]])
    if rest and not rest[0].startswith("-") and "=" not in rest[0]:
        return f"{program} {PurePath(rest[0]).name}"
    return program
