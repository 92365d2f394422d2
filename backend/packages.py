"""Which version of a package is installed, at a glance: nothing is imported."""

from __future__ import annotations

from importlib import metadata


def installed_version(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
