"""What the model reads: conversations, templates, and their encoding into tokens with a loss mask."""

from finetty.backend.conversation.encoder import EncodedRow, Encoder
from finetty.backend.conversation.loading import load_encoder
from finetty.backend.conversation.registry import TemplateName, render_template, template_named, template_names
from finetty.backend.conversation.rendering import RowProblem
from finetty.backend.conversation.rows import Encoded, Row, Turn

__all__ = [
    "Encoded",
    "EncodedRow",
    "Encoder",
    "Row",
    "RowProblem",
    "TemplateName",
    "Turn",
    "load_encoder",
    "render_template",
    "template_named",
    "template_names",
]
