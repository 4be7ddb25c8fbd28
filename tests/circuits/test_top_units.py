"""Score against k: with every neuron kept the MLP is itself; with some, what a run by hand gives."""

import pytest
import torch
from small_circuits import random_dictionaries

from workbench.circuits import TopUnitsConfig, top_units
from workbench.circuits.top_units import Prompts, Units
from workbench.core import Edit, PromptPair
from workbench.data import Task
from workbench.models import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("planted-places", device="cpu")


@pytest.fixture(scope="module")
def task(model):
    prompts = [
        PromptPair(f"the man from {side} korea said the capital", f"cap-{side}-korea", f"cap-{other}-korea")
        for side, other in (("north", "south"), ("south", "north"))
    ]
    return Task("korea", tuple(prompts))


def test_units_at_rest_and_kept():
    units = Units("x", torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.ones(2, 2))
    everything = torch.tensor([[2.0, 3.0], [4.0, 7.0]])
    assert torch.equal(units.output(torch.tensor([0, 1]), "zero"), everything)
    assert torch.equal(units.output(torch.tensor([0, 1]), "mean"), everything)
    assert torch.equal(units.output(torch.tensor([1]), "zero"), torch.tensor([[1.0, 3.0], [1.0, 7.0]]))
    assert torch.equal(units.output(torch.tensor([1]), "mean"), torch.tensor([[3.0, 3.0], [3.0, 7.0]]))
    assert units.ranked().tolist() == [1, 0]


def test_all_neurons_are_the_model_and_none_is_its_mean(model, task):
    dictionaries = random_dictionaries(model, "topk-transcoder")
    result = top_units(model, dictionaries, task, TopUnitsConfig(sizes=(0, 2, 4), draws=2, batch=1))
    rows = {(row["units"], row["k"]): row for row in result.tables["curve"]}
    neurons = max(k for name, k in rows if name == "neurons")
    full = result.scalars["full"]
    assert rows["neurons", neurons]["score"] == pytest.approx(full, abs=1e-4)
    layer = int(result.scalars["layer"])
    costs = {row["layer"]: row["score"] for row in result.tables["layers"]}
    assert rows["neurons", 0]["score"] == pytest.approx(costs[layer], abs=1e-4)
    assert (layer, set(costs)) == (1, {0, 1})  # the first layer, a second embedding, is not chosen
    assert rows["neurons", 2]["random_mean"] == rows["neurons", 2]["random_mean"]
    again = top_units(model, dictionaries, task, TopUnitsConfig(sizes=(0, 2, 4), draws=2, batch=2))
    assert again.scalars["full"] == pytest.approx(full, abs=1e-5)


def test_a_change_is_what_an_edit_by_hand_does(model, task):
    prompts = Prompts(model, task, batch=2)
    change = torch.randn(2, model.shape.d_model, generator=torch.Generator().manual_seed(0))
    by_hand = []
    for pair, row in zip(task.prompts, change, strict=True):
        tokens = model.tokens([pair.prompt])
        delta = torch.zeros(1, tokens.ids.shape[1], len(row))
        delta[0, -1] = row
        logits = model.run(tokens, [Edit.add("mlp_out.1", delta)]).logits[0, -1]
        right, wrong = (model.tokenizer.encode(text)[0] for text in (pair.target, pair.foil))
        by_hand.append(float(logits[right] - logits[wrong]))
    assert prompts.score(1, change) == pytest.approx(sum(by_hand) / 2, abs=1e-4)
