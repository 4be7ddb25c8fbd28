"""Recovery: known answers for perfect, random and absorbing dictionaries, and the bench on a small problem."""

import itertools

import pytest
import torch

from workbench.core import ConfigError, Silent, Site
from workbench.data import BENCH_B, PlantedConfig, PlantedFeatures
from workbench.dictionaries import CoderConfig, Dictionary, make_dictionary
from workbench.evaluation import PlantedBenchConfig, PlantedRows, match, planted_bench, recover
from workbench.evaluation.matching import match_scores
from workbench.evaluation.planted_bench import autoencoders
from workbench.evaluation.recovery import chance, family_absorption, kinds

SITE = Site("resid_post", 0)
EASY = PlantedConfig(d=24, features=24, active=2.0, exponent=0.3, noise=0.0, parents=2, children=3)


def orthogonal(config: PlantedConfig) -> PlantedFeatures:
    """Planted features whose directions are an orthonormal basis, so that a linear encoder can be exact."""
    planted = PlantedFeatures(config)
    planted.directions = torch.linalg.qr(planted.directions.double()).Q.T[: config.features].float().contiguous()
    return planted


def of(rows: torch.Tensor, readers: torch.Tensor | None = None, k: int = 12) -> Dictionary:
    """A TopK autoencoder with given decoder (and encoder) rows."""
    made = make_dictionary("topk-sae", CoderConfig(d_sae=len(rows), k=k), {SITE: rows.shape[1]}, {SITE: rows.shape[1]})
    state = {"W_dec": rows, "W_enc": rows if readers is None else readers, "b_enc": torch.full((len(rows),), -1e-5)}
    made.load_state_dict(made.state_dict() | state)
    return made


def test_matching_against_every_permutation():
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    best = max(itertools.permutations(range(5)), key=lambda order: float(scores[range(5), order].sum()))
    found = match_scores(scores)
    assert found.second.tolist() == list(best)
    assert found.first.tolist() == [0, 1, 2, 3, 4]


def test_matching_finds_a_permuted_and_scaled_copy():
    rows = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    found = match(rows, rows[order] * torch.linspace(0.1, 3, 30)[:, None])
    assert torch.allclose(found.cosine, torch.ones(30))
    assert torch.equal(order[found.second], found.first)
    assert match(torch.zeros(2, 3), torch.ones(4, 3)).cosine.tolist() == [0, 0]


def test_a_perfect_dictionary_recovers_everything():
    planted = orthogonal(EASY)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    found = recover(of(planted.directions[order]), planted, 2000)
    assert found.recovered == 1
    assert found.mean_cosine == pytest.approx(1)
    assert found.fvu == pytest.approx(0, abs=1e-9)
    assert found.floor == pytest.approx(0, abs=1e-9)
    assert found.l0 == pytest.approx(found.true_l0, rel=1e-6)
    assert found.frequency_of_missed != found.frequency_of_missed
    assert all(row["absorbed"] == 0 and row["fires_with_child"] == 1 for row in family_absorption(found, planted))
    assert [row["recovered"] for row in kinds(found, planted)] == [1, 1, 1]


def test_random_directions_recover_as_much_as_chance():
    planted = PlantedFeatures(PlantedConfig())
    recovered, mean_cosine = chance(planted, 256)
    assert recovered == 0
    rows = torch.randn(256, 64, generator=torch.Generator().manual_seed(5))
    found = recover(of(rows), planted, 500)
    assert found.recovered == 0
    assert found.mean_cosine == pytest.approx(mean_cosine, abs=0.02)
    assert 0.2 < mean_cosine < 0.5


def test_a_dictionary_that_is_too_narrow_cannot_recover_the_rest():
    planted = orthogonal(EASY)
    assert recover(of(planted.directions[:6], k=6), planted, 100).recovered == 6 / 24


def test_absorption_built_by_hand_is_seen():
    """Children that write their parent, too, and a parent that is silent where a child fires."""
    planted = orthogonal(EASY)
    rows, readers = planted.directions.clone(), planted.directions.clone()
    for child, parent in enumerate(planted.parent.tolist()):
        if parent == 0:
            rows[child] += planted.directions[0]
            readers[0] -= 50 * planted.directions[child]
    found = recover(of(rows, readers), planted, 4000)
    absorbing, clean = family_absorption(found, planted)
    assert absorbing["fires_alone"] == 1
    assert absorbing["fires_with_child"] < 0.05
    assert absorbing["absorbed"] > 0.95
    assert absorbing["towards_parent"] == pytest.approx(0.5**0.5, rel=1e-4)
    assert clean["absorbed"] == 0
    assert clean["towards_parent"] == pytest.approx(0, abs=1e-5)
    by_kind = {row["kind"]: row["recovered"] for row in kinds(found, planted)}
    assert by_kind == {"parent": 1.0, "child": 0.5, "alone": 1.0}


def test_planted_rows_are_a_function_of_seed_and_chunk():
    rows = PlantedRows(PlantedFeatures(BENCH_B), (SITE,), rows=70, chunk_rows=32)
    assert rows.n_chunks == 3
    chunks = list(rows.chunks())
    assert [len(chunk) for chunk in chunks] == [32, 32, 6]
    assert torch.equal(chunks[1].inputs[SITE], rows.chunk(1).inputs[SITE])
    assert not torch.equal(chunks[0].inputs[SITE][:6], chunks[2].inputs[SITE])
    assert torch.cat([chunk.row_ids for chunk in chunks]).tolist() == list(range(70))


def test_the_bench_lists_controls_and_every_table():
    settings = PlantedBenchConfig(families=("topk-sae",), rows_share=0.002, held_out_rows=500)
    result = planted_bench(settings)
    assert result.kind == "planted"
    families = [(row["bench"], row["family"]) for row in result.tables["recovery"]]
    assert families == [(b, f) for b in "AB" for f in ("topk-sae", "random directions")]
    for row in result.tables["recovery"]:
        assert 0 <= row["recovered"] <= 1
        assert 0 <= row["mean_cosine"] <= 1
    assert len(result.tables["absorption"]) == 32
    assert {row["kind"] for row in result.tables["kinds"]} == {"parent", "child", "group member"}
    assert set(result.scalars) == {"recovered_A_topk-sae", "recovered_B_topk-sae"}


def test_every_autoencoder_of_the_registry_takes_part():
    assert {"topk-sae"} <= set(autoencoders())
    assert not {"affine", "topk-transcoder"} & set(autoencoders())
    with pytest.raises(ConfigError, match="no family of autoencoders 'topk-transcoder'"):
        planted_bench(PlantedBenchConfig(families=("topk-transcoder",)))


class Cancelled(Silent):
    def cancelled(self) -> bool:
        return True


def test_a_bench_that_is_cancelled_says_so():
    with pytest.raises(Exception, match="cancelled before anything"):
        planted_bench(PlantedBenchConfig(families=("topk-sae",), rows_share=0.001), Cancelled())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["topk-sae", "batchtopk-sae", "jumprelu-sae", "gated-sae"])
def test_bench_a_is_solved(family):
    result = planted_bench(PlantedBenchConfig(bench="A", families=(family,)))
    assert result.scalars[f"recovered_A_{family}"] >= 0.9
