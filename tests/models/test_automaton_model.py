"""The models of the automaton: sizes of the paper, weights that come back, a tokenizer of digits."""

import pytest
import torch

from workbench.core import ModelError
from workbench.data import SCALED_AUTOMATON, Automaton
from workbench.models import (
    AutomatonModelConfig,
    automaton_model,
    digit_tokenizer,
    load_model,
    new_automaton_model,
    save_automaton_model,
    wrap,
)

SMALL = AutomatonModelConfig(layers=2, heads=2, d_model=16, d_mlp=24, length=12, seed=3)


def shaken(config=SMALL):
    """A model whose every weight, biases and norms included, is random."""
    model = new_automaton_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    return model


def test_the_papers_model_has_the_papers_sizes():
    shape = wrap(new_automaton_model()).shape
    assert (shape.n_layers, shape.n_heads, shape.d_model, shape.d_head, shape.d_mlp) == (4, 4, 128, 32, 512)
    assert (shape.d_vocab, shape.n_ctx, shape.parallel, shape.rotary) == (11, 128, True, True)


def test_the_starting_weights_come_from_the_seed():
    weights = [new_automaton_model(SMALL.model_copy(update={"seed": seed})).lm_head.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_canonical_weights_make_the_same_model():
    ids = torch.randint(0, 11, (3, 12), generator=torch.Generator().manual_seed(0))
    expected = shaken()(input_ids=ids).logits
    hooked = wrap(shaken())
    again = automaton_model(SMALL, hooked.params())
    torch.testing.assert_close(again(input_ids=ids).logits, expected)
    with pytest.raises(ModelError, match="do not fit"):
        automaton_model(SMALL.model_copy(update={"layers": 3}), hooked.params())


def test_a_saved_model_is_loaded_in_full_precision(tmp_path):
    ids = torch.randint(0, 11, (3, 12), generator=torch.Generator().manual_seed(0))
    expected = shaken()(input_ids=ids).logits
    save_automaton_model(shaken(), tmp_path / "model")
    hooked = load_model(tmp_path / "model")
    assert hooked.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(hooked.run(ids).logits, expected, rtol=2e-2, atol=2e-2)
    assert hooked.tokens("07").ids.tolist() == [[10, 0, 7]]


def test_digits_are_tokens():
    tokenizer = digit_tokenizer()
    assert tokenizer.encode("<|endoftext|>0734") == [10, 0, 7, 3, 4]
    assert tokenizer.decode([10, 0, 7, 3, 4]) == "<|endoftext|>0734"
    assert tokenizer.strings([10, 0, 7]) == ["<|endoftext|>", "0", "7"]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (10, 10, 11)


def test_the_shipped_model_knows_the_scaled_automaton():
    hooked, automaton = load_model("tiny-tokfsm-30"), Automaton(SCALED_AUTOMATON)
    ids = automaton.sample(16, seed=9)
    with torch.no_grad():
        log = hooked.run(ids).logits.double().log_softmax(2)[:, :-1]
    truth = automaton.next_tokens(ids)[:, :-1]
    excess = (torch.special.xlogy(truth, truth) - truth * log[..., :10]).sum(2).mean()
    assert float(excess) < 0.01
