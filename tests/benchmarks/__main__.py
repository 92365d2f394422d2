"""`python -m tests.benchmarks [NAME...]`: run the named benchmarks, or all, and print their figures."""

from __future__ import annotations

import sys

from tests.benchmarks import dataset_scale, first_paint, throughput, wire

BENCHMARKS = {
    "dataset-scale": dataset_scale.main,
    "first-paint": first_paint.main,
    "throughput": throughput.main,
    "wire": wire.main,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(f"## {name}", flush=True)
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
