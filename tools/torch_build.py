"""Print the pip arguments for the torch that this machine's driver and card can run: `python tools/torch_build.py`.

Runs on a fresh clone with nothing installed: the standard library, and NVIDIA's own library where there is a driver.
With --json it prints {"pip": [...], "venv": [...], "constraint": "torch==...", "reason": "..."}: `venv` is what
`python -m venv` is given, so that an image's own torch is used where it works.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROBE = (
    "import json, torch; works = torch.cuda.is_available();"
    " works = works and float((torch.ones(8, 8, device='cuda') @ torch.ones(8, 8, device='cuda')).sum()) == 512.0;"
    " print(json.dumps({'version': torch.__version__, 'works': bool(works)}))"
)
PATIENCE = 120
"""Seconds: torch from a cold disk takes its time."""


def rules() -> ModuleType:
    """finetty's table of builds, loaded by its path: the package is not installed yet."""
    spec = importlib.util.spec_from_file_location("torch_builds", ROOT / "backend" / "machine" / "torch_builds.py")
    if spec is None or spec.loader is None:
        raise SystemExit("backend/machine/torch_builds.py is missing: the clone is not whole.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def driver_and_capabilities() -> tuple[str | None, list[tuple[int, int]]]:
    """From NVIDIA's library, else from nvidia-smi; (None, []) without either."""
    return _from_library() or _from_command() or (None, [])


def _from_library() -> tuple[str, list[tuple[int, int]]] | None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2():
            return None
        text = ctypes.create_string_buffer(96)
        if nvml.nvmlSystemGetDriverVersion(text, ctypes.c_uint(len(text))):
            return None
        return text.value.decode("ascii", "replace"), list(_capabilities(nvml))
    except (OSError, AttributeError):
        return None


def _capabilities(nvml: Any) -> list[tuple[int, int]]:
    count, found = ctypes.c_uint(), []
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return []
    for index in range(count.value):
        handle, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)):
            continue
        if not nvml.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor)):
            found.append((major.value, minor.value))
    return found


def _from_command() -> tuple[str, list[tuple[int, int]]] | None:
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_command(done.stdout) if done.returncode == 0 else None


def read_command(text: str) -> tuple[str, list[tuple[int, int]]] | None:
    """nvidia-smi's lines, "580.95.05, 12.0" a card."""
    driver, capabilities = None, []
    for line in text.splitlines():
        version, _, capability = (part.strip() for part in line.partition(","))
        major, _, minor = capability.partition(".")
        if version and major.isdigit() and minor.isdigit():
            driver = version
            capabilities.append((int(major), int(minor)))
    return (driver, capabilities) if driver else None


def installed_torch(table: ModuleType) -> Any:
    """The torch of the interpreter that makes the virtual environment, tried on the card; None where there is none."""
    try:
        if importlib.util.find_spec("torch") is None:
            return None
        done = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        said = json.loads(done.stdout.strip().splitlines()[-1])
        return table.Found(str(said["version"]), bool(said["works"]))
    except (OSError, ValueError, IndexError, KeyError, ImportError, subprocess.TimeoutExpired):
        return None


def answer() -> dict[str, Any]:
    """What to give pip and venv on this machine, and why."""
    table = rules()
    driver, capabilities = driver_and_capabilities()
    decision = table.decide(driver, capabilities, installed_torch(table) if capabilities else None)
    build = decision.build
    return {
        "pip": [] if decision.use_installed else build.pip_arguments,
        "venv": ["--system-site-packages"] if decision.use_installed else [],
        "constraint": None if decision.use_installed else build.requirement,
        "reason": decision.reason,
    }


def main() -> None:
    found = answer()
    if "--json" in sys.argv[1:]:
        print(json.dumps(found))
        return
    print(" ".join(found["pip"]))
    print(found["reason"], file=sys.stderr)


if __name__ == "__main__":
    main()
