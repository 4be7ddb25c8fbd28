import torch

from workbench.data import RegressionConfig, draw_contexts
from workbench.models import RegressionTransformer


def made(pairs=5):
    torch.manual_seed(0)
    contexts = draw_contexts(RegressionConfig(size=3, pairs=pairs), 6, 0)
    return RegressionTransformer(3, pairs, layers=2, width=16).eval(), contexts


def test_an_answer_depends_on_the_pairs_before_it_only():
    model, (x, y, _) = made()
    before = model(x, y)
    later = y.clone()
    later[:, 2] += 5
    after = model(x, later)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3:] - before[:, 3:]).abs().min() > 1e-6


def test_a_query_is_answered_as_the_next_x_of_the_context():
    model, (x, y, _) = made()
    queries = torch.stack([x[:, 4], x[:, 0]], 1)
    found = model.query(x[:, :4], y[:, :4], queries)
    torch.testing.assert_close(found[:, 0], model(x, y)[:, 4], atol=1e-5, rtol=1e-5)
    assert found.shape == (6, 2)


def test_the_loss_is_the_error_of_the_answers_and_reaches_every_weight():
    model, (x, y, _) = made()
    loss = model.loss((x, y), 0.0)["loss"]
    torch.testing.assert_close(loss, (model(x, y) - y).square().mean())
    loss.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())
