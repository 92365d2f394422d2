"""What a run will take: the live estimate of its memory."""

from finetty.backend.memory.estimate import STATED_ERROR, estimate, predict, trained_parameters
from finetty.backend.memory.job import Job, job_of, longest_row
from finetty.backend.memory.prediction import Device, MemoryPrediction

__all__ = [
    "STATED_ERROR",
    "Device",
    "Job",
    "MemoryPrediction",
    "estimate",
    "job_of",
    "longest_row",
    "predict",
    "trained_parameters",
]
