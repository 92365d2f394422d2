"""Speed and memory claims, as ratios of two things measured side by side in one run; never part of `make test`."""
