"""The exact prediction: finetty's own training step run on fake tensors, and what the allocator reserves for it.

`replay` imports torch and transformers; whoever must not load them asks a process of its own through `asking`.
"""
