"""`workbench bench`: tables for people, one JSON document for scripts."""

import json
import subprocess
import sys

import pytest

from workbench_app.cli import main

SMALL = ("--rows", "6", "--features", "40", "--width", "4", "--k", "2", "--memory-features", "0", "--rounds", "2")


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["workbench", *words])
    monkeypatch.delenv("WORKBENCH_DEBUG", raising=False)
    monkeypatch.setenv("WORKBENCH_QUIET", "")
    with pytest.raises(SystemExit) as stop:
        main()
    found = capsys.readouterr()
    return int(stop.value.code or 0), found.out, found.err


def test_json_is_the_result_and_nothing_else(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "bench", "kernels", "decode", *SMALL, "--features", "50", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["kind"] == "benchmark"
    assert data["params"]["features"] == [40, 50]
    assert data["params"]["rounds"] == 2
    assert {row["case"] for row in data["tables"]["kernels"]} >= {"decode", "embedding_bag"}


def test_tables_name_the_floor_and_notes_go_to_standard_error(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "bench", "kernels", "encode_topk", "decode", *SMALL)
    assert code == 0
    assert "encode_topk: 6 x 40, d 4, k 2, float32" in out
    assert "x bare product" in out
    assert "x copy of the bytes" in out
    assert "_linear_pointwise" in err
    assert "_linear_pointwise" not in out


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads_hold_pytorch_and_numba(threads: str):
    """In a process of its own: the numbers are read when the libraries load."""
    code = (
        "import sys; from workbench_app.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "import numba, torch\n"
        "print(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS, file=sys.stderr)"
    )
    words = ["--quiet", "--threads", threads, "bench", "kernels", "decode", *SMALL, "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=200)
    assert json.loads(done.stdout)["params"]["threads_used"] == int(threads)
    assert done.stderr.split()[-2:] == [threads, threads]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("kernels", "encode"), 2, "unknown operation 'encode'"),
        (("kernels", "--device", "tpu"), 2, "wanted the device"),
        (("kernels", "--rows", "0"), 2, "--rows"),
        (("kernels", "--rounds", "0"), 2, "rounds"),
        (("kernels", *SMALL, "--k", "41"), 2, "k 41 is more than the 40 features"),
    ],
)
def test_bad_input(monkeypatch, capsys, words, code, message):
    found, out, err = run(monkeypatch, capsys, "bench", *words)
    assert (found, out) == (code, ""), err
    assert message in err
    assert "Traceback" not in err
