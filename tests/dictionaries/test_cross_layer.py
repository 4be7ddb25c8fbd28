"""Cross-layer transcoders: the equation written out, and one pass that decodes each site from what came before."""

import pytest
import torch
from models.families import build_hooked, random_ids

from workbench.core import Codes, CodeTweak, ConfigError, Edit, Site
from workbench.dictionaries import CrossLayerConfig, CrossLayerTranscoder, make_dictionary

L, D, F, K = 3, 5, 8, 2


def crossing(layers=range(L), d: int = D, gate: str = "topk") -> CrossLayerTranscoder:
    reads, writes = CrossLayerTranscoder.default_sites(*layers)
    config = CrossLayerConfig(d_sae=F, k=K, gate=gate)
    made = make_dictionary("cross-layer-transcoder", config, dict.fromkeys(reads, d), dict.fromkeys(writes, d), "clt")
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "gates" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
    assert isinstance(made, CrossLayerTranscoder)
    return made.double()


def rows(made: CrossLayerTranscoder, n: int = 30) -> dict[Site, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {site: torch.randn(n, size, generator=draw, dtype=torch.float64) for site, size in made.sizes.items()}


def by_hand(made: CrossLayerTranscoder, data) -> dict[Site, torch.Tensor]:
    acts = []
    for site, weight, bias in zip(made.reads, made.W_enc, made.b_enc, strict=True):
        pre = (data[site] @ weight.T + bias).relu()
        cut = pre.topk(K, dim=1).values[:, -1:]
        acts.append(torch.where(pre >= cut, pre, 0.0))
    out = {}
    for t, site in enumerate(made.writes):
        pieces = made.W_dec[t].split(F)
        out[site] = sum(acts[s] @ pieces[s] for s in range(t + 1)) + made.b_dec[t]
    return out


@torch.no_grad()
def test_the_equation_and_its_loss():
    made = crossing()
    data = rows(made)
    wanted = by_hand(made, data)
    for site, found in made(data).items():
        torch.testing.assert_close(found, wanted[site])
    fvus = []
    for site, out in wanted.items():
        target = data[site]
        fvus.append((out - target).square().sum() / (target - target.mean(0)).square().sum())
    torch.testing.assert_close(made.loss(data)["loss"], torch.stack(fvus).mean())
    assert float(made.loss(data)["l0"]) == pytest.approx(L * K, abs=0.5)


def test_the_weights_number_what_the_docstring_says():
    made = crossing()
    weights = sum(p.numel() for name, p in made.named_parameters() if name.startswith("W"))
    assert weights == F * D * (L + L * (L + 1) // 2)


@pytest.mark.parametrize("gate", ["topk", "batchtopk", "jumprelu"])
@torch.no_grad()
def test_sites_met_one_after_the_other_are_decoded_from_what_came_before(gate):
    made = crossing(gate=gate)
    data = rows(made)
    whole, codes = made(data), []
    for read, write in zip(made.reads, made.writes, strict=True):
        codes.append(made.encode({read: data[read]}).padded())
        index, value = (torch.cat([getattr(part, name) for part in codes], 1) for name in ("index", "value"))
        found = made.reconstruct_at(Codes(index, value, made.width), data, write)
        torch.testing.assert_close(found, whole[write])


@torch.no_grad()
def test_one_forward_pass_streams(monkeypatch):
    """Every layer is encoded once and every site decoded once, and the codes of the pass are those of its inputs."""
    model = build_hooked("llama", torch.float64)[0]
    made = crossing(range(2), model.shape.d_model)
    monkeypatch.setattr(made, "decode", lambda codes: pytest.fail("a pass decodes site by site"))
    encoded, decoded = [], []
    encode, at = made.encode, made._decode_at
    monkeypatch.setattr(made, "encode", lambda inputs: encoded.append(tuple(inputs)) or encode(inputs))
    monkeypatch.setattr(made, "_decode_at", lambda codes, number: decoded.append(number) or at(codes, number))
    run = model.run(random_ids(), [Edit.through(made)], sites=tuple(made.sizes))
    assert encoded == [(Site("mlp_in", 0),), (Site("mlp_in", 1),)]
    assert decoded == [0, 1]
    read = {site: run.activations[site].flatten(0, 1) for site in made.reads}
    torch.testing.assert_close(run.codes["clt"].dense(), encode(read).dense())
    wanted = by_hand(made, read)
    for site in made.writes:
        torch.testing.assert_close(run.activations[site].flatten(0, 1), wanted[site])


@torch.no_grad()
def test_switching_a_feature_off_reaches_every_later_site():
    model = build_hooked("llama", torch.float64)[0]
    made = crossing(range(2), model.shape.d_model)
    plain = model.run(random_ids(), [Edit.through(made)], sites=made.writes)
    feature = int(plain.codes["clt"].index[0, 0])
    off = model.run(random_ids(), [Edit.through(made, (CodeTweak((feature,)),))], sites=made.writes)
    row = made.writers(torch.tensor([feature]))
    value = plain.codes["clt"].dense()[0, feature]
    for site in made.writes[:1]:
        change = (plain.activations[site] - off.activations[site]).flatten(0, 1)[0]
        torch.testing.assert_close(change, value * row[site][0])
    assert off.codes["clt"].dense()[:, feature].abs().sum() == 0
    assert feature < F, "the first entry of a row belongs to the first layer"


def test_sites_come_in_pairs_in_order():
    sites = [Site("mlp_in", 1), Site("mlp_in", 0)], [Site("mlp_out", 1), Site("mlp_out", 0)]
    with pytest.raises(ConfigError, match="one site in each of some layers, in order"):
        make_dictionary("cross-layer-transcoder", None, *(dict.fromkeys(part, D) for part in sites))
    with pytest.raises(ConfigError, match="in order"):
        make_dictionary("cross-layer-transcoder", None, {Site("mlp_in", 0): D}, {})
