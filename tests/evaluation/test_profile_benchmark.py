"""The benchmark of profiles on the shipped tiny model."""

from workbench.core import get
from workbench.evaluation import ProfileBenchConfig


def test_bare_and_profiled_passes_read_the_same_text():
    rows = get("benchmark", "profile")(ProfileBenchConfig(quick=True)).tables["profile"]
    assert [row["case"] for row in rows] == ["bare forward passes", "profile, streaming measures"]
    assert all(row["floor"] == "bare forward passes" and row["ms"] > 0 for row in rows)
