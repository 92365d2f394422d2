"""The rivals' environments: each its own, under a cache folder, made once and never inside finetty's."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from finetty.backend.folders import cache_root

TORCH = "torch==2.13.0"
PACKAGES = {
    "trl": [
        "transformers==5.17.0", "trl==1.16.0", "datasets==4.8.5", "peft==0.21.2", "accelerate==1.15.0",
    ],
    "llama-factory": [
        "transformers==5.6.0", "trl==0.24.0", "datasets==4.0.0", "peft==0.18.1", "accelerate==1.11.0",
        "omegaconf", "einops", "ruamel.yaml", "fire", "psutil", "av<=16",
    ],
}  # fmt: skip
WITHOUT_THEIR_NEEDS = {"llama-factory": ["llamafactory==0.9.5"]}
"""LLaMA-Factory asks for torchaudio and torchvision, whose builds would bring CUDA's libraries along."""


def python_of(name: str) -> Path:
    """The interpreter of this environment, which is made where it is not there yet."""
    cache = cache_root() / "finetty-benchmarks"
    python, whole = cache / name / "bin" / "python", cache / name / "whole"
    if not whole.exists():
        print(f"making {cache / name}, once", file=sys.stderr, flush=True)
        venv.create(cache / name, with_pip=True)
        _install(python, TORCH, "numpy")
        _install(python, TORCH, *PACKAGES[name])
        if name in WITHOUT_THEIR_NEEDS:
            _install(python, "--no-deps", *WITHOUT_THEIR_NEEDS[name])
        whole.touch()
    return python


def _install(python: Path, *wanted: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
