"""Optional libraries: which are installed, at a glance; and whether they really import, by trying it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from finetty.backend.machine.facts import Accelerator

PACKAGES = {
    "flash_attn": "flash-attn",
    "unsloth": "unsloth",
    "liger_kernel": "liger-kernel",
    "bitsandbytes": "bitsandbytes",
}
"""Import name → package name."""
INSTALL = {
    "flash_attn": "pip install flash-attn --no-build-isolation",
    "unsloth": "pip install --no-deps unsloth unsloth_zoo",
    "liger_kernel": "pip install liger-kernel",
    "bitsandbytes": "pip install bitsandbytes",
}
NEEDS = {"unsloth": ("unsloth_zoo",)}
"""Packages without which it does not import; --no-deps leaves them to whoever installs."""
PATIENCE = 180
"""Seconds for one import: Unsloth's takes 20 on two cores."""


def accelerators() -> dict[str, Accelerator]:
    """By import name. Installed is not yet usable, so what `prove` last found here counts where it knows. Quick."""
    known = _remembered()
    return {name: known.get(name) or _glance(name) for name in PACKAGES}


def _glance(name: str) -> Accelerator:
    for package in (PACKAGES[name], *NEEDS.get(name, ())):
        version = _version(package)
        if version is None:
            return Accelerator(name, None, f"{package} is not installed", INSTALL[name])
    return Accelerator(name, _version(PACKAGES[name]))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def prove() -> dict[str, Accelerator]:
    """Import each in a process of its own, and remember the outcome until the environment changes. Slow."""
    found = {name: _imported(name) for name in PACKAGES}
    _remember(found)
    return found


def _imported(name: str) -> Accelerator:
    glance = _glance(name)
    if glance.version is None:
        return glance
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Accelerator(name, None, f"importing it took more than {PATIENCE} s", INSTALL[name])
    if done.returncode == 0:
        return glance
    return Accelerator(name, None, f"version {glance.version} does not import: {_last_line(done)}", _mend(name))


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit code {done.returncode}"


def _mend(name: str) -> str:
    return (
        INSTALL[name]
        .replace("pip install", "pip install --force-reinstall --no-deps", 1)
        .replace("--no-deps --no-deps", "--no-deps")
    )


def _memory_file() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "finetty" / "accelerators.json"


def _environment() -> str:
    """Changes when a package of this interpreter or the driver does."""
    parts = [sys.executable, sys.version, os.environ.get("CUDA_VISIBLE_DEVICES", "")]
    for place in (*sys.path, "/proc/driver/nvidia/version"):
        try:
            parts.append(f"{place} {Path(place).stat().st_mtime_ns if place else ''}")
        except OSError:
            continue
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _remembered() -> dict[str, Accelerator]:
    try:
        stored: Any = json.loads(_memory_file().read_text(encoding="utf-8"))
        if stored["environment"] != _environment():
            return {}
        return {name: Accelerator(**stored["found"][name]) for name in PACKAGES}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(found: dict[str, Accelerator]) -> None:
    content = {"environment": _environment(), "found": {name: asdict(one) for name, one in found.items()}}
    path = _memory_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(content, file)
        Path(file.name).replace(path)
    except OSError:
        return
