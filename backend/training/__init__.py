"""The run: a plan carried out with transformers' Trainer, told in the run directory.

Importing this room is light; torch, transformers and peft come in when a run begins.
"""

from finetty.backend.training.run import resume, train

__all__ = ["resume", "train"]
