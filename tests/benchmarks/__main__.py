"""`python -m tests.benchmarks [NAME...]`: run the named benchmarks, or all but those on request."""

from __future__ import annotations

import sys

from tests.benchmarks import (
    dataset_scale,
    encoding,
    export_memory,
    first_paint,
    keys,
    long_run,
    loss,
    overhead,
    padding,
    plan_speed,
    start,
    survival,
    throughput,
    wire,
)
from tests.benchmarks.rivals.__main__ import main as rivals

BENCHMARKS = {
    "encoding": encoding.main,
    "padding": padding.main,
    "plan-speed": plan_speed.main,
    "dataset-scale": dataset_scale.main,
    "export-memory": export_memory.main,
    "first-paint": first_paint.main,
    "loss": loss.main,
    "start": start.main,
    "throughput": throughput.main,
    "overhead": overhead.main,
    "wire": wire.main,
    "keys": keys.main,
    "long-run": long_run.main,
}
ON_REQUEST = {"survival": survival.main, "rivals": rivals}
"""They take an hour and more; "rivals" installs what it compares with."""


def main(names: list[str]) -> int:
    known = BENCHMARKS | ON_REQUEST
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(f"## {name}", flush=True)
        known[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
