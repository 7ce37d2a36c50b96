"""The page of the benchmarks draws the records, and its exercises are right."""
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tables

ROOT = Path(__file__).resolve().parents[2]


def test_the_cell_holds_the_records(lecture):
    records = tables.load()
    recorded = [(r["title"], c["name"], c) for r in records.values()
                for c in r["cases"]]
    assert len(lecture.rows) == len(recorded)
    for row, (title, name, c) in zip(lecture.rows, recorded, strict=True):
        assert row[:2] == (title, name)
        assert row[3:] == pytest.approx(
            [1e3 * x for x in (c["ours"], c["peer"], *c["compile"])],
            rel=1e-3, abs=1e-6)


def test_series_are_the_rows_with_sizes(lecture):
    seen = 0
    for s in lecture.series:
        record = next(json.loads(p.read_text("utf-8")) for p
                      in (ROOT / "benchmarks/results").glob("*.json")
                      if json.loads(p.read_text("utf-8")).get("title")
                      == s["title"])
        own = [c for c in record["cases"]
               if c["peer_name"].replace("`", "") == s["peer"]
               and c["ours_name"] == s["line"] and c["size"]]
        assert s["size"] == [c["size"] for c in own] == sorted(s["size"])
        assert s["ours"] == pytest.approx([c["ours"] for c in own], rel=1e-3)
        assert s["theirs"] == pytest.approx([c["peer"] for c in own],
                                            rel=1e-3)
        assert len(own) >= 3
        seen += 1
    assert seen >= 10


def test_each_subject_has_its_line_and_its_panel(lecture):
    assert len(lecture.titles) == len(set(lecture.titles)) >= 11
    assert sum(r.size for r in lecture.ratios.values()) == len(lecture.rows)
    assert len(lecture.panels) >= 8


def test_power_law_is_recovered(lecture):
    n = np.array([10.0, 100.0, 1000.0])
    a, b = lecture.fit_power(n, 3 * n**1.5)
    assert (np.exp(a), b) == pytest.approx((3, 1.5), rel=1e-12)
    assert np.isfinite(lecture.orders).all()


@pytest.mark.parametrize("times, k", [
    ((1, 2, 0, 0), 1), ((1, 2, 10, 0), 11), ((1, 2, 10.5, 0), 11),
    ((1, 2, 10, 20), 1), ((2, 1, 0, 0), np.inf), ((2, 1, 5, 0), np.inf),
    ((2, 1, 0, 5), 1)])
def test_calls_to_overtake(lecture, times, k):
    assert lecture.calls_to_overtake(*times) == k


def test_calls_to_overtake_by_counting(lecture):
    for row in lecture.rows:
        t, u, c, d = row[3:]
        k = lecture.calls_to_overtake(t, u, c, d)
        if 1 < k < 10_000:
            assert c + k * t < d + k * u
            assert not c + (k - 1) * t < d + (k - 1) * u
