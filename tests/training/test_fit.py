"""fit: from planted rows to a trained set with its controls, and everything that may go wrong on the way."""

import json
import signal

import pytest
import torch

from training.planted_rows import MemoryRows, planted_rows
from workbench.core import ArtifactError, ConfigError, MaskPolicy, Silent, Site, write_bytes
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers, load_dictionaries
from workbench.training import TrainConfig, TrainingError, checkpoint, fit

CODER = CoderConfig(d_sae=64, k=4)
CONFIG = TrainConfig(batch_rows=64, initial_rows=1500, checkpoint_every_chunks=3, checkpoint_share=None)


def new(family: str = "topk-skip-transcoder", layers: int = 2) -> DictionarySet:
    return dictionaries_for_layers(family, range(layers), 16, CODER, "demo")


def fvu(dictionaries: DictionarySet, rows: MemoryRows) -> list[float]:
    with torch.no_grad():
        return [float(dictionary.loss(rows.data)["fvu"]) for dictionary in dictionaries.values()]


@pytest.fixture
def rows() -> MemoryRows:
    return planted_rows(rows=3000, passes=5)


def test_training_beats_its_start_and_the_affine_map(rows, tmp_path):
    trained = fit(new(), rows, tmp_path / "demo", CONFIG)
    best, start, affine = fvu(trained.dictionaries, rows), fvu(trained.initial, rows), fvu(trained.affine, rows)
    assert all(b < 0.75 * a and b < 0.75 * s for b, a, s in zip(best, affine, start, strict=True))
    assert not trained.partial
    for record, value in zip(trained.metrics, best, strict=True):
        assert record["fvu"] == pytest.approx(value, rel=0.2)
        assert record["l0"] == pytest.approx(4, abs=0.5)
        assert 0 <= record["dead_share"] <= 1


def test_the_folder_is_an_artifact_with_its_controls(rows, tmp_path):
    trained = fit(new(), rows, tmp_path / "demo", CONFIG)
    loaded = load_dictionaries(tmp_path / "demo")
    assert loaded.manifest is not None
    assert loaded.manifest.mask == MaskPolicy()
    assert loaded.manifest.model is not None
    assert loaded.manifest.model.id == "planted"
    assert loaded.manifest.config["lr"] == CONFIG.lr
    assert fvu(loaded, rows) == fvu(trained.dictionaries, rows)
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        *("mlp_in.0", "mlp_in.1", "initial", "affine", "metrics.jsonl", "manifest.json")
    }
    lines = [json.loads(line) for line in (tmp_path / "demo" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["chunk"], line["dictionary"]) for line in lines] == [
        (chunk, name) for chunk in range(rows.n_chunks) for name in ("mlp_in.0", "mlp_in.1")
    ]


def test_the_untrained_control_shares_the_affine_path(rows, tmp_path):
    trained = fit(new(), rows, tmp_path / "demo", CONFIG)
    for layer in (0, 1):
        start, affine = trained.initial.by_layer(layer), trained.affine.by_layer(layer)
        torch.testing.assert_close(start.W_skip, affine.W_skip)
        torch.testing.assert_close(start.b_dec, affine.b_dec, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["topk-sae", "topk-transcoder", "affine"])
def test_other_families_train_too(family, tmp_path):
    rows = planted_rows(layers=1, rows=2000)
    rows.data[Site("resid_post", 0)] = rows.data[Site("mlp_in", 0)]
    config = CODER if family != "affine" else None
    trained = fit(dictionaries_for_layers(family, [0], 16, config, "x"), rows, tmp_path / "x", CONFIG)
    assert fvu(trained.dictionaries, rows)[0] <= 1.001 * fvu(trained.initial, rows)[0]
    assert len(trained.affine) == (family != "topk-sae")


def test_outlier_rows_are_left_out_and_counted(tmp_path):
    clean, dirty = planted_rows(layers=1, rows=3000, passes=2), planted_rows(layers=1, rows=3000, passes=2)
    dirty.data[Site("mlp_out", 0)][::50] *= 1000
    kept, reached = (fit(new(layers=1), r, tmp_path / n, CONFIG) for r, n in ((dirty, "kept"), (clean, "clean")))
    assert kept.metrics[0]["dropped_share"] == pytest.approx(0.02, abs=1e-3)
    assert reached.metrics[0]["dropped_share"] == 0
    assert fvu(kept.dictionaries, clean)[0] < 1.2 * fvu(reached.dictionaries, clean)[0]
    with pytest.raises(TrainingError):
        fit(new(layers=1), dirty, tmp_path / "broken", CONFIG.model_copy(update={"outlier_factor": None}))


def test_steps_and_replays_bound_the_run(rows, tmp_path):
    config = CONFIG.model_copy(update={"steps": 13})
    assert fit(new(), rows, tmp_path / "short", config).metrics[0]["step"] == 13
    once = planted_rows(rows=1024, chunk_rows=512)
    assert fit(new(), once, tmp_path / "once", CONFIG).metrics[0]["step"] == 16
    thrice = CONFIG.model_copy(update={"replays": 3})
    assert fit(new(), once, tmp_path / "thrice", thrice).metrics[0]["step"] == 48


