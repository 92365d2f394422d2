"""The run: a plan carried out with transformers' Trainer, told in the run directory.

Importing this room is light; torch, transformers and peft come in when a run begins.
"""

from finetty.backend.training.run import resume, take_part, train

__all__ = ["resume", "take_part", "train"]
