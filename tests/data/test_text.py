"""Opening text: the user's files, data sets in a folder, synthetic text, names that do not exist."""

import json
import socket

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, strategies as st

from workbench.core import ConfigError, FetchError, TextError
from workbench.data import known_texts, open_text

RECORDS = [{"id": "first", "text": "alpha"}, {"text": "beta\nmore"}, {"id": 7, "text": "gamma"}, {"text": ""}]


def write_jsonl(path, records=RECORDS):
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n\n", encoding="utf-8")
    return path


def write_parquet(path, table):
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    return path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("something asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_text_file_is_one_document(tmp_path):
    (tmp_path / "essay.txt").write_text("naïve\nlines", encoding="utf-8")
    corpus = open_text(tmp_path / "essay.txt")
    assert list(corpus.documents()) == [("essay.txt", "naïve\nlines")]
    assert list(corpus.documents()) == list(corpus.documents())
    assert corpus.licence == "unknown"


def test_records_of_jsonl_are_documents(tmp_path):
    corpus = open_text(write_jsonl(tmp_path / "a.jsonl"))
    assert list(corpus.documents()) == [("first", "alpha"), ("a.jsonl#2", "beta\nmore"), ("7", "gamma")]


def test_records_of_parquet_are_documents(tmp_path):
    columns = {"content": ["alpha", "beta", None], "extra": [1, 2, 3]}
    assert list(open_text(write_parquet(tmp_path / "a.parquet", columns)).documents()) == [
        ("a.parquet#1", "alpha"),
        ("a.parquet#2", "beta"),
    ]


def test_a_folder_reads_every_kind_in_the_order_of_names(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "z.txt").write_text("zeta")
    (tmp_path / "notes.md").write_text("left alone")
    (tmp_path / "empty.txt").write_text("")
    write_jsonl(tmp_path / "b.jsonl", [{"text": "beta"}])
    write_parquet(tmp_path / "a.parquet", {"text": ["alpha"]})
    corpus = open_text(tmp_path)
    assert list(corpus.documents()) == [("a.parquet#1", "alpha"), ("b.jsonl#1", "beta"), ("inner/z.txt", "zeta")]


def test_the_hash_follows_names_and_bytes(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    before = open_text(tmp_path).hash
    assert open_text(tmp_path).hash == before
    (tmp_path / "a.txt").write_text("two")
    changed = open_text(tmp_path).hash
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert len({before, changed, open_text(tmp_path).hash}) == 3


@given(st.lists(st.text(min_size=1).filter(lambda text: text.encode("utf-8", "ignore").decode() == text), min_size=1))
def test_any_text_survives_jsonl(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("text") / "a.jsonl"
    write_jsonl(path, [{"text": text} for text in texts])
    assert [text for _, text in open_text(path).documents()] == texts


def test_unreadable_files_say_where(tmp_path):
    def fails(path, message):
        with pytest.raises(TextError, match=message):
            list(open_text(path).documents())

    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    fails(tmp_path / "latin.txt", "latin.txt is not UTF-8. byte 3")
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    fails(tmp_path / "broken.jsonl", "broken.jsonl, line 2 is not JSON")
    (tmp_path / "list.jsonl").write_text("[1]\n")
    fails(tmp_path / "list.jsonl", "line 1: wanted a record with a text. list")
    fails(write_jsonl(tmp_path / "other.jsonl", [{"body": "a"}]), "line 1 has no field `text`. fields: body")
    fails(write_jsonl(tmp_path / "number.jsonl", [{"text": 3}]), "field `text` is no text. int")
    fails(write_parquet(tmp_path / "other.parquet", {"body": ["a"]}), "no column `text`. columns: body")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no parquet")
    fails(tmp_path / "broken.parquet", "cannot read .*broken.parquet as parquet")


def test_names_that_do_not_exist(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.png").write_bytes(b"x")
    for name, message in (
        ("wikipedia-sampel", "unknown text 'wikipedia-sampel'.*did you mean wikipedia-sample"),
        ("nowhere.txt", "no text at nowhere.txt. no such file or folder"),
        (str(tmp_path / "empty"), "no text in .*empty. files end in .txt"),
        (str(tmp_path / "image.png"), "cannot read .*image.png as text"),
        ("hf:", "cannot read the text name 'hf:'"),
        ("synthetic-sentences:many", "cannot read the text name .* write synthetic-sentences:20000"),
    ):
        with pytest.raises(TextError, match=message):
            open_text(name)


def test_a_local_data_set_folder_through_datasets(tmp_path, no_network, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", [{"id": "x", "text": "alpha"}, {"id": "y", "text": "beta"}])
    write_jsonl(folder / "test.jsonl", [{"id": "z", "text": "gamma"}])
    corpus = open_text(f"hf:{folder}")
    assert list(corpus.documents()) == [("x", "alpha"), ("y", "beta")]
    assert list(open_text(f"hf:{folder}::test").documents()) == [("z", "gamma")]
    assert open_text(f"hf:{folder}").hash == corpus.hash
    with pytest.raises(TextError, match="cannot open hf:.*nosplit"):
        open_text(f"hf:{folder}::nosplit")


def test_a_data_set_that_is_not_cached_while_offline(no_network):
    pytest.importorskip("datasets")
    with pytest.raises(FetchError, match="cannot open hf:someone/texts.* network is switched off"):
        open_text("hf:someone/texts", offline=True)


def test_synthetic_text_is_a_function_of_its_seed():
    first, again, other = (open_text(f"synthetic-sentences:50{seed}") for seed in ("", ":0", ":1"))
    documents = list(first.documents())
    assert len(documents) == 50
    assert [text for _, text in documents] == [text for _, text in again.documents()]
    assert first.hash == again.hash != other.hash
    for _, text in documents:
        giver = text.split(" gave a ")[0].split()[-1]
        assert text.split(" to ")[-1] or giver
        receiver = text.split(" gave a ")[1].split(" to ")[1].split()[0]
        assert receiver != giver
        assert receiver in text.split(" went to ")[0]
    with pytest.raises((ConfigError, TextError), match="synthetic-sentences"):
        open_text("synthetic-sentence")


def test_the_table_of_texts(no_network):
    table = {text.name: text for text in known_texts()}
    assert table["wikipedia-sample"].licence == "CC BY-SA 3.0"
    for name in table:
        if name.startswith("synthetic-"):
            assert len(list(open_text(f"{name}:3").documents())) == 3


def test_the_sample_offline_and_not_cached(no_network):
    with pytest.raises(FetchError, match="wanted enwiki-latest.* from gensim 4.4.0"):
        open_text("wikipedia-sample", offline=True)
