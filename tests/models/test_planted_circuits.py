"""The truth about planted circuits is the truth: each part carries the answer, and everything else does not."""

from functools import cache

import pytest
import torch

from workbench.core import ConfigError
from workbench.data import Task, answer_scores, check_task, make_task
from workbench.models import PROGRAMS, PlantedCircuit, build_circuit, load_model, planted_prompts
from workbench.models.planted_calibrate import components, output_norms

from .edge_reference import EdgeModel

EVERY = sorted(PROGRAMS)
# One circuit of each shape by default; the compiler is the same for all.
QUICK = ("induction", "lookup", "lookup-llama")
PLAIN = [pytest.param(name, False, marks=[] if name in QUICK else pytest.mark.slow) for name in EVERY]
ECHOES = [pytest.param(name, True, marks=[] if name == "lookup" else pytest.mark.slow) for name in EVERY]
KINDS = pytest.mark.parametrize(("name", "echo"), [*PLAIN, *ECHOES])


@cache
def circuit(name: str, seed: int = 0, echo: bool = False) -> PlantedCircuit:
    return build_circuit(name, seed, echo)


def rows(built: PlantedCircuit, texts: list[str]) -> torch.Tensor:
    return torch.tensor([[0, *built.tokenizer.encode(text)] for text in texts])


class Measured:
    """A planted model with the outputs of prompts of one length and of their corrupted twins."""

    def __init__(self, built: PlantedCircuit, count: int = 12) -> None:
        self.built, self.pairs = built, built.prompts(count)
        self.model = EdgeModel(built.model)
        self.clean = rows(built, [pair.prompt for pair in self.pairs])
        corrupted = rows(built, [pair.corrupted for pair in self.pairs])
        logits, self.outputs = self.model.run(self.clean)
        other, self.other = self.model.run(corrupted)
        self.full, self.none = self.score(logits), self.score(other)

    def score(self, logits: torch.Tensor) -> float:
        metric = PROGRAMS[self.built.name.removeprefix("planted-")].metric
        return float(answer_scores(logits[:, -1], self.built.tokenizer, self.pairs, metric).mean())

    def share(self, swapped=(), zeroed=()) -> float:
        """How much of the way from the corrupted score to the clean one is left."""
        score = self.score(self.model.run(self.clean, self.other, swapped, zeroed)[0])
        return (score - self.none) / (self.full - self.none)


@cache
def measured(name: str, seed: int = 0, echo: bool = False) -> Measured:
    return Measured(circuit(name, seed, echo))


@pytest.mark.parametrize("name", ["induction", "lookup-llama"])
def test_the_reference_is_the_model(name):
    here = measured(name)
    torch.testing.assert_close(here.model.run(here.clean)[0], here.built.model(here.clean).logits, atol=1e-4, rtol=1e-4)
    assert here.share(swapped=here.model.edges()) == pytest.approx(0, abs=1e-5)
    assert set(here.built.edges) < set(here.model.edges())


@KINDS
def test_all_but_the_circuit_may_be_corrupted(name, echo):
    here = measured(name, 0, echo)
    assert here.share(swapped=set(here.model.edges()) - here.built.edges) > 0.95


@KINDS
def test_every_edge_of_the_circuit_is_needed(name, echo):
    here = measured(name, 0, echo)
    for edge in here.built.edges:
        assert here.share(swapped={edge}) < 0.8, edge


@KINDS
def test_knocking_out_the_circuits_parts_breaks_the_answer_and_others_do_not_matter(name, echo):
    here = measured(name, 0, echo)
    parts = set(here.outputs) - {"input"}
    for part in parts & here.built.nodes:
        assert here.score(here.model.run(here.clean, zeroed={part})[0]) < 0.4 * here.full, part
    others = parts - here.built.nodes
    assert len(others) >= 2 * len(parts & here.built.nodes)
    for part in others:
        assert here.score(here.model.run(here.clean, zeroed={part})[0]) == pytest.approx(here.full, rel=0.02), part
    assert here.score(here.model.run(here.clean, zeroed=others)[0]) == pytest.approx(here.full, rel=0.1)


@KINDS
def test_distractors_are_as_large_as_the_circuit_and_change_with_the_prompt(name, echo):
    here = measured(name, 0, echo)
    texts = [text for pair in here.built.prompts(40, seed=5) for text in (pair.prompt, pair.corrupted)]
    norms = output_norms(here.built.model, rows(here.built, texts).tolist())
    weights = {part: each.weight_norm() for part, each in components(here.built.model).items()}
    for kind in "am":
        own = [part for part in here.built.nodes if part[0] == kind]
        for part in (part for part in norms if part[0] == kind and part not in own):
            like = [each for each in own if each[1] == part[1]] or own or [n for n in here.built.nodes if "h" in n]
            assert norms[part] == pytest.approx(sum(norms[each] for each in like) / len(like), rel=0.1), part
            if own:
                wanted = sum(weights[each] for each in like) / len(like)
                assert weights[part] == pytest.approx(wanted, rel=0.1), part
            moved = (here.outputs[part] - here.other[part]).norm() / here.outputs[part].norm()
            assert moved > 0.5, part


@pytest.mark.parametrize("name", EVERY)
def test_the_model_solves_its_task_and_the_twin_is_as_long(name):
    model = load_model(f"planted-{name}", device="cpu")
    result = check_task(model, make_task(f"planted-{name}", model.tokenizer, 24, seed=1))
    assert result.scalars["accuracy"] == 1
    assert result.scalars["corrupted_lower"] == 1
    if PROGRAMS[name].metric == "logit difference":
        assert result.scalars["mean_logit_difference"] > 6


@pytest.mark.parametrize("name", ["duplicate", pytest.param("induction-llama", marks=pytest.mark.slow)])
def test_a_seed_gives_another_model_of_the_same_circuit(name):
    first, again, other = (build_circuit(name, seed) for seed in (0, 0, 3))
    state, same, different = (built.model.state_dict() for built in (first, again, other))
    assert all(torch.equal(state[key], same[key]) for key in state)
    assert any(not torch.equal(state[key], different[key]) for key in state)
    assert len({build_circuit(name, seed).edges for seed in range(4)}) > 1
    assert measured(name, 3).share(swapped=set(measured(name, 3).model.edges()) - other.edges) > 0.95


def test_the_neurons_that_a_prompt_runs_through_fire_and_carry_it():
    here = measured("two-hop")
    for pair, tokens in zip(here.pairs, here.clean, strict=True):
        target = here.built.tokenizer.encode(pair.target)[0]
        before = float(here.built.model(tokens[None]).logits[0, -1, target])
        for layer, index in here.built.neurons_of(pair):
            weight = here.built.model.transformer.h[layer].mlp.c_proj.weight
            kept = weight[index].clone()
            weight[index] = 0
            assert float(here.built.model(tokens[None]).logits[0, -1, target]) < 0.2 * before
            weight[index] = kept


def test_prompts_follow_their_seed_and_unknown_circuits_are_named():
    assert planted_prompts("lookup", 4, 1) == planted_prompts("planted-lookup", 4, 1)
    assert planted_prompts("lookup", 4, 1) != planted_prompts("lookup", 4, 2)
    with pytest.raises(ConfigError, match="no planted circuit 'inductions'; did you mean induction"):
        build_circuit("inductions")
    assert len(Task("x", planted_prompts("induction", 7)).prompts) == 7
