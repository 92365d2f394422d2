"""A process that trains for `doctor --prove`: by itself, or one of those that torchrun started, a card each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from finetty.backend.runs import Run
from finetty.backend.training import take_part, train

if __name__ == "__main__":
    if int(os.environ.get("RANK", "0")) > 0:
        take_part()
    else:
        train(Run.open(Path(sys.argv[1])))
