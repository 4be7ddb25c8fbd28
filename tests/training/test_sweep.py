"""Many dictionaries on one stream: each as if it were alone, memory counted before, losses measured on the way."""

from typing import ClassVar

import pytest
import torch

from training.planted_rows import MemoryRows, planted_rows
from workbench.core import ConfigError, Site
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import (
    CoderConfig,
    CrossLayerConfig,
    DictionarySet,
    GatedConfig,
    JumpReLUConfig,
    load_dictionaries,
    new_set,
)
from workbench.models import load_model
from workbench.recipes import train_by_name
from workbench.store import StreamRows
from workbench.training import TrainConfig, check_memory, fit, memory
from workbench.workspace import Workspace

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
    assert Counted.asked == list(range(counted.n_chunks)), "what is looked at for the start is kept for training"


def test_what_is_too_large_to_keep_is_asked_for_again(tmp_path, monkeypatch):
    plain = planted_rows(layers=1, rows=1500)
    counted = Counted(plain.data, plain.chunk_rows)
    whole = fit(new(layers=[0]), counted, tmp_path / "kept", CONFIG)
    one_chunk = sum(rows.numel() * rows.element_size() for rows in plain.chunk(0).inputs.values())
    monkeypatch.setattr(memory, "MOST_KEPT", one_chunk + 1)
    Counted.asked.clear()
    again = fit(new(layers=[0]), counted, tmp_path / "asked again", CONFIG)
    assert Counted.asked == [0, 1, 1, 2], "the first of two is kept"
    for name, dictionary in whole.dictionaries.items():
        for key, tensor in dictionary.state_dict().items():
            assert torch.equal(again.dictionaries[name].state_dict()[key], tensor)


def test_the_model_runs_once_for_ten_dictionaries(tmp_path, monkeypatch):
    model = load_model("planted-places")
    text = pack(open_text("synthetic-places:60"), model.tokenizer, PackConfig(sequence_length=24), model.policy)
    wanted = [("topk-sae", CoderConfig(d_sae=16, k=k)) for k in range(1, 11)]
    ten = new_set(wanted, model.shape.row_size, layers=[1])
    rows = StreamRows(model, text, (Site("resid_post", 1),), chunk_sequences=16)
    sequences, capture = [], model.capture
    monkeypatch.setattr(
        model, "capture", lambda batch, *rest: sequences.append(len(batch.ids)) or capture(batch, *rest)
    )
    trained = fit(ten, rows, tmp_path / "ten", CONFIG)
    assert len(trained.dictionaries) == 10
    assert sum(sequences) == len(text)


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
    # Of the six, one is there already: the weights themselves.
    weights = 4 * (1000 * 16 * (2 + 3) + 2 * 1000 + 2 * 16)
    chunk = 500 * 4 * 16 * 4
    monkeypatch.setattr(memory, "available_memory", lambda dictionaries: 5 * weights + chunk - 1)
    with pytest.raises(ConfigError, match=r"does not fit into memory.*fewer features, layers"):
        fit(made, rows, tmp_path / "large", CONFIG)
    assert not (tmp_path / "large").exists()
    monkeypatch.setattr(memory, "available_memory", lambda dictionaries: 5 * weights + chunk + 1)
    check_memory(made, rows)


def test_thirty_layers_of_a_cross_layer_transcoder_are_refused_before_they_are_made(rows, monkeypatch):
    wanted = [("cross-layer-transcoder", CrossLayerConfig(d_sae=4096, k=16))]
    with torch.device("meta"):
        made = new_set(wanted, lambda site: 576, layers=range(30))
    monkeypatch.setattr(memory, "available_memory", lambda dictionaries: 22e9)
    with pytest.raises(ConfigError, match=r"training 1,168 million weights.*averages 14.0 GB.*= 28.1 GB; 22.0 GB are"):
        check_memory(made, rows)


def test_a_set_beyond_all_memory_is_refused_by_name(tmp_path):
    wanted = [("topk-sae", CoderConfig(d_sae=10**9, k=4))]
    with pytest.raises(ConfigError, match="does not fit into memory"):
        train_by_name(
            Workspace(tmp_path), "vast", wanted, CONFIG, model="planted-places", text="synthetic-places:60",
            pack=PackConfig(sequence_length=24), layers=[1], chunk_sequences=16,
        )  # fmt: skip
