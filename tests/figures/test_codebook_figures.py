"""Figures of codebooks: what is drawn is what the tables say."""

import pytest

import workbench  # noqa: F401  (the hall names the renderers)
from workbench.core import Result

REPRODUCTION = Result(
    "codebook reproduction",
    tables={
        "models": [{"model": "<b>a", "million_tokens": 2.0, "floor": 1.0, "above_floor": 0.25}],
        "curves": [
            {"model": "<b>a", "million_tokens": 1.0, "loss": 1.5},
            {"model": "<b>a", "million_tokens": 2.0, "loss": 0.9},
        ],
        "codes": [
            {"model": "a", "least_recall": 0.01, "neurons": name, "code_precision": 0.9, "low": 0.8, "high": 0.95}
            | {"neuron_precision": 0.5, "neuron_low": 0.4, "neuron_high": 0.7}
            for name in ("attn_z and mlp_out", "and mlp_post, both signs")
        ],
        "purity": [
            {"model": "a", "kind": kind, "layer": layer, "states": 0.25, "pairs": 0.1 * layer, "used": 7}
            for layer in (1, 0)
            for kind in ("attn_z", "mlp_out")
        ],
        "interventions": [
            {"model": "a", "target": target, "patch": patch, "divergence": 0.4, "low": 0.3, "high": 0.6}
            for target in ("state", "state and digit")
            for patch in ("none", "all MLP")
        ],
    },
)


def test_curves_stand_above_the_floor_and_leave_out_what_is_below_it():
    curve, end = REPRODUCTION.fig().data
    assert (curve.x, curve.y) == ((1.0, 2.0), (0.5, None))
    assert (end.x, end.y) == ((2.0,), (0.25,))
    assert "<" not in curve.name


def test_codes_and_neurons_side_by_side_with_their_intervals():
    codes, neurons = REPRODUCTION.fig("code precision").data
    assert (codes.y, neurons.y) == ((0.9,), (0.5,))
    assert codes.error_y.arrayminus[0] == pytest.approx(0.1)
    assert neurons.error_y.array[0] == pytest.approx(0.2)


def test_purity_goes_by_layer_and_patches_by_target():
    attention, mlp = REPRODUCTION.fig("code purity").data
    assert mlp.x == (0, 1)
    assert mlp.y == pytest.approx((0.25, 0.35))
    assert (attention.line.dash, mlp.line.dash) == ("dot", "solid")
    state, pair = REPRODUCTION.fig("state patches").data
    assert state.x == pair.x == (0.4, 0.4)
    assert list(state.y[1]) == ["none", "all MLP"]


def test_training_draws_the_losses_as_levels():
    tables = {
        "training": [{"tokens": 5, "cross_entropy": 3.0}, {"tokens": 9}],
        "losses": [{"variant": "model", "ce": 2.5}],
    }
    fig = Result("codebook training", tables=tables).fig()
    assert fig.data[0].y == (3.0,)
    assert fig.data[1].y == (2.5, 2.5)
    assert fig.data[1].name == "held out, model: 2.500"


def test_steering_has_a_bar_for_every_protocol():
    row = {"success": 0.2, "success_low": 0.1, "success_high": 0.4, "codes": 8, "heldout_ce": 3.6, "sample_ce": 4.2}
    rows = [row | {"topic": topic, "protocol": p} for topic in ("war", "law") for p in ("unsteered", "one code")]
    plain, one = Result("code steering", tables={"steering": rows}).fig().data
    assert plain.x == one.x == ("war", "law")
    assert one.error_y.array[0] == pytest.approx(0.2)
    assert "3.60" in one.hovertext[0]


def test_codes_by_recall_topic_and_relation():
    found = {"unit": "code:a:mlp_out.1:3", "recall": 0.3, "precision": 0.9}
    tables = {"codes": [found | {"neuron": "mlp_out.0.n7", "neuron_precision": 0.4}, found]}
    codes, neurons = Result("code search", tables=tables).fig().data
    assert (len(codes.x), neurons.y) == (2, (0.4,))
    topics = [{"topic": t, "unit": "u", "elsewhere": 0.1, "activity": 0.5} for t in ("war", "law")]
    assert [trace.name for trace in Result("topic codes", tables={"codes": topics}).fig().data] == ["war", "law"]
    pairs = [{"unit": "u", "relation": r, "other": "o", "lift": 3.0, "count": 4} for r in ("with", "before")]
    assert [trace.x for trace in Result("code relations", tables={"relations": pairs}).fig().data] == [(3.0,), (3.0,)]


def test_continual_sets_the_ceiling_beside_each_method():
    row = {"accuracy": 0.7, "accuracy_low": 0.6, "accuracy_high": 0.8, "iid": 0.9, "iid_low": 0.9, "iid_high": 0.9}
    tasks, ceiling = Result("continual", tables={"final": [row | {"method": "probe"}]}).fig().data
    assert (tasks.y, ceiling.y) == ((0.7,), (0.9,))


def test_use_contexts_and_pairs_of_codes():
    rows = [{"group": group, "count": count} for group in (0, 1) for count in (5, 2)]
    assert [trace.y for trace in Result("code use", tables={"codes": rows}).fig().data] == [(5, 2), (5, 2)]
    (bars,) = Result("code contexts", tables={"positions": [{"position": 3, "count": 7}]}).fig().data
    assert (bars.x, bars.y) == ((3,), (7,))
    pairs = [{"first": "a", "second": second, "lift": lift} for second, lift in (("b", 4.0), ("c", 0.0))]
    assert list(Result("code lift", tables={"pairs": pairs}).fig().data[0].z[0]) == [2.0, -6.0]
