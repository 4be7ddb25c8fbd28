import dataclasses
import hashlib

import pytest
import torch

from workbench.core import Result, Site, TextError
from workbench.data import ARTICLE_TOPICS, PackConfig, open_text, pack
from workbench.data.corpus import Corpus
from workbench.dictionaries import KeyValueConfig
from workbench.evaluation import ContinualConfig
from workbench.models import load_model
from workbench.recipes import TopicRowsConfig, continual_by_name, topic_rows
from workbench.workspace import Workspace


@pytest.fixture(scope="module")
def subject():
    """A tiny model and a text whose documents bear the titles of the articles (and one that does not)."""
    model = load_model("tiny-sentences")
    sentences = [text for _, text in open_text("synthetic-sentences:400").documents()]
    titles = [*(title for titles in ARTICLE_TOPICS.values() for title in titles), "Nobody's"]
    documents = [(title, " ".join(sentences[5 * n : 5 * n + 5])) for n, title in enumerate(titles)]
    digest = hashlib.sha256(repr(documents).encode()).hexdigest()
    corpus = Corpus("titled", digest, lambda: iter(documents))
    return model, pack(corpus, model.tokenizer, PackConfig(sequence_length=12), model.policy)


def test_rows_are_mean_states_of_full_windows(subject):
    model, text = subject
    config = TopicRowsConfig(layer=1, window=12, windows_per_article=3, batch_windows=7)
    found = topic_rows(model, text, config)
    topics = {title: n for n, titles in enumerate(ARTICLE_TOPICS.values()) for title in titles}
    wanted: dict[int, list[torch.Tensor]] = {}
    for s in range(len(text)):
        title = text.document_ids[int(text.document[s])]
        if title in topics and int(text.lengths[s]) == 12:
            states = model.capture(text.ids[s][None].long(), [Site("resid_post", 1)])[Site("resid_post", 1)][0]
            wanted.setdefault(int(text.document[s]), []).append(states[1:].mean(0))
    assert found.classes == tuple(ARTICLE_TOPICS)
    for document in found.group.unique().tolist():
        rows, near = found.rows[found.group == document], torch.stack(wanted[document])
        assert len(rows) == min(3, len(near))
        assert torch.cdist(rows, near).min(1).values.max() < 1e-3
        assert set(found.label[found.group == document].tolist()) == {topics[text.document_ids[document]]}


def test_a_text_without_the_articles_is_refused(subject):
    model, text = subject
    nameless = dataclasses.replace(text, document_ids=["x"] * len(text.document_ids))
    with pytest.raises(TextError, match="lacks articles of a topic"):
        topic_rows(model, nameless, TopicRowsConfig(layer=0))


def test_digits_by_name_are_saved(tmp_path):
    place = Workspace(tmp_path)
    small = KeyValueConfig(heads=8, keys=16, key_size=4, key_passes=2)
    result = continual_by_name(place, "digits", ContinualConfig(seeds=2, epochs=2), small)
    assert Result.load(place.path_of("results", "continual-digits")).id == result.id
    assert {row["method"] for row in result.tables["final"]} >= {"key-value bottleneck", "linear probe"}
    for row in result.tables["final"]:
        assert row["gap"] == pytest.approx(row["iid"] - row["accuracy"])
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
