"""Outputs, gradients and runs along edges against a plain forward pass, for every family."""

import pytest
import torch
from circuits.small_components import SOME_FAMILIES, pair_of
from models.families import build_hooked
from models.test_families import close

from workbench.circuits import Components, Contrast, contrast_of
from workbench.circuits.ablation import Ablation
from workbench.circuits.component_model import ComponentModel
from workbench.core import ConfigError, PromptPair, Site, TextError
from workbench.data import Task, answer_scores


@pytest.fixture(scope="module", params=SOME_FAMILIES)
def setting(request):
    model, some, slow = pair_of(request.param)
    return ComponentModel(model), some, slow


def random_keep(components: Components, seed: int = 0, share: float = 0.6) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(components.allowed.shape, generator=draw) < share) & components.allowed


def named(components: Components, keep: torch.Tensor) -> dict[str, float]:
    return dict(zip(components.edges, keep[components.allowed].double().tolist(), strict=True))


def test_outputs_are_what_sources_add(setting):
    parts, some, slow = setting
    run = slow.reference()
    run(some.clean)
    wanted = slow.outputs(run)
    found = parts.outputs(parts.activations(some.clean_batch))
    assert tuple(wanted) == parts.components.sources
    for name, x in zip(wanted, found, strict=True):
        close(x.view(*some.clean.shape, -1), wanted[name])


def test_the_metric_is_the_logit_difference(setting):
    parts, some, slow = setting
    run = slow.reference()
    close(parts.value(some), slow.metric(run(some.clean), some))
    logits = parts.model.run(some.clean).logits
    close(parts.value(some), slow.metric(logits, some))


@pytest.mark.parametrize("kind", ["resample", "mean", "zero"])
def test_a_run_along_edges_is_what_patching_until_rest_gives(setting, kind):
    parts, some, slow = setting
    ablated = Ablation(parts, some, kind, 8).outputs(some)
    keep = random_keep(parts.components, 3)
    wanted = slow.edge_run(some, named(parts.components, keep), kind)
    close(parts.run_edges(some, ablated, keep), wanted, 1e-9)
    assert (wanted - parts.value(some)).abs().min() > 1e-3


def test_all_edges_give_the_clean_and_no_edges_the_corrupted_run(setting):
    parts, some, _ = setting
    ablated = Ablation(parts, some, "resample", 8).outputs(some)
    every = parts.components.allowed
    close(parts.run_edges(some, ablated, every), parts.value(some), 1e-10)
    close(parts.run_edges(some, ablated, torch.zeros_like(every)), parts.value(some, corrupted=True), 1e-9)


def test_gradients_are_those_of_the_reference(setting):
    parts, some, slow = setting
    found, value = parts.gradients(some)
    close(value, parts.value(some))
    for reader in range(0, len(parts.components.readers), 3):
        name = parts.components.readers[reader]
        site, head, _ = slow._site(name)
        run = slow.reference()
        run(some.clean)
        zero = torch.zeros_like(run.values[site]).requires_grad_()
        run.added = {site: zero}
        (wanted,) = torch.autograd.grad(slow.metric(run(some.clean), some).sum(), zero)
        wanted = wanted if head is None else wanted[:, :, head]
        close(found[reader].view_as(wanted), wanted, 1e-8)


def test_names_and_edges_of_grouped_heads():
    components = Components(2, 4, 2)
    assert components.sources[:6] == ("input", "a0.h0", "a0.h1", "a0.h2", "a0.h3", "m0")
    assert components.readers[:9] == (
        *(f"a0.h{head}<q>" for head in range(4)), "a0.h0<k>", "a0.h2<k>", "a0.h0<v>", "a0.h2<v>", "m0",
    )  # fmt: skip
    assert components.edge("a0.h1->a1.h3<k>") == components.edge("a0.h1->a1.h2<k>")
    assert components.edge("a0.h1->a1.h3<q>") != components.edge("a0.h1->a1.h2<q>")
    assert components.nodes_of_reader(components.reader("a1.h2<v>")) == ("a1.h2", "a1.h3")
    assert "a0.h3->m0" in components.edges
    assert "a0.h3->m0" not in Components(2, 4, 2, parallel=True).edges
    assert "m0->m0" not in components.edges
    assert len(components.edges) == len(set(components.edges)) == int(components.allowed.sum())
    for name in components.edges:
        reader, source = components.edge(name)
        assert name == f"{components.sources[source]}->{components.readers[reader]}"
    for wrong in ("a0.h9->logits", "m1->m0", "m0", "m0->a1.h0", "logits->m0"):
        with pytest.raises(ConfigError):
            components.edge(wrong)


