"""Every format that is read: the reconstruction is that of the format's own formula, value by value."""

import shutil

import pytest
import torch
from exchange.foreign_files import CASES, Case
from hypothesis import given, strategies as st

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import ArtifactError, names
from workbench.dictionaries import load_dictionaries
from workbench.exchange import ImportConfig, Source, find_format, formats, read_foreign

TABLE = {  # the rows of the facts' conversion table -> the cases that stand for them
    "SAELens": "saelens",
    "sparsify": "sparsify",
    "AE": "dictionary-learning-ae",
    "AE New": "dictionary-learning-ae-new",
    "TopK/BatchTopK": "dictionary-learning-batchtopk",
    "Matryoshka": "dictionary-learning-matryoshka",
    "JumpReLU": "dictionary-learning-jumprelu",
    "Gated": "dictionary-learning-gated",
    "circuit-tracer PLT": "circuit-tracer-relu",
    "circuit-tracer CLT": "circuit-tracer-clt",
    "llamascopium SAE/PLT": "llamascopium-jumprelu",
    "llamascopium CLT": "llamascopium-clt",
    "Gemma Scope 1": "gemma-scope-sae",
    "Gemma Scope 2": "gemma-scope-2",
    "OpenAI": "openai",
    "Dunefsky": "dunefsky",
    "Goodfire": "goodfire",
}
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def rows_for(case: Case, seed: int = 0, count: int = 64) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(100 + seed)
    return {
        site: torch.randn(count, size, generator=draw) * 2 + 0.3
        for site, size in zip(case.reads, case.sizes, strict=True)
    }


def outputs(dictionaries, rows):
    found = {}
    with torch.no_grad():
        for dictionary in dictionaries.values():
            inputs = {site: rows[str(site)].to(dictionary.dtype) for site in dictionary.reads}
            found |= {str(site): value for site, value in dictionary(inputs).items()}
    return found


def sites(dictionaries) -> list[str]:
    return [str(site) for dictionary in dictionaries.values() for site in dictionary.reads]


def test_every_row_of_the_table_has_a_case():
    assert len(TABLE) == 17
    for row, prefix in TABLE.items():
        assert any(case.name.startswith(prefix) for case in CASES), row
    assert {case.format for case in CASES} == {name for name, kind in formats().items() if kind.reads}
    assert set(formats()) == set(names("format"))


@cases
def test_the_reconstruction_is_the_formula(case, tmp_path):
    path = case.build(tmp_path)
    found = read_foreign(Source(path), ImportConfig.parse(case.config))
    rows = rows_for(case)
    wanted, have = case.formula(rows), outputs(found, rows)
    assert set(have) == set(wanted)
    for site, value in wanted.items():
        torch.testing.assert_close(have[site], value, rtol=2e-5, atol=2e-5)


@cases
def test_codes_are_sparse_and_sites_and_source_are_kept(case, tmp_path):
    path = case.build(tmp_path)
    found = read_foreign(Source(path), ImportConfig.parse(case.config))
    manifest = found.manifest
    assert manifest is not None
    about = manifest.details["exchange"]
    assert about["format"] == case.format
    assert about["source"] == str(path)
    assert about["files"]
    assert all(len(value) == 64 for value in about["files"].values())
    assert (manifest.model.id if manifest.model else None) == case.model
    assert sites(found) == list(case.reads)


@cases
def test_saved_and_loaded_as_an_artifact(case, tmp_path):
    found = read_foreign(Source(case.build(tmp_path)), ImportConfig.parse(case.config))
    found.save(tmp_path / "saved")
    loaded = load_dictionaries(tmp_path / "saved")
    rows = rows_for(case, seed=1)
    for site, value in outputs(found, rows).items():
        assert torch.equal(outputs(loaded, rows)[site], value)
    assert loaded.manifest is not None
    assert loaded.manifest.details["exchange"]["format"] == case.format


@cases
def test_the_layout_is_recognised(case, tmp_path):
    source = Source(case.build(tmp_path))
    assert find_format(source).name == case.format
    assert [name for name, kind in formats().items() if kind.detect(source)] == [case.format]


@given(st.sampled_from(CASES), st.integers(0, 10_000))
def test_any_rows(tmp_path_factory, case, seed):
    found = read_foreign(Source(case.build(tmp_path_factory.mktemp("any"))), ImportConfig.parse(case.config))
    rows = rows_for(case, seed, count=9)
    wanted, have = case.formula(rows), outputs(found, rows)
    for site, value in wanted.items():
        torch.testing.assert_close(have[site], value, rtol=1e-4, atol=1e-4)


def test_the_licence_of_the_card_is_kept(tmp_path):
    path = CASES[0].build(tmp_path)
    assert read_foreign(Source(path)).manifest.details["exchange"]["licence"] == "unknown"
    (path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# An SAE\n")
    assert read_foreign(Source(path)).manifest.details["exchange"]["licence"] == "cc-by-4.0"
    given_one = read_foreign(Source(path), ImportConfig(licence="mit"))
    assert given_one.manifest.details["exchange"]["licence"] == "mit"


def test_a_folder_of_folders_becomes_a_set(tmp_path):
    for case in CASES:
        if case.name in ("sparsify-sae", "sparsify-groupmax"):
            case.build(tmp_path)
    found = read_foreign(Source(tmp_path / "run"))
    assert sites(found) == ["mlp_out.1", "resid_post.10"]
    assert set(found.manifest.details["exchange"]["files"]) == {
        "layers.1.mlp/cfg.json",
        "layers.1.mlp/sae.safetensors",
        "layers.10/cfg.json",
        "layers.10/sae.safetensors",
    }


def test_dictionaries_of_one_site_are_named_by_their_folders(tmp_path):
    first = CASES[0].build(tmp_path)
    shutil.copytree(first, tmp_path / "set" / "wide")
    shutil.copytree(first, tmp_path / "set" / "nar row")
    assert list(read_foreign(Source(tmp_path / "set"))) == ["nar-row", "wide"]


def test_symbolic_links_are_followed(tmp_path):
    """A cache of the hub is nothing but links."""
    path = CASES[0].build(tmp_path / "blobs")
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for file in path.iterdir():
        (linked / file.name).symlink_to(file)
    assert len(read_foreign(Source(linked))) == 1


def test_sites_can_be_named(tmp_path):
    path = next(case for case in CASES if case.name == "openai-relu").build(tmp_path)
    with pytest.raises(ArtifactError, match=r"no file says where this dictionary reads; name it, e.g. --site"):
        read_foreign(Source(path))
    found = read_foreign(Source(path), ImportConfig(site="mlp_post.2", base_model="gpt2"))
    assert sites(found) == ["mlp_post.2"]
    assert found.manifest.model.id == "gpt2"


def test_an_unknown_layout_says_what_was_found_and_tried(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(
        ArtifactError, match=r"no known layout.*1 file\(s\): notes.txt; tried workbench, circuit-tracer, .*sparsify"
    ):
        read_foreign(Source(tmp_path))
    with pytest.raises(ArtifactError, match="there is nothing at"):
        Source(tmp_path / "absent")
