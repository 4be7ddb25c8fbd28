"""Import, export and push by name, in a workspace and by command."""

import json

import pytest
import torch
from exchange.foreign_files import CASES
from exchange.stand_in import install

from workbench.core import ArtifactError, ConfigError, Manifest, ModelRef, Site
from workbench.dictionaries import DictionarySet, dictionaries_for_layers, load_dictionaries
from workbench.exchange import ImportConfig
from workbench.recipes import export_by_name, import_by_name, push_by_name
from workbench.workspace import Workspace
from workbench_app.cli import main


@pytest.fixture
def place(tmp_path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def own(place) -> DictionarySet:
    found = dictionaries_for_layers("topk-transcoder", (0, 1), 8, name="own")
    for number, dictionary in enumerate(found.values()):
        state = dictionary.state_dict()
        draw = torch.Generator().manual_seed(number)
        dictionary.load_state_dict({name: torch.randn(t.shape, generator=draw) for name, t in state.items()})
    manifest = Manifest(kind="dictionary set", model=ModelRef(id="planted-places", weight_hash=""))
    found = DictionarySet(dict(found.items()), "own", manifest)
    found.save(place.path_of("dictionaries", "own"))
    return found


def case(name):
    return next(case for case in CASES if case.name == name)


def test_imported_sets_lie_in_the_workspace(place, tmp_path):
    path = case("saelens-topk").build(tmp_path)
    done = import_by_name(place, str(path), "other", config=ImportConfig(licence="mit"))
    assert (done.format, done.sites, done.licence) == ("saelens", ("resid_post.3",), "mit")
    found = load_dictionaries(done.path)
    assert next(iter(found.values())).name == "other/resid_post.3"
    assert place.open("dictionaries", "other").manifest.details["exchange"]["licence"] == "mit"
    with pytest.raises(ArtifactError, match="there are dictionaries called 'other' already"):
        import_by_name(place, str(path), "other")


def test_exported_and_imported_again(place, own, tmp_path):
    export_by_name(place, "own", "sparsify", tmp_path / "out")
    import_by_name(place, str(tmp_path / "out"), "again")
    again = load_dictionaries(place.path_of("dictionaries", "again"))
    rows = torch.randn(9, 8, generator=torch.Generator().manual_seed(1))
    for layer in (0, 1):
        inputs = {Site("mlp_in", layer): rows}
        for site, value in own.by_layer(layer)(inputs).items():
            assert torch.equal(again.by_layer(layer)(inputs)[site], value)


def test_pushed_in_both_layouts(place, own, tmp_path, monkeypatch):
    hub = install(monkeypatch, tmp_path)
    assert push_by_name(place, "own", "hf:me/own").startswith("https://huggingface.co/me/own/commit/")
    push_by_name(place, "own", "hf:me/own/sparse", format="sparsify", licence="mit")
    assert 'license: "mit"' in (hub.root / "me/own/sparse/README.md").read_text()
    for source, name in (("hf:me/own", "first"), ("hf:me/own/sparse", "second")):
        import_by_name(place, source, name)
        assert len(load_dictionaries(place.path_of("dictionaries", name))) == 2


def test_our_own_artifacts_are_checked(place, own, tmp_path):
    folder = place.path_of("dictionaries", "own")
    manifest = json.loads((folder / "manifest.json").read_text())
    for members, message in (
        (["../own/mlp_in.0"], "outside its folder"),
        ([".."], "outside"),
        (["absent"], "no artifact"),
    ):
        manifest["details"]["members"] = members
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ArtifactError, match=message):
            import_by_name(place, str(folder), "again")
    manifest["details"]["members"] = ["mlp_in.0"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    weights = folder / "mlp_in.0" / "tensors.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"1234")
    with pytest.raises(ArtifactError, match="does not match its manifest"):
        import_by_name(place, str(folder), "again")


def test_an_import_of_unknown_licence_is_not_pushed_on(place, tmp_path, monkeypatch):
    hub = install(monkeypatch, tmp_path)
    import_by_name(place, str(case("goodfire").build(tmp_path / "in")), "good")
    with pytest.raises(ConfigError, match="the licence of good is unknown"):
        push_by_name(place, "good", "hf:me/good")
    assert not (hub.root / "me").exists()
    push_by_name(place, "good", "hf:me/good", licence="llama3.1")


def test_what_delphi_and_saebench_want(place, own, tmp_path):
    with pytest.raises(ConfigError, match="delphi's cache wants a text"):
        export_by_name(place, "own", "delphi", tmp_path / "out")
    with pytest.raises(ArtifactError, match="own-evaluation"):
        export_by_name(place, "own", "saebench", tmp_path / "out")
    with pytest.raises(ConfigError, match="cannot write the format 'openai'"):
        export_by_name(place, "own", "openai", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["workbench", *words])
    monkeypatch.setenv("WORKBENCH_QUIET", "")
    with pytest.raises(SystemExit) as stop:
        main()
    found = capsys.readouterr()
    return int(stop.value.code or 0), found.out, found.err


def test_by_command(monkeypatch, capsys, tmp_path):
    path = case("openai-relu").build(tmp_path)
    code, out, err = run(monkeypatch, capsys, "import", str(path))
    assert (code, out) == (1, "")
    assert "no file says where this dictionary reads; name it, e.g. --site" in err
    words = ("import", str(path), "--site", "resid_post.6", "--base-model", "gpt2", "--name", "six", "--json")
    code, out, err = run(monkeypatch, capsys, *words)
    assert code == 0
    assert json.loads(out)["sites"] == ["resid_post.6"]
    assert run(monkeypatch, capsys, "export", "six", "--format", "saelens", "--to", str(tmp_path / "out"))[0] == 0
    assert json.loads((tmp_path / "out" / "cfg.json").read_text())["metadata"]["model_name"] == "gpt2"
    for words, code, message in (
        (("import", str(tmp_path / "none")), 1, "there is nothing at"),
        (("import", str(path), "--format", "openay"), 2, "did you mean openai"),
        (("import", "hf:x"), 2, "write hf:org/repo/path"),
        (("export", "six", "--format", "sparsify", "--to", str(tmp_path / "o")), 1, "cannot hold a relu gate"),
        (("push", "sixx", "hf:me/six"), 1, "six"),
    ):
        found, out, err = run(monkeypatch, capsys, *words)
        assert (found, out) == (code, ""), err
        assert message in err
        assert "Traceback" not in err
