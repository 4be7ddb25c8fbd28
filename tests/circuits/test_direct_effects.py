"""Direct effects add up to the logit difference, and are what a plain projection says."""

import pytest
import torch
from circuits.small_components import SOME_FAMILIES, pair_of
from models.families import random_ids

from workbench.circuits import direct_effects
from workbench.core import Site, TextError


@pytest.mark.parametrize("family", SOME_FAMILIES)
def test_effects_add_up_to_the_logit_difference(family):
    model, _, slow = pair_of(family)
    ids = random_ids(1, 7, seed=3)[0]
    result = direct_effects(model, ids, 5, 11, position=4)
    run = slow.reference()
    logits = run(ids[None])[0, 4]
    if cap := model.shape.logit_softcap:
        logits = cap * torch.atanh(logits / cap)
    wanted = float(logits[5] - logits[11])
    rows = {row["node"]: row for row in result.tables["components"]}
    assert sum(row["effect"] for row in rows.values()) == pytest.approx(wanted, abs=1e-9)
    assert result.scalars["difference"] == pytest.approx(wanted, abs=1e-9)

    final = run.values[Site("resid_post", model.shape.n_layers - 1)][0, 4]
    gain = model.params()["ln_final.w"] / run.values[Site("lnf_scale")][0, 4]
    for name, written in slow.outputs(run).items():
        x = written[0, 4] - written[0, 4].mean() if model.shape.norm == "layer" else written[0, 4]
        logit = (x * gain) @ model.params()["unembed.W_U"]
        assert rows[name]["effect"] == pytest.approx(float(logit[5] - logit[11]), abs=1e-9)
    assert result.tables["layers"][-1]["norm"] == pytest.approx(float(final.norm()), rel=1e-6)
    assert result.tables["layers"][-1]["cosine"] == pytest.approx(1, abs=1e-6)
    assert result.arrays["norm"].shape == (model.shape.n_layers + 1, 7)


def test_what_is_not_there_is_refused():
    model, _, _ = pair_of("llama")
    ids = random_ids(1, 7, seed=3)[0]
    with pytest.raises(TextError, match="the prompt has 7 tokens"):
        direct_effects(model, ids, 5, 11, position=7)
    with pytest.raises(TextError, match="token ids run"):
        direct_effects(model, ids, 5, model.shape.d_vocab)
