"""Figures of subnetworks draw what their tables hold."""

from workbench.core import Result


def test_the_penalties_beside_the_papers():
    rows = [{"mask": name, "kept_share": share, "r": 0.9, "r_low": 0.8, "r_high": 0.95}
            for name, share in (("full model", 1.0), ("lambda-1 <b>", 0.1))]  # fmt: skip
    paper = [{"model": "Pythia 1B", "share": 0.002, "selected": 0.959}]
    fig = Result("bigram reproduction", tables={"penalties": rows, "paper": paper}).fig()
    assert list(fig.data[0].x) == [1.0, 0.1]
    assert list(fig.data[1].y) == [0.959]
    assert "<b>" not in fig.data[0].text[1]


def test_a_training_is_drawn_over_its_steps():
    rows = [{"step": n, "divergence": 1 / n, "kept_share": 0.5, "undecided_share": 1.0} for n in (10, 20)]
    fig = Result("bigram training", tables={"training": rows}).fig()
    assert list(fig.data[0].x) == [10, 20]


def test_density_has_a_cell_for_every_matrix_and_layer():
    rows = [{"layer": layer, "matrix": name, "kept": 1, "entries": 4, "density": 0.25}
            for layer in (0, 1) for name in ("W_Q", "W_in") if (layer, name) != (1, "W_Q")]  # fmt: skip
    fig = Result("bigram density", tables={"matrices": rows}).fig()
    assert [list(row) for row in fig.data[0].z] == [
        [0.25, None], [0.25, 0.25]]  # fmt: skip
