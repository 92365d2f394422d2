"""What a run will take: the live estimate of its memory."""

from finetty.backend.memory.estimate import estimate, fits, predict, predictable, stated_error, trained_parameters
from finetty.backend.memory.job import Job, job_of, job_with, longest_row
from finetty.backend.memory.prediction import Device, MemoryPrediction

__all__ = [
    "Device",
    "Job",
    "MemoryPrediction",
    "estimate",
    "fits",
    "job_of",
    "job_with",
    "longest_row",
    "predict",
    "predictable",
    "stated_error",
    "trained_parameters",
]
