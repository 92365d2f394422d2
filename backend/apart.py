"""Python in a process of its own, and the last words of a process that failed."""

from __future__ import annotations

import subprocess
import sys

Done = subprocess.CompletedProcess[str]


def python_apart(code: str, seconds: float) -> Done:
    """Run the code in this interpreter's like. Raises OSError and subprocess.TimeoutExpired."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def last_words(done: Done, longest: int = 300) -> str:
    """The last line on its stderr, up to so many characters; its exit code where it said nothing."""
    lines = done.stderr.strip().splitlines()
    return lines[-1].strip()[:longest] if lines else f"exit code {done.returncode}"
