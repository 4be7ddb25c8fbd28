"""Units by name: scan, search, card and steering of a set in a workspace, and of the model's own neurons."""

import pytest

from workbench.core import ArtifactError, ConfigError, Manifest, Site, Unit
from workbench.data import PackConfig
from workbench.dictionaries import CoderConfig, DictionarySet, make_dictionary
from workbench.features import CardConfig, ScanConfig, SteerConfig, SteeringEdit
from workbench.models import load_model
from workbench.recipes import (
    card_by_name,
    labels_of,
    open_bench,
    scan_by_name,
    search_units_by_name,
    steer_units_by_name,
)
from workbench.workspace import Database, Workspace

MODEL = "planted-places"
TEXT = {"text": "synthetic-places:60", "pack": PackConfig(sequence_length=24), "config": ScanConfig(sequences=20)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with a set that was scanned."""
    made = Workspace(tmp_path_factory.mktemp("by-name"))
    read, write = Site("mlp_in", 0), Site("mlp_out", 0)
    coder = make_dictionary("topk-transcoder", CoderConfig(d_sae=24, k=3), {read: 256}, {write: 256}, "mine/mlp_in.0")
    model = load_model(MODEL)
    rows = model.capture(model.tokens("the man from north korea saw a big dog and said the capital"), [read, write])
    coder.initialise({site: x.flatten(0, 1).repeat(3, 1) for site, x in rows.items()}, 0)
    manifest = Manifest(kind="dictionary set", model=model.ref, mask=model.policy)
    DictionarySet([coder], "mine").save(made.path_of("dictionaries", "mine"), manifest)
    scan_by_name(made, "mine", split="all", **TEXT)
    return made


def test_a_set_is_scanned_searched_shown_and_steered_by_name(place):
    found = search_units_by_name(place, "mine", "pattern", r"\b(capital)\b").tables["units"]
    unit = Unit.parse(found[0]["unit"])
    assert unit.artifact == "mine"
    card = card_by_name(place, unit, CardConfig(measured=1))
    assert card.scalars["count"] == found[0]["count"]
    steered = steer_units_by_name(
        place, "mine", "the man from north korea", [SteeringEdit(unit=str(unit))], SteerConfig(new_tokens=2)
    )
    assert steered.inputs["scan"] == card.inputs["scan"]
    assert search_units_by_name(place, "mine", "token", "capital").tables["units"]


def test_neurons_are_units_too(place):
    scan_by_name(place, "neurons", model=MODEL, split="all", **TEXT)
    bench, scan = open_bench(place, "neurons", model=MODEL)
    assert scan is not None
    unit = Unit("neuron", "", Site("mlp_in", 0), int(scan.counts("mlp_in.0").argmax()))
    card = card_by_name(place, unit, CardConfig(measured=2), model=MODEL)
    assert card.tables["measured"]
    assert bench.member(unit).width == bench.model.shape.d_mlp


def test_labels_of_people_come_before_those_of_programs(place):
    unit = Unit("transcoder", "mine", Site("mlp_in", 0), 3)
    database = Database(place.path)
    database.set_label(unit, "capitals", 0.9, "in every example")
    assert labels_of(place, "mine")[unit] == [("capitals", "you", 1.0)]
    assert search_units_by_name(place, "mine", "label", "capital").tables["units"][0]["unit"] == str(unit)


def test_what_is_missing_is_told(place, tmp_path):
    empty, sites = Workspace(tmp_path), ({Site("mlp_in", 0): 256}, {Site("mlp_out", 0): 256})
    coder = make_dictionary("topk-transcoder", CoderConfig(d_sae=4, k=1), *sites)
    DictionarySet([coder], "other").save(empty.path_of("dictionaries", "other"))
    with pytest.raises(ConfigError, match="not scanned yet"):
        card_by_name(empty, Unit("transcoder", "other", Site("mlp_in", 0), 0), model=MODEL)
    with pytest.raises(ConfigError, match="which model"):
        scan_by_name(place, "neurons", **TEXT)
    with pytest.raises(ArtifactError, match="no 'minee'"):
        open_bench(place, "minee")
