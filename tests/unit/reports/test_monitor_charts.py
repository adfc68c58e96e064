"""The charts of what monitors read: numbers as they were read, what is drawn without an edge, and nothing of nothing."""

from __future__ import annotations

import math

import pytest

from etastar import Lane, Outcome, Runs
from etastar.core import LaneStatus
from etastar.core.lane import ReadingRow
from etastar.core.monitor import REFUSED
from etastar.probes.monitors.move_monitor import MoveMonitor
from etastar.probes.monitors.sharpness_monitor import SharpnessMonitor
from etastar.reports.flags import flag_sentences
from etastar.reports.monitor_charts import monitor_charts, monitor_section
from etastar.reports.monitor_rows import monitor_lines

SHARPNESS, MOVE = SharpnessMonitor(every=10), MoveMonitor(every=10)


def watched(*readings: tuple[int, object, str, str, float]) -> Outcome:
    rows = tuple(ReadingRow(step, repr(m), block, name, value) for step, m, block, name, value in readings)
    lane = Lane(0.1, 0, 20, monitors=(SHARPNESS, MOVE))
    return Outcome(lane, LaneStatus.TRAINED, 5, 20, 1.0, 0.5, readings=rows)


def points(chart) -> list[tuple[int, str, float]]:
    """The rows of the lines."""
    spec = chart.to_dict()
    rows = [row for data in spec["datasets"].values() for row in data if "step" in row]
    return [(row["step"], row["block"], row["value"]) for row in rows]


def sharpness(edge_ratio: float) -> Outcome:
    found = [(step, SHARPNESS, "", name, value) for step in (0, 10, 20) for name, value in (
        ("lambda1", 2.0 + step), ("bound", 0.1), ("edge_ratio", edge_ratio * (1 + step)))]  # fmt: skip
    return watched(*found)


def test_the_edge_ratio_is_drawn_with_the_edge_and_the_curvature_where_no_edge_is_known():
    chart = monitor_charts("p", sharpness(0.1))["monitor-sharpness"]
    assert points(chart) == [(0, "model", 0.1), (10, "model", pytest.approx(1.1)), (20, "model", pytest.approx(2.1))]
    assert "edge of stability" in str(chart.to_dict())
    other = monitor_charts("p", sharpness(math.nan))["monitor-sharpness"]
    assert points(other) == [(0, "model", 2.0), (10, "model", 12.0), (20, "model", 22.0)]
    assert "edge of stability" not in str(other.to_dict())
    (section,) = monitor_section(sharpness(math.nan))
    assert list(section.captions) == ["monitor-sharpness"] and "No edge is known" in section.captions["monitor-sharpness"]
    assert "20 steps at 0.1 (trained)" in section.text


def test_moves_are_shares_of_the_first_size_and_layers_keep_their_order():
    rows = [
        (step, MOVE, block, name, value)
        for step, moved in ((0, 0.0), (10, 3.0))
        for block, size in (("layer.10", 2.0), ("layer.9", 4.0), ("dead", 0.0))
        for name, value in (("size", size + 5 * step), ("moved", moved))
    ]
    chart = monitor_charts("p", watched(*rows))["monitor-move"]
    assert points(chart) == [(0, "layer.10", 0), (0, "layer.9", 0), (10, "layer.10", 1.5), (10, "layer.9", 0.75)]
    (colour,) = {str(layer["encoding"]["color"]["scale"]["domain"]) for layer in chart.to_dict()["layer"]}
    assert colour == "['layer.10', 'layer.9']"


def test_without_values_there_is_no_chart_and_no_section():
    for nothing in (None, watched(), watched((0, SHARPNESS, "it cannot", REFUSED, math.nan))):
        assert monitor_charts("p", nothing) == {} and monitor_section(nothing) == []
        assert monitor_lines(nothing) == []


def test_the_terminal_says_the_largest_value_and_those_at_the_end():
    moves = [(step, MOVE, block, name, value) for step, moved in ((0, 0.0), (10, 3.0), (20, 2.0))
             for block, size in (("a", 2.0), ("b", 4.0)) for name, value in (("size", size), ("moved", moved))]  # fmt: skip
    both = watched(*moves, *((r.step, SHARPNESS, r.block, r.name, r.value) for r in sharpness(0.1).readings))
    assert monitor_lines(both) == [
        "one lane of 20 steps at 0.1 while it trained:",
        "learning rate x lambda1, as a share of the edge: at most 2.1 (step 20), 2.1 at step 20",
        "how far layers have moved, as a share of their first outputs: at most 1.5 (step 10, module a), 0.5 .. 1 at step 20",
    ]


def test_the_flag_of_a_refused_monitor_says_why():
    refused = watched((0, SHARPNESS, "torch has no second derivative of this loss", REFUSED, math.nan))
    assert refused.flags == ("monitor-refused",)
    ((_, sentence),) = flag_sentences(refused.flags, Runs([refused]))
    assert sentence.endswith("read nothing. The first: torch has no second derivative of this loss.")
