"""Which ways of training really work on this machine: each is tried for twenty steps, in a process of its own."""

from finetty.backend.proving.paths import TrainingPath, training_paths
from finetty.backend.proving.report import prove, write_report

__all__ = ["TrainingPath", "prove", "training_paths", "write_report"]
