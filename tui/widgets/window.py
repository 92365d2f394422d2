"""The part of an axis that is in sight: zoomed, panned, held within the whole, or moving on with the newest point."""

from __future__ import annotations

from dataclasses import dataclass

from finetty.tui.widgets.axis import roomy

Span = tuple[float, float]
"""From where to where on the axis."""


@dataclass(frozen=True)
class Window:
    """So much of the axis, up to `last`; where that is None, up to the newest point and on with it."""

    width: float
    last: float | None = None

    @property
    def follows(self) -> bool:
        return self.last is None


def seen(window: Window | None, whole: Span, least: float) -> Span:
    """What is drawn of a curve from `whole[0]` to its newest point `whole[1]`; all of it without a window."""
    first, newest = whole
    if window is None:
        end = max(newest, first + least)
        return first, roomy(end, end)
    last = roomy(newest, window.width) if window.last is None else window.last
    return last - window.width, last


def zoomed(window: Window | None, whole: Span, least: float, factor: float, at: float | None) -> Window | None:
    """The window `factor` times as wide, with `at` where it was; None once it would hold everything.

    Without an `at` in sight a window that follows the newest point goes on doing so, another keeps its middle.
    """
    left, right = seen(window, whole, least)
    start, end = seen(None, whole, least)
    width = max((right - left) * factor, least)
    if width >= end - start:
        return None
    if at is None or not left <= at <= right:
        if window is None or window.follows:
            return Window(width)
        at = (left + right) / 2
    return _within(Window(width, at + (right - at) * width / (right - left)), whole)


def panned(window: Window | None, whole: Span, least: float, share: float) -> Window | None:
    """The window moved by a share of its width. At the newest point it begins to follow; of the whole nothing moves."""
    if window is None:
        return None
    return _within(Window(window.width, seen(window, whole, least)[1] + share * window.width), whole)


def holding(window: Window | None, whole: Span, least: float, at: float) -> Window | None:
    """The window, moved as far as it takes to bring `at` into sight."""
    left, right = seen(window, whole, least)
    if window is None or left <= at <= right:
        return window
    if at > right:
        return _within(Window(window.width, at), whole)
    # Not on with the newest point, though it may be in sight: the room beside that would push `at` out again.
    return Window(window.width, max(at, whole[0]) + window.width)


def _within(window: Window, whole: Span) -> Window:
    first, newest = whole
    last = max(window.last or 0.0, first + window.width)
    return Window(window.width, None if last >= newest else last)
