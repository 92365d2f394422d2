"""Makes .venv with finetty and the locked versions in it, and the torch that this machine's driver can run.

Runs on a fresh clone with nothing installed but Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import torch_build

PROJECT = Path(__file__).resolve().parent.parent
ENVIRONMENT = PROJECT / ".venv"
LOCKED = PROJECT / "constraints.txt"
ADAPTED = ENVIRONMENT / "constraints.txt"
"""The locked versions as they are installed here: with another torch where this machine needs one."""


def main() -> None:
    found = torch_build.answer()
    print(found["reason"], flush=True)
    run(sys.executable, "-m", "venv", *found["venv"], str(ENVIRONMENT))
    ADAPTED.write_text(constraints(LOCKED.read_text("utf-8"), found["constraint"]), "utf-8")
    if found["pip"]:
        pip("install", *found["pip"])
    pip("install", "--constraint", str(ADAPTED), "--editable", str(PROJECT))


def constraints(locked: str, torch: str | None) -> str:
    """The locked versions with this machine's torch; with none where the image's own torch is used."""
    return re.sub(r"(?m)^torch==.*\n", f"{torch}\n" if torch else "", locked)


def pip(*arguments: str) -> None:
    run(str(ENVIRONMENT / "bin" / "python"), "-m", "pip", arguments[0], "--quiet", *arguments[1:])


def run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"This failed, and what it says above is why: {' '.join(command)}")


if __name__ == "__main__":
    main()
