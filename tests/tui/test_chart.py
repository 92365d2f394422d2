"""Curves and their drawing: exact at any length, gaps where values are missing, known points in known cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Region

from finetty.tui.widgets.axis import Scale, log_ticks, number, place_number, scale_of, ticks, time_ticks
from finetty.tui.widgets.chart import Chart
from finetty.tui.widgets.curve import Columns, Curve, smoothed
from finetty.tui.widgets.plot import INKS, Line, View, dots, draw
from finetty.tui.widgets.ruler import Ruler
from finetty.tui.widgets.window import Window, holding, panned, seen, zoomed

Point = tuple[int, float | None]
VALUES = st.one_of(st.floats(-100, 100, width=32), st.none(), st.just(math.nan), st.just(math.inf))


def curve_of(*points: tuple[int, float | None]) -> Curve:
    curve = Curve()
    curve.extend([step for step, _value in points], [value for _step, value in points])
    return curve


def brute_force(points: list[Point], edges: list[float]) -> Iterator[tuple[int, float, float]]:
    """Column, least and greatest finite value in it, for each column that holds a point."""
    for index, (low, high) in enumerate(pairwise(edges)):
        held = [value for step, value in points if low <= step < high]
        finite = [value for value in held if value is not None and math.isfinite(value)]
        if held:
            yield index, min(finite, default=math.nan), max(finite, default=math.nan)


@given(st.lists(st.tuples(st.integers(1, 4), VALUES), min_size=1, max_size=300), st.integers(1, 40), st.data())
def test_columns_equal_brute_force_however_the_points_arrive(
    jumps: list[Point], count: int, data: st.DataObject
) -> None:
    steps = accumulate(jump for jump, _value in jumps)
    coming: list[Point] = [(step, value) for step, (_jump, value) in zip(steps, jumps, strict=True)]
    curve, points = Curve(), list[Point]()
    while coming:
        size = data.draw(st.integers(1, len(coming)))
        part, coming = coming[:size], coming[size:]
        curve.extend([step for step, _value in part], [value for _step, value in part])
        points += part
        if data.draw(st.booleans()):
            back = data.draw(st.integers(0, points[-1][0]))
            curve.truncate(back)
            points = [point for point in points if point[0] <= back]
    assert len(curve) == len(points)
    if not points:
        return
    first, last = points[0][0], points[-1][0]
    edges = [*np.linspace(first, last, count + 1).tolist()[:-1], math.nextafter(last, math.inf)]
    columns = curve.columns(first, last, count)
    for index, low, high in brute_force(points, edges):
        assert np.array_equal(columns.lows[index], np.float32(low), equal_nan=True)
        assert np.array_equal(columns.highs[index], np.float32(high), equal_nan=True)


def test_a_spike_of_one_point_in_a_hundred_thousand_is_seen() -> None:
    curve = Curve()
    curve.extend(range(100_000), [1.0] * 77_777 + [9.0] + [1.0] * 22_222)
    columns = curve.columns(0, 99_999, 50)
    assert float(np.nanmax(columns.highs)) == 9.0
    assert int((columns.highs == 9.0).sum()) == 1
    assert set(columns.lows.tolist()) == {1.0}


def test_between_two_points_lies_the_straight_line() -> None:
    columns = curve_of((0, 0.0), (10, 10.0)).columns(0, 10, 10)
    assert columns.lows[5] == pytest.approx(5.5)
    assert np.array_equal(columns.lows[1:9], columns.highs[1:9])


def test_a_missing_value_is_a_gap_as_wide_as_itself() -> None:
    columns = curve_of((0, 1.0), (10, None), (20, 1.0), (30, 1.0)).columns(0, 30, 30)
    assert np.isnan(columns.lows[5:15]).all()
    assert not np.isnan(columns.lows[:5]).any()
    assert not np.isnan(columns.lows[15:]).any()


def test_going_back_forgets_the_steps_behind() -> None:
    curve = curve_of(*[(step, float(step)) for step in range(1, 2001)])
    curve.truncate(1500)
    curve.extend([1501], [7.0])
    assert len(curve) == 1501
    assert curve.last_step == 1501
    assert curve.nearest(5000) == (1501, 7.0)
    assert float(np.nanmax(curve.columns(1, 2000, 8).highs)) == 1500.0


def test_the_smoothed_loss_begins_at_the_first_and_leaves_gaps() -> None:
    means = smoothed([4.0, 2.0, None, 3.0], None, 0)
    assert means[:3] == [4.0, 3.0, None]
    assert means[3] == pytest.approx(3.0)


@given(st.lists(st.floats(0, 10), min_size=2, max_size=200), st.integers(1, 199))
def test_smoothing_goes_on_where_it_was(values: list[float], cut: int) -> None:
    cut = min(cut, len(values) - 1)
    head = smoothed(values[:cut], None, 0)
    assert head + smoothed(values[cut:], head[-1], cut) == smoothed(values, None, 0)


def test_known_points_are_in_known_dots() -> None:
    columns = Columns(np.float32([0, 1, 2, 3]), np.float32([0, 1, 2, 3]))
    drawn = dots(columns, Scale(0, 3), 4)
    assert drawn.tolist() == [
        [False, False, False, True],
        [False, False, True, False],
        [False, True, False, False],
        [True, False, False, False],
    ]


def test_steep_lines_are_joined_and_gaps_are_not() -> None:
    columns = Columns(np.float32([0, 3, math.nan, 0]), np.float32([0, 3, math.nan, 0]))
    drawn = dots(columns, Scale(0, 3), 4)
    assert drawn[:, 1].tolist() == [True, True, True, False]
    assert not drawn[:, 2].any()
    assert drawn[:, 3].tolist() == [False, False, False, True]


def test_a_straight_fall_in_braille() -> None:
    picture = draw([Line(curve_of((0, 4.0), (11, 0.0)), "loss", "smoothed")], 14, 5, View(0, 11))
    assert picture.text() == FALL


def test_the_same_in_ascii() -> None:
    picture = draw([Line(curve_of((0, 4.0), (11, 0.0)), "loss", "smoothed")], 14, 5, View(0, 11, ascii_only=True))
    assert picture.text().isascii()
    assert picture.text().splitlines()[0].startswith("4 +***")


def test_marks_stand_at_their_steps_and_lie_on_top() -> None:
    lines = [
        Line(curve_of((0, 4.0), (11, 0.0)), "loss", "smoothed"),
        Line(curve_of((0, 4.0), (11, 0.0)), "held-out", "points", scattered=True),
    ]
    picture = draw(lines, 14, 5, View(0, 11))
    assert [(y, x) for y, x in np.argwhere(picture.characters == "◆").tolist()] == [(0, 3), (2, 13)]
    assert INKS[picture.inks[0, 3]] == "points"


def test_one_wild_step_does_not_flatten_the_others() -> None:
    values = [1.0 + step % 2 for step in range(200)]
    values[100] = 1e9
    scale = scale_of([curve_of(*enumerate(values)).columns(0, 199, 200)], log=False)
    assert scale is not None
    assert scale.high == 2.0


def test_a_constant_curve_and_a_single_point_can_be_drawn() -> None:
    for curve in (curve_of((1, 2.0), (50, 2.0)), curve_of((1, 2.0)), curve_of((1, 0.0))):
        assert "⠉" in (text := draw([Line(curve, "loss", "smoothed")], 30, 8, View(1, 50)).text()) or any(
            "⠀" < character <= "⣿" for character in text
        )


def test_nothing_is_drawn_of_nothing() -> None:
    for curve in (Curve(), curve_of((1, None), (2, math.nan))):
        assert draw([Line(curve, "loss", "raw")], 30, 8, View(0, 10)).text().strip() == ""


def test_log_scale_leaves_out_what_has_no_logarithm() -> None:
    picture = draw([Line(curve_of((0, 100.0), (5, 0.0), (10, 1.0)), "loss", "raw")], 30, 12, View(0, 10, log=True))
    assert "100" in picture.text()
    assert any("⠀" < character <= "⣿" for character in picture.text())


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_round_inside_and_few(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert len(found) <= most
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)


def test_ticks_and_their_numbers() -> None:
    assert ticks(0, 300, 7) == [0, 50, 100, 150, 200, 250, 300]
    assert log_ticks(0.5, 30, 10) == [0.5, 1, 2, 5, 10, 20]
    assert [number(value, 0.5) for value in (0.0, 0.5, 2.0)] == ["0", "0.5", "2.0"]
    assert number(0.0002, 0.0001) == "2.0e-4"
    assert number(50_000, 10_000) == "50k"


def test_numbers_along_the_axis() -> None:
    assert [place_number(value, 2, "step") for value in (12_344, 1_234_568)] == ["12344", "1234568"]
    assert [place_number(value, 2e5, "tokens") for value in (0, 8e5, 1e6, 1.2e6)] == ["0", "800k", "1M", "1.2M"]
    assert [place_number(value, 1, "time") for value in (0, 45e3, 90e3, 7_205e3)] == ["0s", "45s", "1m30s", "2h5s"]
    assert time_ticks(0, 3_600_000, 7) == [600_000 * number for number in range(7)]


@given(st.lists(st.sampled_from(["in", "out", "left", "right", "hold", "grow"]), max_size=40), st.integers(1, 5_000))
@example(["in", "grow", "grow", "grow", "hold"], 4001)
def test_a_window_stays_within_the_curve_and_holds_what_it_should(moves: list[str], at: int) -> None:
    window, newest = None, 5_000.0
    for move in moves:
        whole = (1.0, newest)
        match move:
            case "in" | "out":
                window = zoomed(window, whole, 10, 0.5 if move == "in" else 2.0, None)
            case "left" | "right":
                window = panned(window, whole, 10, -0.5 if move == "left" else 0.5)
            case "hold":
                window = holding(window, whole, 10, at)
                assert seen(window, whole, 10)[0] <= at <= seen(window, whole, 10)[1]
            case "grow":
                followed, newest = window is None or window.follows, newest + 500
                assert not followed or seen(window, (1.0, newest), 10)[1] >= newest
        left, right = seen(window, (1.0, newest), 10)
        assert left >= 1.0 - 1e-6 and left < newest
        assert right - left >= 10 - 1e-6
        assert right <= newest + (right - left) / 5


def test_zooming_keeps_the_cursor_in_its_place_and_ends_with_the_whole() -> None:
    whole = (0.0, 1000.0)
    window = zoomed(None, whole, 10, 0.5, 300.0)
    left, right = seen(window, whole, 10)
    before = seen(None, whole, 10)
    assert (300 - left) / (right - left) == pytest.approx((300 - before[0]) / (before[1] - before[0]))
    assert zoomed(window, whole, 10, 2.0, 300.0) is None
    assert zoomed(None, whole, 10, 0.5, None) == Window(width=(before[1] - before[0]) / 2)


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0.5, 100)), min_size=1, max_size=200), st.integers(0, 199))
def test_a_ruler_leads_there_and_back_however_far_it_was_cut(jumps: list[tuple[int, float]], cut: int) -> None:
    ruler = Ruler()
    steps = list(accumulate(step for step, _place in jumps))
    places = list(accumulate(place for _step, place in jumps))
    ruler.extend(steps, [None if index % 7 == 6 else place for index, place in enumerate(places)])
    ruler.truncate(steps[min(cut, len(steps) - 1)])
    kept = [step for index, step in enumerate(steps[: cut + 1]) if index % 7 != 6]
    if kept:
        assert ruler.known
        assert ruler.steps(ruler.places(kept)) == pytest.approx(kept)
        assert ruler.steps([ruler.places(kept)[-1] + 10])[0] > kept[-1]


def test_runs_of_different_lengths_meet_along_the_tokens() -> None:
    """One has twice the tokens a step: along the tokens both reach the same loss at the same place."""
    lines = []
    for ink, tokens in (("smoothed", 100), ("b", 200)):
        ruler, count = Ruler(), 2000 // tokens
        ruler.extend(range(1, count + 1), [step * tokens for step in range(1, count + 1)])
        curve = curve_of(*[(step, 4.0 - step * tokens / 1000) for step in range(1, count + 1)])
        lines.append(Line(curve, ink, ink, rulers={"tokens": ruler}))  # type: ignore[arg-type]
    assert [line.span("step") for line in lines] == [(1, 20), (1, 10)]
    assert [line.span("tokens") for line in lines] == [(100, 2000), (200, 2000)]
    one, other = (line.columns(200, 2000, 36, "tokens") for line in lines)
    assert one.lows == pytest.approx(other.lows, abs=0.2)
    assert [line.value(1000, "tokens") for line in lines] == pytest.approx([3.0, 3.0])
    assert lines[1].span("time") is None


def test_another_run_is_told_apart_without_colour() -> None:
    lines = [
        Line(curve_of(*[(step, 4.0) for step in range(60)]), "own", "smoothed"),
        Line(curve_of(*[(step, 2.0) for step in range(60)]), "other", "b"),
        Line(curve_of((0, 3.0), (59, 3.0)), "other", "b", scattered=True),
    ]
    braille = draw(lines, 60, 12, View(0, 59)).text()
    assert 4 <= braille.count("b") <= 6 and braille.count("B") == 2
    ascii_text = draw(lines, 60, 12, View(0, 59, ascii_only=True)).text()
    assert ascii_text.count("b") > 40 and ascii_text.count("*") > 40 and ascii_text.isascii()


FALL = """\
4 ┤⠑⠢⢄⡀
2 ┤   ⠈⠑⠢⢄⡀
0 ┤       ⠈⠑⠢⢄
  └┴─────────┴
   0        10"""


class ChartApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Chart("chart", empty="nothing yet")


async def test_only_the_rows_that_changed_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        chart = app.query_one(Chart)
        curve = curve_of(*[(step, 4.0 - step / 100 if step < 295 else 2.0) for step in range(300)])
        chart.show([Line(curve, "loss", "smoothed")])
        await pilot.pause()
        repainted: list[Region] = []
        monkeypatch.setattr(chart, "refresh", lambda *regions, **_: repainted.extend(regions))
        chart.redraw()
        assert repainted == []
        curve.truncate(298)
        curve.extend([299], [1.7])
        chart.redraw()
        assert {region.y for region in repainted} <= {0, *range(7, 12)}
        assert 0 < len(repainted) < 14


async def test_the_cursor_reads_values(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        chart = app.query_one(Chart)
        chart.show([Line(curve_of((0, 4.0), (50, 3.0), (100, 2.0)), "loss", "points", scattered=True)])
        chart.focus()
        assert "loss 2" in chart.render_line(0).text
        await pilot.press("home")
        assert chart.render_line(0).text.startswith("step 0")
        assert "loss 4" in chart.render_line(0).text
        await pilot.press("end")
        assert "loss 2" in chart.render_line(0).text
        assert "step" not in chart.render_line(0).text


async def test_the_cursor_begins_at_the_newest_step_and_only_its_cells_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        chart = app.query_one(Chart)
        chart.show(
            [Line(curve_of(*[(step, 4.0 - step / 200) for step in range(301)]), "loss", "points", scattered=True)]
        )
        chart.focus()
        await pilot.pause()
        repainted: list[tuple[Region, ...]] = []
        monkeypatch.setattr(chart, "refresh", lambda *regions, **_: repainted.append(regions))
        await pilot.press("left")
        assert chart.look.cursor is not None and 290 < chart.look.cursor < 300
        assert repainted and all(repainted), "a refresh without regions sends the whole chart"
        await pilot.press("right")
        assert chart.look.cursor is None


async def test_zooming_panning_and_letting_go_by_key() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        chart = app.query_one(Chart)
        curve = curve_of(*[(step, 4.0 - step / 400) for step in range(1001)])
        chart.show([Line(curve, "loss", "smoothed")])
        chart.focus()
        await pilot.press("plus", "plus")
        assert chart.span() == (750, 1000)
        assert "zoomed, follows" in chart.render_line(0).text
        assert "1.5" in chart.render_line(15 - 2).text or "1.5" in "".join(chart.render_line(y).text for y in range(16))
        curve.extend(range(1001, 1201), [1.0] * 200)
        chart.redraw()
        assert chart.span() is not None and chart.span()[1] >= 1200  # type: ignore[index]
        await pilot.press("comma")
        held = chart.span()
        curve.extend([1201], [1.0])
        chart.redraw()
        assert chart.span() == held and "follows" not in chart.render_line(0).text
        await pilot.press("home")
        assert chart.span()[0] == 0 and chart.look.cursor == 0  # type: ignore[index]
        await pilot.press("escape")
        assert chart.look.cursor is None and chart.look.window is not None
        await pilot.press("escape")
        assert chart.look.window is None
        await pilot.press("plus", "0")
        assert chart.look.window is None


async def test_the_measure_goes_on_to_what_is_known() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)) as pilot:
        chart, ruler = app.query_one(Chart), Ruler()
        ruler.extend(range(1, 101), [step * 60_000 for step in range(1, 101)])
        curve = curve_of(*[(step, 4.0 - step / 100) for step in range(1, 101)])
        chart.show([Line(curve, "loss", "smoothed", rulers={"time": ruler})])
        chart.focus()
        await pilot.press("plus", "u")
        assert chart.look.measure == "time" and chart.look.window is None
        assert "by time" in chart.render_line(0).text and "1h" in chart.render_line(15).text
        await pilot.press("left")
        assert "1h 38m" in chart.render_line(0).text
        await pilot.press("u")
        assert chart.look.measure == "step"


async def test_an_empty_chart_says_what_it_waits_for() -> None:
    app = ChartApp()
    async with app.run_test(size=(60, 16)):
        chart = app.query_one(Chart)
        assert "nothing yet" in "".join(chart.render_line(y).text for y in range(16))
