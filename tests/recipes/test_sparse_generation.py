"""Sparse generation on small models."""

import pytest

from workbench.models import load_model, load_plain
from workbench.recipes import generate_by_name, generate_sparsely
from workbench.sparsity import SparseGenerationConfig


def test_dense_generation_is_the_models_own_and_is_told_in_pieces():
    told = []
    config = SparseGenerationConfig(choose="dense", new_tokens=6, stop_at_eos=False)
    result = generate_by_name("tiny-sentences", "the old man", config, tell=told.append)
    model = load_model("tiny-sentences", packed=False)
    ids = model.generate(model.tokens("the old man"), 6).ids[0]
    text = result.tables["generation"][0]["text"]
    assert "".join(told) == text
    assert len(told) > 1
    assert text.startswith(model.tokenizer.decode(ids[len(model.tokens("the old man").ids[0]) :].tolist()[:2]))
    assert result.scalars["mlp_share"] == 1


@pytest.mark.parametrize("choose", ["core", "token"])
def test_everything_chosen_is_the_model_and_less_reads_less(choose):
    plain = load_plain("tiny-sentences")
    dense = generate_sparsely(plain, "the old man", SparseGenerationConfig(choose="dense", new_tokens=5))
    whole = generate_sparsely(plain, "the old man", SparseGenerationConfig(choose=choose, share=1.0, new_tokens=5))
    assert whole.tables["generation"][0]["text"] == dense.tables["generation"][0]["text"]
    half = generate_sparsely(plain, "the old man", SparseGenerationConfig(choose=choose, share=0.5, new_tokens=5))
    assert half.scalars["mlp_share"] == pytest.approx({"core": 1 / 2, "token": 2 / 3}[choose], rel=0.02)
