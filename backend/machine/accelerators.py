"""Optional libraries: which are installed, at a glance; and whether they really import, by trying it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetty.backend.apart import last_words, python_apart
from finetty.backend.files import write_whole
from finetty.backend.folders import cache_root
from finetty.backend.machine.facts import Accelerator
from finetty.backend.packages import installed_version

PACKAGES = {
    "kernels": "kernels",
    "unsloth": "unsloth",
    "liger_kernel": "liger-kernel",
    "bitsandbytes": "bitsandbytes",
    "flash_attn": "flash-attn",
    "flash_attn_interface": "flash-attn-3",
    "gptqmodel": "gptqmodel",
    "deepspeed": "deepspeed",
}
"""Import name → package name. accelerate imports DeepSpeed wherever it is installed, so a broken one ends a run."""
INSTALL = {
    "kernels": "pip install 'kernels>=0.16,<0.17'",
    "unsloth": "pip install --no-deps unsloth unsloth_zoo",
    "liger_kernel": "pip install liger-kernel",
    "bitsandbytes": "pip install bitsandbytes",
    "flash_attn": "pip install flash-attn --no-build-isolation",
    "flash_attn_interface": (
        "git clone https://github.com/Dao-AILab/flash-attention && cd flash-attention/hopper && python setup.py install"
    ),
    "gptqmodel": "pip install gptqmodel optimum",
    "deepspeed": "pip install deepspeed",
}
SERIES = {"kernels": "0.16."}
"""The only versions that the installed transformers takes (KERNELS_MIN_VERSION and KERNELS_MAX_VERSION)."""
HUB_FLASH_ATTENTION = "kernels-community/flash-attn2"
"""FlashAttention-2 ready-made, as transformers names it (FLASH_ATTN_KERNEL_FALLBACK). No other publisher's: what is
fetched runs with the user's rights."""
TRIED = {
    "kernels": (
        "import torch, transformers.integrations.hub_kernels as hub\n"
        f"name = '{HUB_FLASH_ATTENTION}'\n"
        "torch.cuda.is_available() and hub.get_kernel(name, version=hub.get_attn_kernel_version(name))"
    )
}
"""Where it takes more than an import to know: the kernel is fetched once, and runs find it in the cache."""
NEEDS = {"unsloth": ("unsloth_zoo",)}
"""Packages without which it does not import; --no-deps leaves them to whoever installs."""
EXTRAS = ("tensorboard", "wandb", "trackio", "optimum")
PATIENCE = 180
"""Seconds for one import: Unsloth's takes 20 on two cores."""


def accelerators() -> dict[str, Accelerator]:
    """By import name. Installed is not yet usable, so what `prove` last found here counts where it knows. Quick."""
    known = _remembered()
    return {name: known.get(name) or _glance(name) for name in PACKAGES}


def _glance(name: str) -> Accelerator:
    for package in (PACKAGES[name], *NEEDS.get(name, ())):
        version = installed_version(package)
        if version is None:
            return Accelerator(name, None, f"{package} is not installed", INSTALL[name])
    version, series = installed_version(PACKAGES[name]) or "", SERIES.get(name, "")
    if not version.startswith(series):
        return Accelerator(name, None, f"version {version} is none that transformers takes ({series}*)", INSTALL[name])
    return Accelerator(name, version)


def extras() -> tuple[str, ...]:
    """Which of the packages that one option or another needs are installed."""
    return tuple(package for package in EXTRAS if installed_version(package) is not None)


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
        done = python_apart(TRIED.get(name, f"import {name}"), PATIENCE)
    except subprocess.TimeoutExpired:
        return Accelerator(name, None, f"importing it took more than {PATIENCE} s", INSTALL[name])
    if done.returncode == 0:
        return glance
    return Accelerator(name, None, f"version {glance.version} does not import: {last_words(done)}", _mend(name))


def _mend(name: str) -> str:
    return (
        INSTALL[name]
        .replace("pip install", "pip install --force-reinstall --no-deps", 1)
        .replace("--no-deps --no-deps", "--no-deps")
    )


def memory_file() -> Path:
    """Where it is kept what imports in this environment; a machine's own, so it goes with no folder that is chosen."""
    return cache_root() / "finetty" / "accelerators.json"


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
        stored: Any = json.loads(memory_file().read_text(encoding="utf-8"))
        if stored["environment"] != _environment():
            return {}
        return {name: Accelerator(**stored["found"][name]) for name in PACKAGES}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remember(found: dict[str, Accelerator]) -> None:
    content = {"environment": _environment(), "found": {name: asdict(one) for name, one in found.items()}}
    path = memory_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(content).encode())
    except OSError:
        return
