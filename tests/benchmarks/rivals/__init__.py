"""The same job by finetty, by a bare transformers Trainer, by TRL's SFTTrainer and by LLaMA-Factory."""
