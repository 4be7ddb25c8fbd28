"""SAEBench's core result: its keys, its conventions, our figures."""

import json

import pytest

from workbench.core import ConfigError, Result
from workbench.exchange import write_saebench

CORE = {
    "model_behavior_preservation": {"kl_div_score", "kl_div_with_ablation", "kl_div_with_sae"},
    "model_performance_preservation": {
        "ce_loss_score",
        "ce_loss_with_ablation",
        "ce_loss_with_sae",
        "ce_loss_without_sae",
    },
    "reconstruction_quality": {"explained_variance", "explained_variance_legacy", "mse", "cossim"},
    "shrinkage": {"l2_norm_in", "l2_norm_out", "l2_ratio", "relative_reconstruction_bias"},
    "sparsity": {"l0", "l1"},
    "token_stats": {"total_tokens_eval_reconstruction", "total_tokens_eval_sparsity_variance"},
}
TOP = {
    "eval_type_id",
    "eval_config",
    "eval_id",
    "datetime_epoch_millis",
    "eval_result_metrics",
    "eval_result_details",
    "sae_bench_commit_hash",
    "sae_lens_id",
    "sae_lens_release_id",
    "sae_lens_version",
    "sae_cfg_dict",
    "eval_result_unstructured",
}


def result(layers: int = 1) -> Result:
    rows = [
        {
            "layer": n,
            "site": f"mlp_out.{n}",
            "dictionary": f"mine/mlp_in.{n}",
            "family": "topk-transcoder",
            "width": 64,
            "rows": 900,
            "fvu": 0.25,
            "mse": 0.5,
            "cosine": 0.8,
            "shrinkage": 1.25,
            "norm_ratio": 0.7,
            "l0": 12.5,
            "dead_share": 0.125,
            "dense_share": 0.03,
        }
        for n in range(layers)
    ]
    splice = [
        {"variant": "model", "layer": None, "ce": 3.0, "kl": 0.0, "n": 800},
        {"variant": "dictionary", "layer": None, "ce": 3.5, "kl": 0.4, "n": 800},
        {"variant": "dictionary", "layer": 1, "ce": 3.2, "kl": 0.1, "n": 800},
        {"variant": "zero", "layer": None, "ce": 5.0, "kl": 2.0, "n": 800},
    ]
    return Result(
        "evaluation", tables={"layers": rows, "splice": splice}, params={"dense_above": 0.1}, notes=("masked",)
    )


def read(path):
    return json.loads(path.read_text())


def test_one_dictionary(tmp_path):
    (path,) = write_saebench(result(), tmp_path, "mine", model="gpt2", made="2026-01-02T03:04:05+00:00")
    assert path.name == "mine_mlp_in.0_eval_results.json"
    found = read(path)
    metrics = found["eval_result_metrics"]
    assert set(found) == TOP
    for category, names in CORE.items():
        assert names <= set(metrics[category]), category
        assert all(isinstance(value, int | float) for value in metrics[category].values())
    assert found["eval_type_id"] == "core"
    assert found["eval_config"]["model_name"] == "gpt2"
    assert found["datetime_epoch_millis"] == 1767323045000
    assert metrics["model_performance_preservation"]["ce_loss_score"] == pytest.approx((5.0 - 3.5) / (5.0 - 3.0))
    assert metrics["model_behavior_preservation"]["kl_div_score"] == pytest.approx((2.0 - 0.4) / 2.0)
    assert metrics["reconstruction_quality"]["explained_variance"] == 0.75
    assert metrics["shrinkage"]["relative_reconstruction_bias"] == 0.8
    assert metrics["sparsity"] == {"l0": 12.5, "l1": -1}
    assert metrics["misc"]["frac_alive"] == 0.875
    assert metrics["misc"]["freq_over_10_percent"] == 0.03
    assert metrics["misc"]["freq_over_1_percent"] == -1
    assert found["sae_cfg_dict"]["d_sae"] == 64


def test_of_several_each_is_judged_where_it_was_spliced_alone(tmp_path):
    first, second = (read(path) for path in write_saebench(result(2), tmp_path, "set"))
    score = "model_performance_preservation"
    assert first["eval_result_metrics"][score]["ce_loss_with_sae"] == -1
    assert second["eval_result_metrics"][score]["ce_loss_with_sae"] == 3.2
    assert second["eval_result_metrics"][score]["ce_loss_score"] == -1
    assert first["eval_id"] != second["eval_id"]


def test_figures_that_are_missing_are_minus_one(tmp_path):
    bare = Result(
        "evaluation", tables={"layers": [{"layer": 0, "site": "mlp_out.0", "dictionary": "", "fvu": float("nan")}]}
    )
    (path,) = write_saebench(bare, tmp_path, "bare")
    values = [value for group in read(path)["eval_result_metrics"].values() for value in group.values()]
    assert set(values) <= {-1, 0}


def test_other_results_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="made from an evaluation; found a bench"):
        write_saebench(Result("bench"), tmp_path, "x")
