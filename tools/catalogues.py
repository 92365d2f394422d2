"""Update and compile the translations: `python -m tools.catalogues`, or with --check to see whether they are current.

The sources are `_("…")`, `mark("…")` and `plural("…", "…", n)` of the screens, `message(id, "…")` and
`option(default, "…")` of the backend.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tui" / "locale"
LANGUAGES = ("zh_CN",)
KEYWORDS = {"_": None, "mark": None, "plural": (1, 2), "message": (2,), "option": (2,)}
ROOMS = ("backend", "tui")


def sources() -> Catalog:
    """Every text of the program that a person reads, with where it stands."""
    catalogue = Catalog(project="finetty", charset="utf-8")
    for room in ROOMS:
        found = extract_from_dir(ROOT / room, [("**.py", "python")], keywords=KEYWORDS)
        for name, _line, text, comments, _context in sorted(found, key=lambda entry: (entry[0], entry[1])):
            if text and text != ("", ""):
                catalogue.add(text, None, [(f"{room}/{name}", None)], auto_comments=comments)
    return catalogue


def translations(language: str) -> Catalog:
    """What is translated now, as the .po file holds it."""
    path = po_path(language)
    if not path.exists():
        return Catalog(locale=language, project="finetty", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """The translations with exactly the messages that the sources have; new ones are empty, old ones gone."""
    catalogue = translations(language)
    catalogue.update(sources(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.fuzzy = False
    catalogue.header_comment = f"# finetty in {catalogue.locale_identifier}; update with `python -m tools.catalogues`."
    return catalogue


def po_path(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / "finetty.po"


def po_bytes(catalogue: Catalog) -> bytes:
    """The .po file: in the order of its texts and without dates, so that a change shows as what it is."""
    stream = io.BytesIO()
    write_po(stream, catalogue, width=120, sort_output=True, omit_header=False, include_lineno=False)
    lines = stream.getvalue().decode("utf-8").splitlines(keepends=True)
    changing = ('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By', '"Last-Translator', '"Report-Msgid')
    return "".join(line for line in lines if not line.startswith(changing)).encode("utf-8")


def mo_bytes(catalogue: Catalog) -> bytes:
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    stream = io.BytesIO()
    write_mo(stream, catalogue)
    return stream.getvalue()


def missing(catalogue: Catalog) -> list[str]:
    """Texts without a translation."""
    return [str(entry.id) for entry in catalogue if entry.id and not all(parts(entry.string))]


def parts(text: object) -> tuple[object, ...]:
    return tuple(text) if isinstance(text, tuple | list) else (text,)


def main(arguments: list[str]) -> int:
    """Write the catalogues, or with --check only say what is not current. Returns the exit code."""
    failed = 0
    for language in LANGUAGES:
        catalogue = updated(language)
        path, written = po_path(language), po_bytes(catalogue)
        if "--check" in arguments:
            current = path.exists() and path.read_bytes() == written
            print(f"{language}: {'current' if current else 'run python -m tools.catalogues'}")
            failed |= not current
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written)
            with path.open("rb") as file:
                path.with_suffix(".mo").write_bytes(mo_bytes(read_po(file, locale=language)))
        for text in missing(catalogue):
            print(f"{language}: untranslated: {text}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
