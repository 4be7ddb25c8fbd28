import workbench  # noqa: F401  (the hall names the renderers)
from workbench.core import Result
from workbench.figures.theme import NEGATIVE, NEUTRAL, POSITIVE


def row(case: str, ratio: float, backend: str = "cpu", plain: float | None = 0.5, noisy: bool = False) -> dict:
    ratios = {"ratio_floor": ratio, "ratio_floor_low": ratio - 0.1, "ratio_floor_high": ratio + 0.2}
    shape = {"operation": "decode", "shape": "<2 x 3>", "dtype": "float32", "noisy": noisy}
    return {"case": case, "floor": "copy", "backend": backend, "ms": 2.0, "ratio_plain": plain, **ratios, **shape}


def test_a_benchmark_shows_every_case_but_the_floor_with_its_quartiles():
    rows = [row("copy", 1.0, "torch"), row("bag", 2.0, "torch", 1.0), row("own", 0.9), row("slow", 3.0, plain=1.5)]
    fig = Result("benchmark", tables={"kernels": rows, "compiled": [{"kernel": "gather"}]}).fig()
    (bars,) = fig.data
    assert list(bars.x) == [2.0, 0.9, 3.0]
    assert list(bars.marker.color) == [NEUTRAL, POSITIVE, NEGATIVE]
    assert round(bars.error_x.array[1], 6) == 0.2
    assert "<2" not in bars.y[0][0]


def test_noise_is_written_beside_the_work():
    fig = Result("benchmark", tables={"kernels": [row("own", 0.9, noisy=True)]}).fig()
    assert "too noisy to tell" in fig.data[0].y[0][0]


def test_a_benchmark_without_rows_is_an_empty_figure():
    assert len(Result("benchmark", tables={"kernels": []}).fig().data[0].x or ()) == 0
