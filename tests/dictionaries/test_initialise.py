"""Starting points: scales by the median, ridge against the textbook formula, features from rows."""

import pytest
import torch
from hypothesis import given, strategies as st

from workbench.dictionaries import AffineFit, Scale
from workbench.dictionaries.initialise import features_from_data, random_features


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def test_scale_brings_the_median_row_to_the_root_of_d(draw):
    rows = 7 + 0.01 * torch.randn(501, 9, generator=draw, dtype=torch.float64)
    scaled = Scale.of(rows).apply_(rows.clone())
    assert scaled.norm(dim=1).median() == pytest.approx(3.0)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(9, dtype=torch.float64))


def test_scale_ignores_how_large_the_few_largest_rows_are(draw):
    rows = torch.randn(1000, 4, generator=draw)
    rows = torch.cat([rows, -rows])
    huge = torch.cat([rows, 1e6 * rows[:1], -1e6 * rows[:1]])
    assert Scale.of(huge).factor == pytest.approx(Scale.of(rows).factor, rel=0.01)


def test_scale_of_constant_rows_is_defined():
    assert Scale.of(torch.ones(5, 3)).factor == 1.0


@given(st.integers(3, 60), st.integers(1, 6), st.integers(1, 6), st.floats(0, 2), st.integers(0, 99))
def test_streamed_ridge_is_the_textbook_formula(rows, d_in, d_out, ridge, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, d_in, generator=draw, dtype=torch.float64) + 1
    y = torch.randn(rows, d_out, generator=draw, dtype=torch.float64) - 2
    fit = AffineFit(d_in, d_out)
    for part in range(0, rows, 7):
        fit.add(x[part : part + 7], y[part : part + 7])
    found = fit.solve(ridge, torch.float64)
    centred_x, centred_y = x - x.mean(0), y - y.mean(0)
    penalty = max(ridge, 1e-10) * rows * centred_x.square().mean()
    gram = centred_x.T @ centred_x + penalty * torch.eye(d_in, dtype=torch.float64)
    wanted = torch.linalg.solve(gram, centred_x.T @ centred_y).T
    if ridge > 1e-3 or rows > 2 * d_in:
        torch.testing.assert_close(found.weight, wanted, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found(x).mean(0), y.mean(0))


def test_an_exact_affine_relation_is_found(draw):
    weight, bias = torch.randn(3, 5, generator=draw), torch.randn(3, generator=draw)
    x = torch.randn(200, 5, generator=draw)
    found = AffineFit(5, 3).add(x, x @ weight.T + bias).solve(1e-8)
    torch.testing.assert_close(found.weight, weight, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.bias, bias, atol=1e-4, rtol=1e-4)


def test_a_feature_writes_its_share_of_its_rows_residual(draw):
    x, residual = torch.randn(20, 6, generator=draw), torch.randn(20, 4, generator=draw)
    found = features_from_data(x, residual, 12, 0.3, seed=1)
    activation = found.encoder @ x.T
    row = (activation / x.norm(dim=1)).argmax(1)
    assert len(set(row.tolist())) == 12, "rows are drawn without replacement"
    written = activation[torch.arange(12), row][:, None] * found.decoder
    torch.testing.assert_close(written, 0.3 * residual[row])
    torch.testing.assert_close(found.encoder.norm(dim=1), torch.ones(12))


def test_more_features_than_rows_are_all_different(draw):
    x = torch.randn(5, 8, generator=draw)
    encoder = features_from_data(x, x, 17, 1.0, seed=0).encoder
    distances = torch.cdist(encoder, encoder) + torch.eye(17)
    assert distances.min() > 1e-3


def test_random_features_are_unit_and_tied_where_sizes_agree():
    like = torch.zeros(1)
    tied, free = random_features(6, 6, 4, 0, like), random_features(6, 5, 4, 0, like)
    assert torch.equal(tied.encoder, tied.decoder)
    torch.testing.assert_close(free.decoder.norm(dim=1), torch.ones(4))
