"""What a user gets for bad input: one clear line on standard error, an exit code, and nothing on standard output."""

import json

import pytest

from workbench_app.cli import main

PLACES = ("--model", "planted-places", "--text", "synthetic-places:40", "--sequence-length", "24")


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """`workbench` in this process; returns exit code, standard output and standard error."""
    monkeypatch.setattr("sys.argv", ["workbench", *words])
    monkeypatch.delenv("WORKBENCH_DEBUG", raising=False)
    monkeypatch.setenv("WORKBENCH_QUIET", "")  # --quiet sets it; the patch takes it back
    with pytest.raises(SystemExit) as stop:
        main()
    found = capsys.readouterr()
    return int(stop.value.code or 0), found.out, found.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("models", "show", "planted-place"), 1, "did you mean planted-places"),
        (("models", "show", "smollm2-135m-instruct-q4", "--offline"), 1, "offline"),
        (("models", "show", "/no/such/folder"), 1, "no such file or folder"),
        (("models", "show", "planted-places", "--dtype", "float16"), 2, "float16"),
        (("text", "fetch", "wikipedia-smaple"), 1, "wikipedia-sample"),
        (("capture", "mlp_inn.0", *PLACES), 1, "mlp_in"),
        (("capture", "mlp_in.7", *PLACES), 1, "layer"),
        (("capture", "mlp_in.0", *PLACES, "--config", "/no/such.toml"), 2, "settings file"),
        (("train", *PLACES, "--family", "topk-sea"), 2, "topk-sae"),
        (("train", *PLACES, "--layers", "0-x"), 2, "cannot read the layers"),
        (("train", *PLACES, "--k", "9", "--d-sae", "4"), 2, "k 9 is more than the 4 features"),
        (("train", *PLACES, "--family", "relu-sae", "--k", "9"), 2, "'k' means nothing to relu-sae"),
        (("train", *PLACES, "--sites", "attn_z.0"), 2, "sites are for SAEs"),
        (("train", *PLACES, "--family", "topk-sae", "--sites", "attn_z.9"), 1, "no layer 9"),
        (("evaluate", "nothing"), 1, "nothing"),
        (("circuit", "trace", "a prompt", "-d", "nothing"), 1, "nothing"),
        (("circuit", "validate", "nothing"), 1, "nothing"),
        (("artifacts", "show", "graph", "x"), 1, "did you mean graphs"),
    ],
)
def test_bad_input_is_one_line(monkeypatch, capsys, words, code, message):
    found, out, err = run(monkeypatch, capsys, *words)
    lines = [line for line in err.splitlines() if line.startswith("workbench: ")]
    assert (found, out, len(lines)) == (code, "", 1), err
    assert message in lines[0]
    assert "Traceback" not in err


def test_capture_by_command_estimates_resumes_and_answers_in_json(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "capture", "resid_post.1", *PLACES, "--dry-run")
    assert (code, out) == (0, "")
    assert "rows" in err
    for _ in range(2):  # the second call finds the finished store
        code, out, _ = run(monkeypatch, capsys, "--quiet", "capture", "blocks.1.hook_resid_post", *PLACES, "--json")
        assert code == 0
        assert json.loads(out)["rows"] > 100


def test_quiet_shows_results_only(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "--quiet", "artifacts", "list", "--json")
    assert (code, json.loads(out), err) == (0, [], "")


def test_a_sweep_by_command_trains_heads_and_widths_side_by_side(monkeypatch, capsys):
    words = ("--family", "topk-sae", "--family", "batchtopk-sae", "--d-sae", "8", "--d-sae", "16", "--k", "2")
    where = ("--sites", "attn_z.0,attn_z.1.h0", "--name", "heads", "--steps", "3", "--probe-every-chunks", "100")
    code, out, err = run(monkeypatch, capsys, "--quiet", "train", *PLACES, *words, *where, "--json")
    assert code == 0, err
    records = json.loads(out)["dictionaries"]
    assert [record["dictionary"] for record in records[:2]] == [
        "attn_z.0-topk-sae-d_sae8",
        "attn_z.1.h0-topk-sae-d_sae8",
    ]
    assert len(records) == 8
    assert all({"loss_recovered", "fvu", "l0", "rows_per_second"} <= record.keys() for record in records)
