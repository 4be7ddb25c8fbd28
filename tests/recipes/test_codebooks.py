"""Codebooks in a small language model: trained, resumed, written small, opened again, judged beside an SAE."""

import json

import pytest
import torch

from workbench.core import ArtifactError, ConfigError, Edit, Silent, SiteError
from workbench.data import PackConfig
from workbench.dictionaries import Codebook, CodebookConfig, load_dictionaries
from workbench.models import load_model
from workbench.recipes import CodebooksConfig, load_codebooks, new_codebooks, train_codebooks
from workbench.workspace import Workspace

MODEL, TEXT = "tiny-sentences", "synthetic-sentences:300"
SITES = ("attn_z.0", "mlp_out.1")
BOOK = CodebookConfig(codes=24, k=2)
PACK = PackConfig(sequence_length=48)
SMALL = {"tokens": 4000, "batch_sequences": 8, "heldout_sequences": 20, "start_sequences": 16, "codes_lr": 3e-3}


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


def train(place, name="codes", progress=None, sites=SITES, **settings):
    config = CodebooksConfig.parse(SMALL | settings)
    given = {"model": MODEL, "text": TEXT, "pack": PACK, "progress": progress}
    return train_codebooks(Workspace(place), name, sites, BOOK, config, **given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("codes")
    return place, train(place), train(place, "both", train="both", lr=3e-3)


def test_training_narrows_the_gap_and_says_what_is_left(trained):
    _, codes, both = trained
    for result in (codes, both):
        found = result.scalars
        assert found["ce_model"] < found["ce_trained"] < found["ce_start"]
        assert found["gap_trained"] == pytest.approx(found["ce_trained"] - found["ce_model"])
        rows = {row["variant"]: row for row in result.tables["losses"]}
        assert rows["trained"]["gap_low"] <= rows["trained"]["gap"] <= rows["trained"]["gap_high"]
        assert found["tokens"] == pytest.approx(4000, rel=0.1)
        assert all(0 < row["used_share"] <= 1 for row in result.tables["sites"])
    assert codes.scalars["ce_codes_off"] == codes.scalars["ce_model"], "the model itself did not move"
    assert "codes_off" in {row["variant"] for row in both.tables["losses"]}
    assert both.scalars["ce_trained"] < codes.scalars["ce_trained"]


def test_the_artifact_gives_back_what_was_measured(trained, model):
    place, codes, both = trained
    ids = torch.tensor([[0, 5, 9, 3, 7, 2]])
    for name, result in (("codes", codes), ("both", both)):
        books, weights = load_codebooks(place / "dictionaries" / name, model)
        assert bool(weights) == (name == "both")
        assert [str(book.reads[0]) for book in books.values()] == list(SITES)
        assert books[SITES[0]].config.groups == model.shape.n_heads
        assert books[SITES[1]].config.groups == 1
        with torch.no_grad():
            logits = model.run(ids, [Edit.through(book) for book in books.values()], weights=weights or None).logits
        assert logits is not None
        assert logits.isfinite().all()
        assert (place / "dictionaries" / name / "metrics.jsonl").exists()
        assert result.params["train"] == name
    assert list(load_dictionaries(place / "dictionaries" / "codes")) == list(SITES)
    with pytest.raises(ArtifactError, match="difference to a model"):
        load_codebooks(place / "dictionaries" / "both")
    with pytest.raises(ArtifactError, match="other weights"):
        load_codebooks(place / "dictionaries" / "both", load_model("planted-places"))


def test_a_finished_run_is_opened_not_repeated(trained):
    place, codes, _ = trained
    again = train(place)
    assert again.scalars == codes.scalars


class Stop(Silent):
    """Cancels after so many chunks."""

    def __init__(self, left: int) -> None:
        self.left = left

    def partial(self, value) -> None:
        self.left -= 1

    def cancelled(self) -> bool:
        return self.left <= 0


def test_a_run_cut_short_goes_on_as_if_it_had_not_been(trained, tmp_path):
    place, whole, _ = trained
    part = train(tmp_path, progress=Stop(4))
    assert part.partial
    resumed = train(tmp_path)
    wanted, found = (load_dictionaries(root / "dictionaries" / "codes") for root in (place, tmp_path))
    for name, book in wanted.items():
        for key, tensor in book.state_dict().items():
            assert torch.equal(found[name].state_dict()[key], tensor), (name, key)
    assert resumed.scalars == whole.scalars
    lines = (tmp_path / "dictionaries" / "codes" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, int(whole.scalars["steps"]) + 1))


def test_groups_are_heads_unless_they_are_given(model):
    given = new_codebooks(model, ["attn_z.1"], CodebookConfig(codes=8, k=1, groups=1))
    assert given["attn_z.1"].config.groups == 1
    book = new_codebooks(model, ["attn_z.1.h2"], CodebookConfig(codes=8, k=1))["attn_z.1.h2"]
    assert isinstance(book, Codebook)
    assert book.book.shape == (8, model.shape.d_head)
    with pytest.raises(SiteError, match="no layer 9"):
        new_codebooks(model, ["mlp_out.9"], BOOK)
    with pytest.raises(ConfigError, match="no site"):
        new_codebooks(model, [], BOOK)
