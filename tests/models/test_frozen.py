"""The frozen local model against autograd through the hooked, detached model, for every family, in float64."""

import pytest
import torch

from workbench.core import Edit, ShapeError, Site
from workbench.models import FrozenModel, HookedModel, TokenBatch, freeze

from .families import FAMILIES, build_hooked, random_ids

TOLERANCE = 1e-10
POSITION = 6


@pytest.fixture(params=list(FAMILIES), scope="module")
def frozen_pair(request) -> tuple[HookedModel, FrozenModel]:
    model, _ = build_hooked(request.param, torch.float64)
    return model, freeze(model, random_ids(1))


def detached(model: HookedModel) -> list[Edit]:
    """Edits that stop the gradient at patterns, norm scales and MLP outputs."""
    kinds = ["attn_pattern", "ln1_scale", "ln2_scale", "mlp_out"]
    kinds += ["ln1_post_scale"] if model.shape.sandwich else []
    return [
        *(Edit.freeze(Site(kind, layer)) for layer in range(model.shape.n_layers) for kind in kinds),
        Edit.freeze("lnf_scale"),
    ]


def gradient(model: HookedModel, frozen: FrozenModel, read: str, covector: torch.Tensor, write: str) -> torch.Tensor:
    """The gradient of `covector . tensor at read` with respect to the tensor at `write`, by autograd."""
    probe = torch.zeros_like(frozen.embed).requires_grad_()
    edits = [*detached(model), Edit.add(write, probe)]
    out = model.run(frozen.tokens[None], edits, sites=[read], logits=False).activations[Site.parse(read)]
    (found,) = torch.autograd.grad((out[0] * covector).sum(), probe)
    return found


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def pulled(frozen: FrozenModel, directions: torch.Tensor, down_to: int) -> torch.Tensor:
    """Covectors on resid_pre of a layer, by explicit linear algebra, MLP outputs held."""
    v = frozen.pull_final(directions, POSITION)
    for layer in range(frozen.n_layers - 1, down_to - 1, -1):
        v = v + frozen.pull_attention(layer, v)
    return v


def test_pulls_equal_autograd_down_to_every_layer(frozen_pair):
    model, frozen = frozen_pair
    directions = frozen.unembed.T[[3, 17, 30]]
    for layer in range(frozen.n_layers):
        explicit = pulled(frozen, directions, layer)
        for direction, found in zip(directions, explicit, strict=True):
            covector = torch.zeros_like(frozen.embed)
            covector[POSITION] = direction
            assert relative(found, gradient(model, frozen, "final_norm", covector, f"resid_pre.{layer}")) < TOLERANCE


def test_logits_before_the_cap_have_the_same_gradient(frozen_pair):
    model, frozen = frozen_pair
    covector = torch.zeros_like(frozen.logits)
    covector[POSITION, 5] = 1.0
    found = pulled(frozen, frozen.unembed[:, 5][None], 0)[0]
    assert relative(found, gradient(model, frozen, "logits", covector, "resid_pre.0")) < TOLERANCE


def test_one_attention_layer_equals_autograd(frozen_pair):
    model, frozen = frozen_pair
    v = torch.randn(2, *frozen.embed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layer = frozen.n_layers - 1
    for covector, found in zip(v, frozen.pull_attention(layer, v), strict=True):
        assert relative(found, gradient(model, frozen, f"attn_out.{layer}", covector, f"resid_pre.{layer}")) < TOLERANCE


def test_the_mlp_norm_equals_autograd(frozen_pair):
    model, frozen = frozen_pair
    v = torch.randn(1, *frozen.embed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    write = "resid_pre.1" if model.shape.parallel else "attn_out.1"
    found = frozen.pull_mlp_norm(1, v)[0]
    assert relative(found, gradient(model, frozen, "mlp_in.1", v[0], write)) < TOLERANCE


def test_the_run_is_affine_in_embeddings_and_mlp_outputs(frozen_pair):
    _, frozen = frozen_pair
    seen = []

    def observed(layer, mlp_in):
        seen.append(mlp_in[0])
        return frozen.mlp_out[layer][None]

    final = frozen.forward(frozen.embed[None], observed)[0]
    assert relative(final @ frozen.unembed + frozen.unembed_bias, frozen.logits) < TOLERANCE
    assert relative(torch.stack(seen), frozen.mlp_in) < TOLERANCE

    v = pulled(frozen, frozen.unembed[:, 5][None], 0)[0]
    by_mlp = torch.stack([_after(frozen, layer) for layer in range(frozen.n_layers)])
    zero = frozen.forward(torch.zeros_like(frozen.embed)[None], lambda layer, x: torch.zeros_like(x))[0, POSITION]
    total = (v * frozen.embed).sum() + (by_mlp * frozen.mlp_out).sum()
    total = total + zero @ frozen.unembed[:, 5] + frozen.unembed_bias[5]
    assert relative(total, frozen.logits[POSITION, 5]) < TOLERANCE


def _after(frozen: FrozenModel, layer: int) -> torch.Tensor:
    """Covector on what the MLP of a layer adds."""
    v = frozen.pull_final(frozen.unembed[:, 5][None], POSITION)
    for above in range(frozen.n_layers - 1, layer, -1):
        v = v + frozen.pull_attention(above, v)
    return v[0]


def test_push_is_the_transpose_of_pull(frozen_pair):
    _, frozen = frozen_pair
    draw = torch.Generator().manual_seed(3)
    t, d = frozen.embed.shape
    x, v = (torch.randn(t, 4, d, dtype=torch.float64, generator=draw) for _ in range(2))
    for part in (*frozen.attention, *frozen.mlp_norm, frozen.final_norm):
        assert torch.allclose((part.push(x) * v).sum(), (x * part.pull(v)).sum(), rtol=1e-12)


def test_a_prefix_of_positions_is_enough(frozen_pair):
    _, frozen = frozen_pair
    v = torch.zeros(len(frozen.tokens), 2, frozen.embed.shape[1], dtype=torch.float64)
    v[:4] = torch.randn(4, 2, v.shape[2], dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    whole = frozen.attention[0].pull(v)
    assert torch.allclose(frozen.attention[0].pull(v[:4]), whole[:4], atol=1e-12)
    assert not whole[4:].any()


def test_constants_are_what_zero_input_gives(frozen_pair):
    _, frozen = frozen_pair
    seen = {}
    zero = torch.zeros_like(frozen.embed)[None]

    def nothing(layer, mlp_in):
        seen[layer] = mlp_in[0]
        return torch.zeros_like(mlp_in)

    frozen.forward(zero, nothing)
    read = torch.zeros_like(zero) if frozen.parallel else frozen.attention_bias(0)[None]
    pushed = frozen.mlp_norm[0].push(read.transpose(0, 1)).transpose(0, 1)[0]
    assert torch.allclose(seen[0], pushed + frozen.mlp_norm_bias(0), atol=1e-12)
    assert frozen.final_bias.shape == frozen.embed.shape


def test_one_prompt_in_each_form_and_nothing_else():
    model, _ = build_hooked("llama", torch.float32)
    ids = random_ids(2)
    padded = TokenBatch(ids[:1], torch.tensor([5]))
    assert freeze(model, padded).tokens.tolist() == ids[0, :5].tolist()
    assert freeze(model, ids[0]).embed.dtype == torch.float32
    with pytest.raises(ShapeError, match="one prompt"):
        freeze(model, ids)
