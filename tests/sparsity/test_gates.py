"""Gates: exact where everything is kept, and the rules by hand."""

import pytest
import torch
from hypothesis import given, strategies as st
from models.families import build_hooked, random_ids

from workbench.core import ConfigError, Edit, Site
from workbench.sparsity import RULES, NeuronGate, neuron_gate, output_norms

POST, PRE = Site("mlp_post", 0), Site("mlp_pre", 0)
ROWS = torch.tensor([[3.0, -1.0, 0.0, 2.0], [-0.5, 0.25, 4.0, -5.0]])


def kept(rule, amount, **extra):
    gate = NeuronGate(0, rule, amount, **extra)
    return gate.keep({POST: ROWS, PRE: ROWS.flip(1)}).int().tolist()


def test_each_rule_by_hand():
    assert kept("top-k", 2) == [[1, 0, 0, 1], [0, 0, 1, 1]]
    assert kept("teal", 1.0) == [[1, 1, 0, 1], [0, 0, 1, 1]]
    assert kept("cett", 1.0, norms=torch.tensor([0.1, 1.0, 1.0, 0.25])) == [[0, 1, 0, 0], [0, 0, 1, 1]]
    assert kept("cats", 1.0, activation="relu") == [[1, 0, 0, 1], [0, 1, 0, 0]]


def test_random_keeps_the_share_whatever_neurons_do():
    gate = NeuronGate(0, "random", 0.3)
    rows = torch.zeros(400, 500)
    assert gate.keep({POST: rows}).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(gate.keep({POST: rows}), gate.keep({POST: rows + 1}))
    assert not torch.equal(gate.keep({POST: rows}), NeuronGate(0, "random", 0.3, seed=1).keep({POST: rows}))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_keeping_everything_is_the_model_and_nothing_is_no_mlp(rule, family):
    model, ids = build_hooked(family)[0], random_ids()
    if rule == "cats" and not model.shape.gated:
        with pytest.raises(ConfigError, match="no gate"):
            neuron_gate(model, 0, rule, 0.0)
        return
    plain = model.run(ids).logits
    everything, nothing = {"top-k": (1e6, 0), "random": (1, 0)}.get(rule, (0, 1e9))
    full = [Edit.through(neuron_gate(model, layer, rule, everything)) for layer in range(model.shape.n_layers)]
    torch.testing.assert_close(model.run(ids, full).logits, plain, rtol=0, atol=0)
    gate = neuron_gate(model, 0, rule, nothing)
    zero = model.run(ids, [Edit.set("mlp_post.0", 0.0)]).logits
    torch.testing.assert_close(model.run(ids, [Edit.through(gate)]).logits, zero, rtol=0, atol=0)


@pytest.mark.parametrize(("rule", "amount"), [("top-k", 3), ("teal", 0.02), ("cett", 0.02), ("cats", 0.05)])
def test_functions_do_what_the_edit_does(rule, amount):
    model, ids = build_hooked("llama")[0], random_ids()
    gates = [neuron_gate(model, layer, rule, amount) for layer in range(model.shape.n_layers)]
    masks = []
    functions = [function for gate in gates for function in gate.functions(None, masks.append)]
    run = model.run(ids, [Edit.through(gate) for gate in gates])
    torch.testing.assert_close(model.intervene(ids, functions).logits, run.logits)
    for gate, mask in zip(gates, masks, strict=True):
        assert 0 < mask.float().mean() < 1
        assert run.codes[gate.name].l0().sum() == mask.sum()


@given(st.floats(0, 3), st.floats(0, 3))
def test_a_larger_threshold_never_keeps_more(one, other):
    low, high = sorted((one, other))
    norms = torch.tensor([0.5, 2.0, 1.0, 0.1])
    for rule in ("teal", "cett", "cats"):
        more, fewer = (torch.tensor(kept(rule, amount, norms=norms)) for amount in (low, high))
        assert (fewer <= more).all()


def test_gradients_pass_through_kept_neurons_only():
    model, ids = build_hooked("gpt2")[0], random_ids()
    gate = neuron_gate(model, 0, "top-k", 2)
    found = model.grads(ids, lambda logits: logits.square().mean(), ["mlp_out.0"], [Edit.through(gate)])
    assert found[Site("mlp_out", 0)].abs().sum() > 0
    rows = ROWS.clone().requires_grad_()
    codes = NeuronGate(0, "top-k", 2).encode({POST: rows})
    NeuronGate(0, "top-k", 2).decode(codes)[POST].sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[1, 0, 0, 1], [0, 0, 1, 1]]


def test_norms_are_those_of_what_neurons_write():
    model = build_hooked("llama")[0]
    ids = random_ids()
    post = model.capture(ids, ["mlp_post.1"])[Site("mlp_post", 1)]
    one = torch.zeros_like(post)
    one[..., 2] = 1
    base, moved = (
        model.capture(ids, ["mlp_out.1"], [Edit.set("mlp_post.1", value)])[Site("mlp_out", 1)]
        for value in (torch.zeros_like(post), one)
    )
    expected = output_norms(model, 1)[2].item()
    assert (moved - base)[0, 0].norm().item() == pytest.approx(expected, rel=1e-4)
