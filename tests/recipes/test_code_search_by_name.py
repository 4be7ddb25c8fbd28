import json

import pytest
import torch
from typer.testing import CliRunner

from workbench.core import ConfigError, Manifest, Result, Site
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import Codebook, CodebookConfig, DictionarySet
from workbench.models import load_model
from workbench.recipes import open_steered, save_codebooks, search_by_name
from workbench.workspace import Workspace
from workbench_app.cli import app

MODEL, TEXT, SITES = "tiny-sentences", "synthetic-sentences:200", ("mlp_out.0", "resid_post.1")
PACK = PackConfig(sequence_length=24)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with codebooks of a tiny model whose unembedding was trained, too."""
    model = load_model(MODEL)
    text = pack(open_text(TEXT), model.tokenizer, PACK, model.policy)
    books = {}
    for site in SITES:
        parsed = Site.parse(site)
        size = {parsed: model.shape.row_size(parsed)}
        book = Codebook(CodebookConfig(codes=40, k=2, groups=2, initial="rows"), size, size, f"codes/{site}")
        book.initialise_in_model(model.capture(text.ids[:40].long(), [parsed])[parsed].flatten(0, 1), 0)
        books[site] = book
    weights = {"unembed.W_U": 1.5 * model.params()["unembed.W_U"]}
    folder = tmp_path_factory.mktemp("place")
    manifest = Manifest(kind="dictionary set", model=model.ref, mask=model.policy)
    path = Workspace(folder).path_of("dictionaries", "codes")
    save_codebooks(DictionarySet(books, "codes"), path, manifest, weights, model.params())
    return folder


def test_opened_with_the_weights_that_were_trained(place):
    steered, text = open_steered(Workspace(place), "codes", TEXT, PACK)
    assert set(steered.weights) == {"unembed.W_U"}
    ids = text.ids[:1, :10].long()
    plain, own = steered.model.run(ids).logits, steered.model.run(ids, weights=steered.weights).logits
    torch.testing.assert_close(own, 1.5 * plain, rtol=1e-2, atol=1e-2)
    greedy = steered.model.generate(ids, 3, weights=steered.weights).ids[0, 10:]
    longer = torch.cat([ids[0], greedy])[None]
    wanted = steered.model.run(longer, weights=steered.weights).logits[0, 9:12].argmax(-1)
    assert greedy.tolist() == wanted.tolist()


def test_found_by_tokens_and_by_topic_and_saved(place):
    spot = Workspace(place)
    result = search_by_name(spot, "codes", r" gave a (\w+)", related=2, text=TEXT, pack=PACK)
    assert result.tables["codes"]
    assert {row["relation"] for row in result.tables["relations"]} <= {"with", "before", "after"}
    assert Result.load(spot.path_of("results", "codes-codes")).id == result.id
    topic = search_by_name(spot, "codes", "park", by="topic", text=TEXT, pack=PACK)
    assert all(row["activity"] > row["elsewhere"] for row in topic.tables["codes"])
    with pytest.raises(ConfigError, match="one capture group"):
        search_by_name(spot, "codes", "park", text=TEXT, pack=PACK)


def test_commands_print_tables_and_json(place):
    common = ["--name", "codes", "--text", TEXT, "--sequence-length", "24", "--workspace", str(place)]
    runner = CliRunner()
    done = runner.invoke(app, ["codebook", "search", r"(park)", *common, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["tables"]["codes"][0]["recall"] > 0
    steer = ["codebook", "steer", "--topic", r"park=\bpark\b", "--samples", "1", "--new-tokens", "3", "--codes", "2"]
    few = ["--heldout-sequences", "2", "--search-sequences", "40"]
    done = runner.invoke(app, [*steer, *common, *few, "--prompt", "", "--prompt", "When", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["samples"] for row in found["tables"]["steering"]] == [2] * 5
    assert found["params"]["prompts"] == ["", "When"]
    assert (
        Result.load(Workspace(place).path_of("results", "codes-steering")).tables["samples"]
        == found["tables"]["samples"]
    )
    done = runner.invoke(app, ["codebook", "steer", "--topic", "park", *common])
    assert done.exit_code == 2
    done = runner.invoke(app, ["codebook", "continual", "--seeds", "2", "--epochs", "1", "--heads", "4", "--keys", "8",
                               "--key-passes", "1", "--workspace", str(place)])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "key-value bottleneck" in done.stdout
