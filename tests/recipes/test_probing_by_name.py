"""Sites by range, and labels kept with their scores."""

import pytest

from workbench.core import Result, SiteError, Unit
from workbench.features import LabelConfig
from workbench.models import load_model
from workbench.recipes import keep_labels, parse_sites
from workbench.workspace import Database


def test_sites_are_read_with_ranges(planted):
    assert len(parse_sites(["resid_post"], planted)) == planted.shape.n_layers
    assert [str(site) for site in parse_sites(["mlp_out.0-1,embed"], planted)] == ["mlp_out.0", "mlp_out.1", "embed"]
    with pytest.raises(SiteError, match="no layer"):
        parse_sites(["resid_post.99"], planted)


@pytest.fixture(scope="module")
def planted():
    return load_model("planted-places")


def test_labels_are_kept_with_their_scores(tmp_path):
    row = {"unit": "sae:set:resid_post.0:3", "label": "numbers", "f1": 0.7, "precision": 0.8, "rules": [["class", "x"]]}
    none = {"unit": "sae:set:resid_post.0:4", "label": "nothing found", "f1": 0.0, "rules": []}
    result = Result("labels", tables={"labels": [row, none]}, params={"source": "tokens"})
    keep_labels(Database(tmp_path), result)
    (label,) = Database(tmp_path).automatic_labels("set").values()
    assert (label.unit, label.text, label.score) == (Unit.parse(row["unit"]), "numbers", 0.7)
    assert label.details["precision"] == 0.8
    assert LabelConfig().units == 200