def test_same_seed_same_weights_other_seed_others(rows, tmp_path):
    def weights(name: str, seed: int) -> torch.Tensor:
        config = CONFIG.model_copy(update={"seed": seed, "steps": 10})
        return fit(new(), rows, tmp_path / name, config).dictionaries.by_layer(1).W_enc

    first, second, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_finished_run_is_opened_not_repeated(rows, tmp_path):
    fit(new(), rows, tmp_path / "demo", CONFIG)
    before = (tmp_path / "demo" / "manifest.json").stat().st_mtime_ns
    again = fit(new(), rows, tmp_path / "demo", CONFIG)
    assert (tmp_path / "demo" / "manifest.json").stat().st_mtime_ns == before
    assert again.dictionaries.by_layer(0).W_enc.abs().sum() > 0
    assert [record["dictionary"] for record in again.metrics] == ["mlp_in.0", "mlp_in.1"]


def test_a_folder_of_another_run_is_refused(rows, tmp_path):
    fit(new(), rows, tmp_path / "demo", CONFIG)
    with pytest.raises(ConfigError, match="belongs to another run. its settings differ"):
        fit(new(), rows, tmp_path / "demo", CONFIG.model_copy(update={"lr": 1e-3}))
    with pytest.raises(ConfigError, match="its dictionaries differ"):
        fit(new("topk-transcoder"), rows, tmp_path / "demo", CONFIG)
    with pytest.raises(ConfigError, match="its rows differ"):
        fit(new(), planted_rows(rows=2000), tmp_path / "demo", CONFIG)


def test_missing_sites_are_named(rows, tmp_path):
    with pytest.raises(ConfigError, match=r"missing mlp_in.2, mlp_out.2"):
        fit(new(layers=3), rows, tmp_path / "demo", CONFIG)


class CancelAfter(Silent):
    """Cancels when so many records have been seen."""

    def __init__(self, borders: int) -> None:
        self.left = borders

    def partial(self, value) -> None:
        self.left -= 1

    def cancelled(self) -> bool:
        return self.left <= 0


def test_cancelled_then_gone_on_with(rows, tmp_path):
    whole = fit(new(), rows, tmp_path / "whole", CONFIG)
    part = fit(new(), rows, tmp_path / "part", CONFIG, CancelAfter(4))
    assert part.partial
    assert part.metrics[0]["chunk"] == 3
    assert all(value < 1 for value in fvu(part.dictionaries, rows)), "the partial set is usable"
    part = fit(new(), rows, tmp_path / "part", CONFIG, CancelAfter(1))
    assert (part.partial, part.metrics[0]["chunk"]) == (True, 4)
    resumed = fit(new(), rows, tmp_path / "part", CONFIG)
    assert not resumed.partial
    for first, second in zip(whole.dictionaries.values(), resumed.dictionaries.values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


class NotANumber(MemoryRows):
    """Rows that are no numbers from a chunk on."""

    def chunk(self, number: int):
        found = super().chunk(number)
        if number >= 8:
            found.inputs[Site("mlp_in", 1)].fill_(float("nan"))
        return found


def test_a_diverging_run_stops_and_keeps_its_checkpoint(rows, tmp_path):
    broken = NotANumber(rows.data, rows.chunk_rows, rows.seed, rows.passes)
    with pytest.raises(TrainingError, match=r"mlp_in.1 diverged at step \d+. loss nan"):
        fit(new(), broken, tmp_path / "demo", CONFIG)
    (checkpoint,) = (tmp_path / "demo" / "checkpoints").iterdir()
    assert checkpoint.name == "00000006"
    assert not (tmp_path / "demo" / "manifest.json").exists()


def test_a_loss_that_explodes_stops(rows, tmp_path):
    wild = CONFIG.model_copy(update={"lr": 50.0, "warm_up": 0})
    with pytest.raises(TrainingError, match="try a lower lr"):
        fit(new(), rows, tmp_path / "demo", wild)


def test_control_c_stops_at_the_next_border(rows, tmp_path, request):
    class Impatient(Silent):
        def partial(self, value) -> None:
            if value[0]["chunk"] == 2:
                signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores the signal
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    part = fit(new(), rows, tmp_path / "demo", CONFIG, Impatient())
    assert part.partial
    assert part.metrics[0]["chunk"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not fit(new(), rows, tmp_path / "demo", CONFIG).partial


def test_a_full_disk_loses_nothing_that_was_written(rows, tmp_path, monkeypatch):
    written = 0

    def full(path, data) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise ArtifactError(f"cannot write {path}", found="No space left on device")
        write_bytes(path, data)

    whole = fit(new(), rows, tmp_path / "whole", CONFIG)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_bytes", full)
        with pytest.raises(ArtifactError, match="No space left"):
            fit(new(), rows, tmp_path / "demo", CONFIG)
    kept = checkpoint.latest_checkpoint(tmp_path / "demo")
    assert kept is not None
    assert kept.next_chunk == 3
    resumed = fit(new(), rows, tmp_path / "demo", CONFIG)
    for first, second in zip(whole.dictionaries.values(), resumed.dictionaries.values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
