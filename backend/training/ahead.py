"""What a run imports, loaded before the run is known: seconds that pass while a person reads the review."""

from __future__ import annotations

from finetty.backend.training.unsloth import import_first


def load_libraries(*, unsloth: bool) -> None:
    """Import the libraries of a run in their order. No card is touched, and no model. Raises what an import raises."""
    if unsloth:
        import_first()
    import peft  # noqa: F401

    import finetty.backend.training.arguments
    import finetty.backend.training.load
    import finetty.backend.training.methods
    import finetty.backend.training.preflight
    import finetty.backend.training.trainer  # noqa: F401
