"""Labels by a language model: what a server is asked, what its answers score, and what is said when it fails."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from workbench.core import ConfigError, ModelError, Site, Unit
from workbench.features import LabelConfig, ModelExplainer, Passage, ServerExplainer, explain_units
from workbench.models import load_model

from .bench import PLANTED, planted_bench


class Chat(BaseHTTPRequestHandler):
    """Knows which passages the unit fires on: it was told their words."""

    asked, answers = [], None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
        text = type(self).answers(body["messages"][0]["content"])
        data = json.dumps({"choices": [{"message": {"content": text}}]}).encode() if text is not None else b"{}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    made = HTTPServer(("127.0.0.1", 0), Chat)
    Chat.asked = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}/v1"
    made.shutdown()
    made.server_close()


PASSAGES = [
    Passage((" the", " cat"), (False, True), True),
    Passage((" a", " dog"), (False, False), False),
]


def test_a_server_is_asked_in_openais_form(server):
    Chat.answers = staticmethod(
        lambda text: ' "Cats."\nmore' if "in common" in text else "Yes" if "cat" in text else "No"
    )
    explainer = ServerExplainer(server, model="m", headers={"Authorization": "Bearer k"})
    assert explainer.explain(PASSAGES[:1]) == "Cats"
    assert explainer.judge("Cats", PASSAGES) == [True, False]
    first = Chat.asked[0]
    assert (first["path"], first["model"], first["temperature"], first["key"]) == (
        "/v1/chat/completions",
        "m",
        0,
        "Bearer k",
    )
    assert "the<< cat>>" in first["messages"][0]["content"]
    assert "Description: Cats\nPassage: a dog" in Chat.asked[2]["messages"][0]["content"]


def test_a_server_without_an_answer_is_told(server):
    Chat.answers = staticmethod(lambda text: None)
    with pytest.raises(ModelError, match="gave no answer"):
        ServerExplainer(server).explain(PASSAGES)
    with pytest.raises(ModelError, match="gave no answer"):
        ServerExplainer("http://127.0.0.1:9/v1", timeout=2).judge("x", PASSAGES)
    with pytest.raises(ConfigError, match="no address"):
        ServerExplainer("ftp://here")


class Oracle:
    """Fires where the unit does: it reads the marks, or recognises a passage by its words."""

    name = "oracle"

    def __init__(self, right):
        self.right, self.shown = right, []

    def explain(self, examples):
        self.shown = list(examples)
        return "told"

    def judge(self, label, passages):
        assert label == "told"
        return [passage.true is self.right for passage in passages]


def test_labels_are_scored_by_what_the_judge_tells_apart(tmp_path):
    bench, found = planted_bench(tmp_path)
    unit, config = Unit("transcoder", "t", Site("mlp_in", 1), PLANTED), LabelConfig(examples=4, window=8)
    for oracle, score in ((Oracle(right=True), 1.0), (Oracle(right=False), 0.0)):
        result = explain_units(found, [unit], oracle, bench.model.tokenizer.strings, config)
        (row,) = result.tables["labels"]
        assert (row["label"], row["detection"], row["fuzzing"], row["f1"]) == ("told", score, score, score)
        assert 0 < len(oracle.shown) <= 4
        assert all(any(passage.marked) for passage in oracle.shown)
        assert row["n"] >= 4


def test_a_model_of_this_machine_writes_and_judges():
    explainer = ModelExplainer(load_model("tiny-wikipedia"), words=3)
    assert explainer.explain(PASSAGES) == explainer.explain(PASSAGES)
    assert len(explainer.judge("animals", PASSAGES)) == 2
    assert explainer.name == "tiny-wikipedia"
