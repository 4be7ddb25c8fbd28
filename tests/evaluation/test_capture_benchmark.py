"""The capture benchmark on the shipped tiny model."""

import pytest

from workbench.core import ConfigError
from workbench.evaluation import CaptureBenchConfig, bench_capture

QUICK = CaptureBenchConfig(quick=True, rounds=2)


def test_every_case_is_measured_and_the_activations_agree():
    result = bench_capture(QUICK)
    rows = result.tables["capture"]
    for dtype in ("float32", "bfloat16"):
        names = {row["case"] for row in rows if row["dtype"] == dtype}
        assert {"capture", "Hugging Face hook, early exit", "bare products, F.linear"} <= names
    assert all(row["ms"] > 0 and row["ratio_plain"] > 0 for row in rows)
    assert result.scalars["relative_error_float32"] <= 1e-4
    assert result.scalars["relative_error_bfloat16"] <= 3e-2
    forced = {row["dtype"] for row in rows if row["case"] == "capture, weights packed"}
    for dtype in ("float32", "bfloat16"):
        packs = bool(result.scalars[f"packs_{dtype}"])
        assert (result.scalars[f"packed_mb_{dtype}"] > 0) == (packs or dtype in forced)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 7}, "layers run from 0 to 1"),
        ({"sequence_length": 4096}, "context holds"),
        ({"device": "cuda"}, "for the CPU"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        bench_capture(CaptureBenchConfig(**{**QUICK.model_dump(exclude_unset=True), **change}))
