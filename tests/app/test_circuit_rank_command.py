"""`workbench circuit ledger` and `heads`: the tables of a saved graph, and what cannot be told of one."""

import json

import pytest
import torch

from workbench.circuits import Target, trace
from workbench.models import load_model
from workbench.workspace import Workspace
from workbench_app.cli import main

from .samples import sample_graph


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["workbench", *words])
    monkeypatch.delenv("WORKBENCH_DEBUG", raising=False)
    with pytest.raises(SystemExit) as stop:
        main()
    found = capsys.readouterr()
    return int(stop.value.code or 0), found.out, found.err


def test_the_ledger_of_a_traced_graph(monkeypatch, capsys, tmp_path):
    from workbench.dictionaries import CoderConfig, dictionaries_for_layers

    model = load_model("planted-places")
    draw = torch.Generator().manual_seed(0)
    dictionaries = dictionaries_for_layers("topk-transcoder", range(2), model.shape.d_model, CoderConfig(d_sae=16, k=2))
    for dictionary in dictionaries.values():
        for parameter in dictionary.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draw)
    words = "the man from north korea said the capital"
    ids = [model.tokenizer.encode(word)[0] for word in ("cap-north-korea", "cap-south-korea")]
    graph = trace(model, dictionaries, model.tokens(words), Target.difference(*ids))
    place = Workspace(tmp_path)
    graph.save(place.path_of("graphs", "mine"))
    code, out, _ = run(monkeypatch, capsys, "circuit", "ledger", "mine", "--workspace", str(tmp_path), "--json")
    assert code == 0
    data = json.loads(out)
    assert sum(data["scalars"].values()) == pytest.approx(1)
    assert [row["layer"] for row in data["tables"]["layers"]] == [0, 1]
    code, out, err = run(monkeypatch, capsys, "circuit", "ledger", "mine", "--workspace", str(tmp_path))
    assert code == 0
    assert "unexpanded" in out + err


def test_a_graph_without_a_ledger_says_so(monkeypatch, capsys, tmp_path):
    place = Workspace(tmp_path)
    sample_graph().save(place.path_of("graphs", "plain"))
    code, _, err = run(monkeypatch, capsys, "circuit", "ledger", "plain", "--workspace", str(tmp_path))
    assert code == 2
    assert "no error ledger" in err
