"""What a model learns from: files of rows, their formats, the split, and the report on them."""

from finetty.backend.dataset.facts import DataFacts, Refused
from finetty.backend.dataset.reading import Progress, Rows, first_look, read_rows, read_validation
from finetty.backend.dataset.report import data_facts, data_report
from finetty.backend.dataset.splitting import split_rows
from finetty.backend.dataset.tokens import preview, preview_row

__all__ = [
    "DataFacts",
    "Progress",
    "Refused",
    "Rows",
    "data_facts",
    "data_report",
    "first_look",
    "preview",
    "preview_row",
    "read_rows",
    "read_validation",
    "split_rows",
]
