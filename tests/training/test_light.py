"""Naming the rooms that train and answer costs no torch: a run says that it is loading before it loads."""

from __future__ import annotations

import subprocess
import sys


def test_importing_training_and_results_is_light() -> None:
    script = (
        "import sys, finetty.backend.training, finetty.backend.results;"
        "print(sorted({'torch', 'transformers', 'peft', 'bitsandbytes'} & sys.modules.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"
