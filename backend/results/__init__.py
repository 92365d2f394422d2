"""What came of a run: answers from the base model and the tuned one."""

from finetty.backend.results.answers import Answer, Chat, answers

__all__ = ["Answer", "Chat", "answers"]
