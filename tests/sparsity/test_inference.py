"""Sparse inference against the hooked model with the other neurons switched off."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from workbench.core import Edit, ModelError, ShapeError, TextError
from workbench.models import PlainDecoder, PlainModel, Sampling, load_model, load_plain, wrap
from workbench.sparsity import SparseModel, TokenNeurons, TokenOracle, hidden_of, random_core, rows_of

SIZES: Any = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, hidden_act="silu", mlp_bias=True)),
    "relu": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, hidden_act="relu")),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_inner=24, n_layer=2, n_head=2)),
}
IDS = torch.tensor([3, 14, 15, 9, 26, 5, 35, 8, 9, 7])


@pytest.fixture(params=sorted(FAMILIES))
def plain(request) -> PlainModel:
    torch.manual_seed(0)
    return PlainModel(FAMILIES[request.param]().eval().requires_grad_(False))


def switched_off(plain: PlainModel, cores: list[torch.Tensor], prefix: int) -> torch.Tensor:
    """Logits after each token from `prefix` on, by the hooked model with an Edit at every mlp_post."""
    model = wrap(plain.model, packed=False)
    edits = []
    for layer, core in enumerate(cores):
        others = torch.ones(24, dtype=torch.bool)
        others[core] = False
        post = model.capture(IDS, [f"mlp_post.{layer}"], edits)
        (value,) = post.values()
        rows = tuple(range(prefix, len(IDS)))
        edits.append(Edit.set(f"mlp_post.{layer}", value[0] * ~others, rows=rows))
    logits = model.run(IDS, edits).logits
    assert logits is not None
    return logits[0, prefix:]


def test_a_fixed_core_is_the_model_with_the_other_neurons_off(plain):
    sparse = SparseModel(plain)
    cores = [random_core(24, 0.3, 0, layer) for layer in range(2)]
    with sparse.sparse():
        sparse.read(IDS[:4])
        sparse.choose(sparse.fixed(cores))
        found = sparse.follow(IDS[4:])
        assert found.equal(sparse.follow(IDS[4:])), "what followed was forgotten"
        one_by_one = torch.cat([sparse.follow(IDS[i : i + 1], forget=False) for i in range(4, len(IDS))])
    torch.testing.assert_close(one_by_one, found, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, switched_off(plain, cores, 4), rtol=1e-4, atol=1e-5)


def test_all_neurons_are_the_model_itself(plain):
    wanted = plain.model(IDS[None]).logits[0]
    sparse = SparseModel(plain)
    whole = sparse.fixed([torch.arange(24)] * 2)
    with sparse.sparse():
        counters = sparse.counters(1.0)
        last = sparse.read(IDS[:4], counters)
        torch.testing.assert_close(last, wanted[3], rtol=1e-4, atol=1e-5)
        assert [len(counter.core(1.0)) for counter in counters] == [24, 24]
        for choices in (None, whole, sparse.by_token(1.0), [TokenOracle(mlp, 1.0) for mlp in sparse.mlps]):
            sparse.choose(choices)
            torch.testing.assert_close(sparse.follow(IDS[4:]), wanted[4:], rtol=1e-4, atol=1e-5)
    assert plain.model(IDS[None]).logits[0].equal(wanted), "the model has its own MLPs back"


@pytest.mark.parametrize("tokens", [3, 40])
def test_a_token_gets_the_neurons_of_its_strongest_gates(plain, tokens):
    mlp = plain.mlps()[1]
    x = torch.randn(tokens, 16, generator=torch.Generator().manual_seed(2))
    neurons = mlp.neurons
    gate = hidden_of(
        mlp._replace(neurons=neurons._replace(w_in=neurons.first()[0], w_gate=None, b_in=neurons.first()[1])), x
    )
    kept = torch.zeros_like(gate).scatter(1, gate.abs().topk(6, dim=1).indices, 1.0)
    wanted = torch.nn.functional.linear(hidden_of(mlp, x) * kept, neurons.w_out.T, neurons.b_out)
    torch.testing.assert_close(TokenNeurons(rows_of(mlp), 0.25)(x), wanted, rtol=1e-4, atol=1e-5)


def test_weights_read_and_held_are_counted(plain):
    sparse = SparseModel(plain)
    gated = sparse.mlps[0].neurons.w_gate is not None
    matrices = 3 if gated else 2
    assert sparse.mlp_bytes == 2 * matrices * 24 * 16 * 4
    fixed, own = sparse.fixed([torch.arange(6)] * 2)[0], sparse.by_token(0.25)[0]
    assert fixed.read_bytes == fixed.held_bytes == matrices * 6 * 16 * 4
    assert own.read_bytes == (24 + 6 * (matrices - 1)) * 16 * 4


def test_the_core_leaves_out_the_first_tokens(plain):
    sparse = SparseModel(plain, skip_first=3)
    with sparse.sparse():
        counters = sparse.counters(0.4)
        sparse.read(IDS, counters)
    assert [counter.tokens for counter in counters] == [7, 7]


def test_generation_is_the_hooked_models_and_streams():
    plain, hooked = load_plain("tiny-sentences"), load_model("tiny-sentences", packed=False)
    prompt = hooked.tokens("the old man")
    for sampling in (Sampling(stop_at_eos=False), Sampling(temperature=1.0, stop_at_eos=False)):
        wanted = hooked.generate(prompt, 12, sampling=sampling, seed=3).ids[0, prompt.ids.shape[1] :].tolist()
        sparse = SparseModel(plain)
        with sparse.sparse():
            assert list(sparse.stream(sparse.read(prompt.ids[0]), 12, sampling, seed=3)) == wanted


def test_what_does_not_fit_is_refused(plain):
    with pytest.raises(ShapeError, match="wanted an MLP for each of 2"), plain.with_mlps([torch.nn.Identity()]):
        pass
    with pytest.raises(TextError, match="tokens more"):
        PlainDecoder(plain).feed(torch.zeros(plain.n_ctx + 1, dtype=torch.long))
    plain.model.config.get_text_config().hidden_act = "tanh"
    plain.model.config.get_text_config().activation_function = "tanh"
    with pytest.raises(ModelError, match="cannot run this model's MLPs on some neurons"):
        plain.mlps()
