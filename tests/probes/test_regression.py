import pytest
import torch

from workbench.data import RegressionConfig, draw_contexts
from workbench_probes.regression import (
    gradient_step,
    implied_weights,
    least_squares,
    nearest_neighbours,
    one_pass,
    reference_predictors,
    ridge,
    squared_difference,
    weight_difference,
)


def contexts(pairs=12, noise=0.0, count=400, size=4, seed=0):
    x, y, w = draw_contexts(RegressionConfig(size=size, pairs=pairs + 3, noise=noise), count, seed)
    x, w = x.double(), w.double()
    y = y.double() if noise else torch.einsum("bnd,bd->bn", x, w)
    return x[:, :pairs], y[:, :pairs], x[:, pairs:], w


def test_least_squares_finds_the_weights_of_a_context_without_noise():
    x, y, queries, w = contexts()
    torch.testing.assert_close(least_squares(x, y, queries), torch.einsum("bmd,bd->bm", queries, w))
    torch.testing.assert_close(implied_weights(least_squares, x, y, torch.randn(len(x), 9, 4).double()), w)


def test_with_too_few_pairs_least_squares_is_the_shortest_solution():
    x, y, queries, w = contexts(pairs=2)
    onto = torch.linalg.pinv(x) @ x  # the projection onto the rows that were seen
    torch.testing.assert_close(least_squares(x, y, queries), torch.einsum("bmd,bde,be->bm", queries, onto, w))


@pytest.mark.parametrize("pairs", [0, 2, 12])
def test_ridge_is_the_posterior_mean_of_a_gaussian_process(pairs):
    x, y, queries, _ = contexts(pairs=pairs, noise=0.25)
    kernel = x @ x.mT + 0.25 * torch.eye(pairs).double()
    wanted = (queries @ x.mT @ torch.linalg.solve(kernel, y[..., None]))[..., 0]
    torch.testing.assert_close(ridge(x, y, queries, 0.25), wanted)


def test_the_noise_is_the_best_penalty():
    x, y, queries, w = contexts(pairs=6, noise=0.5, count=20_000)
    truth = torch.einsum("bmd,bd->bm", queries, w)
    risks = [float((ridge(x, y, queries, p) - truth).square().mean()) for p in (0.05, 0.25, 0.5, 1.0, 2.0)]
    assert min(risks) == risks[2]


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_gradient_step_has_the_risk_of_its_formula(noise):
    n, d = 6, 4
    x, y, queries, w = contexts(pairs=n, noise=noise, count=40_000)
    risk = (gradient_step(x, y, queries, noise) - torch.einsum("bmd,bd->bm", queries, w)).square().mean()
    assert float(risk) == pytest.approx(d * (1 - n / (n + d + 1 + noise)), rel=0.03)


def test_one_pass_moves_pair_by_pair():
    x, y, queries, _ = contexts(pairs=5, count=3)
    for b in range(3):
        w = torch.zeros(4).double()
        for i in range(5):
            w += x[b, i] * (y[b, i] - x[b, i] @ w) / 6
        torch.testing.assert_close(one_pass(x, y, queries)[b], queries[b] @ w)


def test_neighbours_are_means_of_the_nearest():
    x, y = torch.tensor([[[0.0], [1.0], [2.0], [9.0]]]), torch.tensor([[10.0, 20.0, 30.0, 90.0]])
    assert nearest_neighbours(x, y, torch.tensor([[[0.9]]])).item() == pytest.approx(20)
    at = nearest_neighbours(x, y, torch.tensor([[[0.5]]]), k=2, weighted=True).item()
    assert at == pytest.approx(15)
    assert nearest_neighbours(x[:, :0], y[:, :0], torch.ones(1, 2, 1)).tolist() == [[0, 0]]


def test_differences_are_zero_only_between_equals():
    x, y, queries, _ = contexts(pairs=6, noise=0.3)
    asked = torch.randn(len(x), 8, 4, generator=torch.Generator().manual_seed(1)).double()
    for predictor in reference_predictors(0.3).values():
        assert float(squared_difference(predictor, predictor, x, y, queries).max()) == 0
    apart = squared_difference(least_squares, gradient_step, x, y, queries)
    wanted = (least_squares(x, y, queries) - gradient_step(x, y, queries)).square().mean(1) / 4
    torch.testing.assert_close(apart, wanted)
    slopes = weight_difference(least_squares, gradient_step, x, y, asked)
    w = torch.linalg.pinv(x) @ y[..., None] - x.mT @ y[..., None] / (6 + 4 + 1)
    torch.testing.assert_close(slopes, w[..., 0].square().mean(1))


def test_the_weights_of_the_control_are_ones():
    x, y, w = draw_contexts(RegressionConfig(weights="ones"), 5, 0)
    assert (w == 1).all()
    torch.testing.assert_close(y, x.sum(2))
