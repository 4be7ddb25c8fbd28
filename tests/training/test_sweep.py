"""Many dictionaries on one stream: each as if it were alone, memory counted before, losses measured on the way."""

from typing import ClassVar

import pytest
import torch

from training.planted_rows import MemoryRows, planted_rows
from workbench.core import ConfigError, Site
from workbench.dictionaries import (
    CoderConfig,
    CrossLayerConfig,
    DictionarySet,
    GatedConfig,
    JumpReLUConfig,
    load_dictionaries,
    new_set,
)
from workbench.training import TrainConfig, check_memory, fit, memory

CONFIG = TrainConfig(batch_rows=64, initial_rows=900)
WANTED = [
    ("topk-transcoder", CoderConfig(d_sae=24, k=2)),
    ("topk-transcoder", CoderConfig(d_sae=48, k=4)),
    ("topk-transcoder", CoderConfig(d_sae=48, k=4, start_seed=1)),
    ("jumprelu-skip-transcoder", JumpReLUConfig(d_sae=32, k=4)),
    ("gated-transcoder", GatedConfig(d_sae=32)),
]


def new(wanted=WANTED, layers=(0, 1)) -> DictionarySet:
    return new_set(wanted, lambda site: 16, layers=layers, name="sweep")


class Counted(MemoryRows):
    """Rows that know how often a chunk was asked for."""

    asked: ClassVar[list[int]] = []

    def chunk(self, number: int):
        self.asked.append(number)
        return super().chunk(number)


@pytest.fixture
def rows() -> MemoryRows:
    return planted_rows(rows=1500, passes=2)


def test_each_member_is_what_it_is_alone(rows, tmp_path):
    together = fit(new(), rows, tmp_path / "all", CONFIG)
    for number, one in enumerate(WANTED):
        alone = fit(new([one]), rows, tmp_path / str(number), CONFIG)
        for layer in (0, 1):
            name = list(together.dictionaries)[2 * number + layer]
            for first, second in (
                (together.dictionaries[name], alone.dictionaries[f"mlp_in.{layer}"]),
                (together.initial[name], alone.initial[f"mlp_in.{layer}"]),
                (together.affine[name], alone.affine[f"mlp_in.{layer}"]),
            ):
                for key, tensor in second.state_dict().items():
                    assert torch.equal(first.state_dict()[key], tensor), (name, key)


def test_the_stream_is_read_once(tmp_path):
    plain = planted_rows(layers=1, rows=1500)
    counted = Counted(plain.data, plain.chunk_rows)
    Counted.asked.clear()
    fit(new(layers=[0]), counted, tmp_path / "all", CONFIG)
    looked_at = len(Counted.asked) - counted.n_chunks
    assert Counted.asked[looked_at:] == list(range(counted.n_chunks))
    assert Counted.asked[:looked_at] == list(range(looked_at)), "before, the first chunks are read once for the start"


def test_members_at_one_site_have_records_and_folders_of_their_own(rows, tmp_path):
    trained = fit(new(layers=[0]), rows, tmp_path / "all", CONFIG)
    names = list(trained.dictionaries)
    assert len(names) == len(WANTED)
    assert [record["dictionary"] for record in trained.metrics] == names
    assert list(load_dictionaries(tmp_path / "all")) == names
    seeds = [name for name in names if "k4" in name and "d_sae48" in name]
    first, second = (trained.dictionaries[name].state_dict()["W_enc"] for name in seeds)
    assert not torch.equal(first, second)


def test_the_sparsity_penalty_warms_up(rows, tmp_path):
    wanted = [("gated-transcoder", GatedConfig(d_sae=32))]
    config = CONFIG.model_copy(update={"sparsity_warm_up": 1.0})
    fit(new(wanted, [0]), rows, tmp_path / "slow", config)
    lines = fit(new(wanted, [0]), rows, tmp_path / "slow", config).metrics
    assert lines[0]["sparsity"] == pytest.approx(1.0, abs=0.05)
    records = (tmp_path / "slow" / "metrics.jsonl").read_text().splitlines()
    assert 0 < float(records[0].split('"sparsity": ')[1].split(",")[0]) < 0.5


def test_a_probe_measures_raw_dictionaries_at_intervals(rows, tmp_path):
    seen = []

    def probe(dictionary) -> dict[str, float]:
        target, found = (rows.data[Site("mlp_out", 0)], dictionary(rows.data)[Site("mlp_out", 0)])
        seen.append(dictionary.name)
        return {"error": float((found - target).square().mean())}

    config = CONFIG.model_copy(update={"probe_every_chunks": 4})
    trained = fit(new(WANTED[:1], [0]), rows, tmp_path / "probed", config, probe=probe)
    assert seen == ["sweep/mlp_in.0"] * 2, "after chunk 4 and after the last of 6"
    target = rows.data[Site("mlp_out", 0)]
    found = trained.dictionaries["mlp_in.0"](rows.data)[Site("mlp_out", 0)]
    assert trained.metrics[0]["error"] == pytest.approx(float((found - target).square().mean().detach()))


def test_what_does_not_fit_is_refused_with_the_sum(rows, tmp_path, monkeypatch):
    wanted = [("cross-layer-transcoder", CrossLayerConfig(d_sae=1000, k=4))]
    made = new(wanted)
    check_memory(made, rows)
    weights = 4 * (1000 * 16 * (2 + 3) + 2 * 1000 + 2 * 16)
    chunk = 500 * 4 * 16 * 4
    monkeypatch.setattr(memory, "available_memory", lambda dictionaries: 6 * weights + chunk - 1)
    with pytest.raises(ConfigError, match=r"does not fit into memory.*fewer features, layers"):
        fit(made, rows, tmp_path / "large", CONFIG)
    assert not (tmp_path / "large").exists()
    monkeypatch.setattr(memory, "available_memory", lambda dictionaries: 6 * weights + chunk + 1)
    check_memory(made, rows)
