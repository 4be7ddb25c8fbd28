import numpy as np
import pytest
import torch
from models.families import FAMILIES, build_hooked, random_ids

from workbench.core import ShapeError, Site
from workbench_probes import Readout, logit_lens, prompt_heads, prompt_lens, readout


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_row_is_the_model_itself(family):
    model, _ = build_hooked(family)
    ids = random_ids(batch=1)
    last = Site("resid_post", model.shape.n_layers - 1)
    run = model.run(ids, sites=[last])
    torch.testing.assert_close(readout(model)(run.activations[last][0]), run.logits[0], atol=1e-5, rtol=1e-5)


def lens_of(family="llama", **options):
    model, _ = build_hooked(family)
    ids = random_ids(batch=1)[0]
    sites = [Site("resid_pre", 0), *(Site("resid_post", layer) for layer in range(model.shape.n_layers))]
    found = model.capture(ids[None], sites)
    residual = torch.stack([found[site][0] for site in sites])
    return logit_lens(residual, readout(model), ids, **options), residual, readout(model), ids


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_statistics_agree_with_their_definitions(chunk):
    result, residual, read, ids = lens_of(chunk=chunk, top=3)
    for row in range(len(residual)):
        for t in range(len(ids)):
            chances = read(residual[row, t : t + 1])[0].double().softmax(-1)
            final = read(residual[-1, t : t + 1])[0].double().softmax(-1)
            wanted = {
                "entropy": -(chances * chances.log()).sum(),
                "top_probability": chances.max(),
                "kl_to_final": (final * (final / chances).log()).sum(),
            }
            if t + 1 < len(ids):
                wanted["target_probability"] = chances[ids[t + 1]]
                wanted["target_rank"] = float((chances > chances[ids[t + 1]]).sum() + 1)
            for name, value in wanted.items():
                assert result.arrays[name][row, t] == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
            assert result.arrays["top_ids"][row, t].tolist() == chances.topk(3).indices.tolist()


def test_the_last_position_has_no_target_unless_one_is_named():
    assert np.isnan(lens_of()[0].arrays["target_rank"][:, -1]).all()
    assert not np.isnan(lens_of(target=7)[0].arrays["target_rank"]).any()


def test_kl_to_itself_is_zero_and_words_fill_the_table():
    result, residual, _, ids = lens_of(words=lambda ids: [f"w{i}" for i in ids])
    assert np.allclose(result.arrays["kl_to_final"][-1], 0, atol=1e-6)
    table = result.df("lens")
    assert len(table) == len(residual) * len(ids)
    assert table["token"][0] == f"w{ids[0]}"
    assert result.fig().data


def test_layer_norm_and_soft_cap():
    draw = torch.Generator().manual_seed(0)
    x, w, u = (torch.randn(*shape, generator=draw) for shape in ((5, 8), (8,), (8, 11)))
    read = Readout("layer", w, torch.ones(8), 1e-5, u, torch.ones(11), softcap=2.0)
    wanted = torch.nn.functional.layer_norm(x, (8,), w, torch.ones(8), 1e-5) @ u + 1
    torch.testing.assert_close(read(x), 2 * torch.tanh(wanted / 2))


def test_ids_of_another_length_are_refused():
    _, residual, read, ids = lens_of()
    with pytest.raises(ShapeError, match=r"wants 9 token ids; found 8"):
        logit_lens(residual, read, ids[:-1])


def test_a_prompt_is_read_without_capturing_by_hand():
    model, _ = build_hooked("llama")
    ids = random_ids(batch=1)[0]
    lens, heads = prompt_lens(model, ids, target=int(ids[0])), prompt_heads(model, ids)
    final = model.run(ids[None]).logits[0].softmax(-1)[:, ids[0]]
    np.testing.assert_allclose(lens.arrays["target_probability"][-1], final.detach(), rtol=1e-4)
    patterns = torch.tensor(heads.arrays["patterns"])
    assert patterns.shape == (model.shape.n_layers, model.shape.n_heads, len(ids), len(ids))
    torch.testing.assert_close(patterns.sum(-1), torch.ones(patterns.shape[:-1]))