def test_mib_counts_the_edges_of_gpt2_small():
    assert len(Components(12, 12, 12).edges) == 32_491


def test_keeping_nodes_keeps_the_edges_among_them():
    components = Components(2, 4, 2)
    nodes = torch.zeros(len(components.sources), dtype=torch.bool)
    nodes[[components.source(name) for name in ("input", "a0.h1", "a1.h3")]] = True
    kept = {
        name
        for name, flag in zip(components.edges, components.keep_nodes(nodes)[components.allowed], strict=True)
        if flag
    }
    assert {"input->a0.h1<q>", "a0.h1->a1.h2<k>", "a1.h3->logits", "input->logits", "a0.h1->a1.h3<q>"} <= kept
    assert not {"input->a0.h2<q>", "input->m0", "a0.h0->logits"} & kept


def test_tables_and_matrices_agree():
    components = Components(2, 2, 1)
    scores = torch.randn(components.allowed.shape, dtype=torch.float64) * components.allowed
    assert torch.equal(components.edge_scores(components.edge_rows(scores)), scores)
    nodes = torch.randn(len(components.sources), dtype=torch.float64)
    assert torch.equal(components.node_scores([*components.node_rows(nodes), {"node": "logits", "score": 1}]), nodes)


def twin(prompt: str, corrupted: str, **answers) -> PromptPair:
    return PromptPair(prompt, "a", "b", corrupted=corrupted, **answers)


@pytest.mark.parametrize("metric", ["logit difference", "probability difference"])
def test_several_answers_are_measured_as_the_task_says(metric):
    model, _ = build_hooked("gemma2", torch.float64)
    pairs = (twin("abcd", "abxd", targets=("a", "c"), foils=("b", "d", "e")), twin("efgihk", "efgihz"))
    some = contrast_of(model, Task("letters", pairs, metric))
    tokens = model.tokens([pair.prompt for pair in pairs])
    logits = model.run(tokens).logits
    assert logits is not None
    last = logits[torch.arange(2), tokens.lengths - 1]
    close(ComponentModel(model).value(some), answer_scores(last, model.tokenizer, pairs, metric))
    assert some.metric == metric


def test_prompts_become_a_contrast():
    model, _ = build_hooked("llama")
    pairs = [twin("abcd", "abxd"), twin("efgihk", "efgihz")]
    some = contrast_of(model, pairs)
    assert some.lengths.tolist() == [5, 7]
    assert [len(batch.clean[0]) for batch in some.batches(1)] == [5, 7]
    assert some.swapped().clean.equal(some.corrupted)
    with pytest.raises(TextError, match="as many tokens"):
        contrast_of(model, [twin("abcd", "abc")])
    with pytest.raises(TextError, match="no corrupted prompt"):
        contrast_of(model, [twin("abcd", "")])
    with pytest.raises(TextError, match="no prompt pairs"):
        contrast_of(model, [])


def test_padding_changes_nothing():
    model, _ = build_hooked("llama", torch.float64)
    parts = ComponentModel(model)
    long = contrast_of(model, [twin("abcd", "abxd"), twin("efgihk", "efgihz")])
    short = Contrast(long.clean[:1], long.corrupted[:1], long.lengths[:1], long.answers[:1], long.weights[:1])
    (alone,) = short.batches(1)
    keep = random_keep(parts.components, 1)
    both = parts.run_edges(long, Ablation(parts, long, "resample", 2).outputs(long), keep)
    one = parts.run_edges(alone, Ablation(parts, alone, "resample", 2).outputs(alone), keep)
    close(both[:1], one, 1e-9)
    assert Site("attn_z", 0) in parts.sites
