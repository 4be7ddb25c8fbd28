"""The Bigrams page by AppTest: empty, a mask not judged, a judged one, a stale address, a damaged mask."""

import pytest
import torch

from workbench.core import Result, generator, read_artifact
from workbench.models import load_model
from workbench.subnetworks import Subnetwork
from workbench.workspace import Workspace

from .test_pages import open_page, text_of

TABS = ("Where it lives", "Answers", "Removed", "Rotation", "Tokens", "How it was made")


@pytest.fixture
def mask():
    model, place = load_model("planted-bigram"), Workspace()
    params = model.params()
    bits = {name: torch.rand(params[name].shape, generator=generator(0, name)) < 0.1 for name in model.matrices()}
    Subnetwork(bits, {"penalty": 1.0, "note": "<b>bold</b>"}, model.ref).save(
        place.path_of("subnetworks", "one"), "one"
    )
    return "one"


def judge(name: str) -> None:
    place = Workspace()
    own = read_artifact(place.path_of("subnetworks", name)).manifest.content_hash
    answer = {key: 0.5 for part in ("r", "top1", "divergence", "loss") for key in (part, f"{part}_low", f"{part}_high")}
    turn = {key: 30.0 for part in ("to_input", "to_output") for key in (part, f"{part}_low", f"{part}_high")}
    tables = {
        "answers": [{"variant": "full model", **answer}, {"variant": "subnetwork", **answer}],
        "bands": [{"variant": "subnetwork", "band": 0, "divergence": 0.1}],
        "removed": [{"removed": "nothing", "loss": 1.0}],
        "rotation": [{"variant": "full model", "layer": 0, **turn}],
        "examples": [{"kind": "explained", "before": "<script>", "token": "b"}],
    }
    result = Result("bigram evaluation", {"r": 0.961, "r_full": 0.5}, tables, inputs={"subnetwork": own})
    result.save(place.path_of("results", f"{name}-bigrams"))


def test_an_empty_workspace_says_how_to_train_a_mask():
    at = open_page("bigrams")
    assert "workbench bigram train" in text_of(at)
    assert not at.error


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_stands_without_and_with_a_judgement(mask, tab):
    at = open_page("bigrams", bg_mask=mask, bg_tab=tab)
    assert not at.error
    assert ("workbench bigram evaluate one" in text_of(at)) == (tab in TABS[1:5])
    judge(mask)
    at = open_page("bigrams", bg_mask=mask, bg_tab=tab)
    assert not at.error
    assert "0.961" in text_of(at)


def test_a_judgement_of_another_mask_is_not_shown(mask):
    judge(mask)
    path = Workspace().path_of("subnetworks", mask)
    own = Subnetwork.load(path)
    Subnetwork({name: ~bits for name, bits in own.masks.items()}, own.details, own.model).save(path, mask)
    assert "0.961" not in text_of(open_page("bigrams", bg_mask=mask))


def test_an_address_of_a_mask_that_is_gone_turns_amber(mask):
    at = open_page("bigrams", bg_mask="../../etc")
    assert "not here" in at.warning[0].value
    assert not at.error


def test_a_damaged_mask_is_one_sentence(mask):
    path = Workspace().path_of("subnetworks", mask)
    (path / "tensors.safetensors").write_bytes(b"broken")
    assert "cannot read" in open_page("bigrams", bg_mask=mask).error[0].value
