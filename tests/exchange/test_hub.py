"""`hf:` places against a local stand-in, and against the real client's cache with the network forbidden."""

import pytest
import torch
from exchange.foreign_files import CASES
from exchange.stand_in import COMMIT, install
from exchange.test_export import assert_same, made
from huggingface_hub import constants

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import ConfigError, FetchError
from workbench.dictionaries import DictionarySet
from workbench.exchange import HubRef, export, fetch, read_foreign, upload


@pytest.fixture
def hub(monkeypatch, tmp_path):
    return install(monkeypatch, tmp_path / "stand-in")


def case(name):
    return next(case for case in CASES if case.name == name)


def test_places_are_parsed():
    assert HubRef.parse("hf:org/repo") == HubRef("org/repo")
    assert HubRef.parse("hf:org/repo/a/b.pt@v2") == HubRef("org/repo", "a/b.pt", "v2")
    assert str(HubRef.parse("hf://org/repo/a/")) == "hf:org/repo/a"
    for bad in ("hf:repo", "org/repo", "hf:org/repo/../x", "hf:org/repo/a//b", "hf:", "hf:org/repo@"):
        with pytest.raises(ConfigError, match=r"cannot read the place .*; write hf:org/repo/path"):
            HubRef.parse(bad)


def test_a_folder_of_the_hub_is_read_with_licence_and_commit(hub):
    case("saelens-standard").build(hub.root / "someone" / "saes" / "release")
    case("saelens-topk").build(hub.root / "someone" / "saes" / "other")
    (hub.root / "someone" / "saes" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    found = read_foreign(fetch("hf:someone/saes/release/sae"))
    about = found.manifest.details["exchange"]
    assert about["licence"] == "apache-2.0"
    assert about["source"] == f"hf:someone/saes/release/sae@{COMMIT[:12]}"
    downloaded = {path.relative_to(hub.cache).as_posix() for path in hub.cache.rglob("*") if path.is_symlink()}
    assert not any("other" in name for name in downloaded)
    assert len(downloaded) == 3


def test_a_single_file_of_the_hub(hub):
    case("goodfire").build(hub.root / "Goodfire" / "Llama-3.1-8B-Instruct-SAE-l19")
    found = read_foreign(fetch("hf:Goodfire/Llama-3.1-8B-Instruct-SAE-l19/Llama-3.1-8B-Instruct-SAE-l19.pth"))
    assert [str(d.reads[0]) for d in found.values()] == ["resid_post.19"]
    case("dictionary-learning-ae").build(hub.root / "org" / "dl")
    found = read_foreign(fetch("hf:org/dl/trainer_0/ae.pt"))
    assert [str(d.reads[0]) for d in found.values()] == ["resid_post.8"]


def test_cached_places_need_no_network(hub):
    case("sparsify-sae").build(hub.root / "org" / "repo")
    fetch("hf:org/repo/run/layers.10")
    hub.online = False
    assert len(read_foreign(fetch("hf:org/repo/run/layers.10", offline=True))) == 1
    with pytest.raises(FetchError, match="cannot fetch hf:org/other"):
        fetch("hf:org/other", offline=True)


def test_what_is_not_there(hub):
    with pytest.raises(ConfigError, match="the hub has no repository for hf:org/none"):
        fetch("hf:org/none")
    case("sparsify-sae").build(hub.root / "org" / "repo")
    with pytest.raises(ConfigError, match="hf:org/repo has nothing at run/layers.99"):
        fetch("hf:org/repo/run/layers.99")
    hub.online = False
    with pytest.raises(FetchError, match="cannot fetch hf:org/repo; no route to host; check the network"):
        fetch("hf:org/repo")


@pytest.mark.parametrize("format", ["saelens", "workbench"])
def test_pushed_and_fetched_again(hub, tmp_path, format):
    coder = made("relu-sae", 5, 5, 9, 2, 0)
    first = DictionarySet([coder], "mine")
    if format == "workbench":
        first.save(tmp_path / "mine")
    else:
        export(first, format, tmp_path / "mine")
    address = upload(tmp_path / "mine", "hf:me/saes/layer-0")
    assert address.startswith("https://huggingface.co/me/saes/commit/")
    (again,) = read_foreign(fetch("hf:me/saes/layer-0")).values()
    assert_same(coder, again)


def test_pushing_where_nothing_can_be_written(hub, tmp_path):
    with pytest.raises(ConfigError, match="cannot push to the revision main"):
        upload(tmp_path, "hf:me/saes@main")
    hub.online = False
    with pytest.raises(FetchError, match="cannot push to hf:me/saes; no route"):
        upload(tmp_path, "hf:me/saes")


def test_the_real_client_reads_its_own_cache(monkeypatch, tmp_path):
    """The layout of the real cache: blobs, and snapshots of links into them."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--org--repo"
    case("saelens-standard").build(tmp_path / "made")
    snapshot = repository / "snapshots" / COMMIT / "release"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for number, path in enumerate(sorted((tmp_path / "made" / "sae").iterdir())):
        path.rename(repository / "blobs" / str(number))
        (snapshot / path.name).symlink_to(repository / "blobs" / str(number))
    found = read_foreign(fetch("hf:org/repo/release", offline=True))
    assert found.manifest.details["exchange"]["source"] == f"hf:org/repo/release@{COMMIT[:12]}"
    assert all(torch.isfinite(p).all() for d in found.values() for p in d.parameters())
    with pytest.raises(FetchError, match="cannot fetch hf:org/absent"):
        fetch("hf:org/absent")
