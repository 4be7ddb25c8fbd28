"""Steering on the planted model: edits do what they say, controls do not, and everything survives JSON."""

import pytest
import torch

from workbench.core import ConfigError, Edit, Site
from workbench.dictionaries import Codebook, CodebookConfig, DictionarySet
from workbench.features import (
    Bench,
    SteerConfig,
    SteeringEdit,
    dose_curve,
    edits_from_json,
    edits_to_json,
    edits_to_python,
    repetition,
    steer,
    unit_of,
)
from workbench.features.steer_edits import Steering

from .bench import ANSWER, PLANTED, planted_bench

PROMPT = "a small cat went to east timor and the"
QUICK = SteerConfig(new_tokens=4, temperature=0, random_directions=2, strengths=(-1.0, 0.0, 1.0))


class Stop:
    """A Progress that cancels after some work."""

    def __init__(self, after: int) -> None:
        self.left, self.shown = after, []

    def phase(self, name, total=None, unit=""): ...

    def advance(self, amount=1):
        self.left -= 1

    def partial(self, value):
        self.shown.append(value)

    def cancelled(self):
        return self.left <= 0


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return planted_bench(tmp_path_factory.mktemp("steer"))


@pytest.fixture(scope="module")
def edit(subject):
    bench, _ = subject
    return SteeringEdit(unit=str(unit_of(bench.dictionaries, "mlp_in.1", PLANTED)), strength=6.0)


def test_steering_towards_a_planted_answer_makes_it_more_likely_and_random_directions_do_not(subject, edit):
    bench, found = subject
    result = steer(bench, PROMPT, [edit], QUICK, found)
    row = max(result.tables["next_tokens"], key=lambda row: row["log_ratio"])
    assert row["token"].strip() == ANSWER
    assert row["edited"] > 5 * row["unedited"]
    conditions = [run["condition"] for run in result.tables["runs"]]
    assert conditions == ["unedited", "edited", "wrong sign", "random direction", "random direction"]
    assert result.tables["runs"][0]["kl"] == 0
    assert not result.partial


def test_kl_and_next_tokens_are_those_of_two_plain_runs(subject, edit):
    bench, found = subject
    result = steer(bench, PROMPT, [edit], SteerConfig(new_tokens=0, random_directions=0, wrong_sign=False), found)
    tokens = bench.model.tokens(PROMPT)
    row = bench.dictionaries["mlp_in.1"].W_dec[PLANTED]
    later = torch.arange(bench.model.shape.n_ctx) > 0
    sigma = Steering(bench, PROMPT, [edit], found).sigma(0)
    with torch.no_grad():
        plain = bench.model.run(tokens).logits[0].log_softmax(-1)
        moved = bench.model.run(tokens, [Edit.add("mlp_out.1", 6.0 * sigma * row, later)]).logits[0].log_softmax(-1)
    kl = (plain.exp() * (plain - moved)).sum(-1)
    got = torch.tensor([r["kl"] for r in result.tables["kl"] if r["condition"] == "edited"])
    torch.testing.assert_close(got, kl, atol=1e-4, rtol=1e-3)
    for r in result.tables["next_tokens"]:
        assert r["edited"] == pytest.approx(float(moved[-1, r["id"]].exp()), abs=1e-5)


def test_clamping_and_ablating_set_the_value_that_is_decoded(subject, edit):
    bench, found = subject
    site, tokens = Site("mlp_out", 1), bench.model.tokens(PROMPT)
    sigma = Steering(bench, PROMPT, [edit], found).sigma(0)
    member = bench.dictionaries["mlp_in.1"]
    rows = bench.model.capture(tokens, [Site("mlp_in", 1), site])
    value = member.encode({s: x.flatten(0, 1) for s, x in rows.items()}).dense()[:, PLANTED]
    for operation, wanted in (
        ("clamp", torch.full_like(value, 2 * sigma)),
        ("ablate", value * 0),
        ("scale", value * 2),
    ):
        one = edit.model_copy(update={"operation": operation, "strength": 2.0})
        made = Steering(bench, PROMPT, [one], found).in_force()
        after = bench.model.capture(tokens, [site], made)[site][0]
        expected = rows[site][0] + (wanted - value)[:, None] * member.W_dec[PLANTED]
        expected[0] = rows[site][0, 0]
        torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)


def test_random_directions_are_as_long_and_drawn_by_seed(subject, edit):
    bench, found = subject
    steering = Steering(bench, PROMPT, [edit], found)
    (own,), (one,), (other,), (again,) = (steering.in_force(random=seed) for seed in (None, 1, 2, 1))
    assert float(one.value.norm()) == pytest.approx(float(own.value.norm()), rel=1e-5)
    assert not torch.allclose(one.value, other.value)
    torch.testing.assert_close(one.value, again.value)
    assert abs(float(torch.cosine_similarity(own.value, one.value, dim=0))) < 0.3


@pytest.mark.parametrize(
    ("positions", "first", "last"),
    [("all", 1, 255), ("prompt", 1, 9), ("last", 9, 9), ("generated", 10, 255), ("4", 4, 4), ("4-", 4, 255),
     ("after:east timor", 8, 255)],
)  # fmt: skip
def test_positions_are_what_the_rule_says(subject, edit, positions, first, last):
    bench, found = subject
    steering = Steering(bench, PROMPT, [edit], found)
    assert len(steering.tokens) == 10
    chosen = steering.rows(positions).nonzero()[:, 0].tolist()
    assert chosen[0] == first
    assert chosen[-1] == min(last, bench.model.shape.n_ctx - 1)
    assert len(chosen) == chosen[-1] - first + 1


def test_positions_that_are_none_are_told(subject, edit):
    bench, found = subject
    with pytest.raises(ConfigError, match="not in the prompt"):
        Steering(bench, PROMPT, [edit], found).rows("after:paris")
    with pytest.raises(ConfigError, match="unknown positions"):
        Steering(bench, PROMPT, [edit], found).rows("-3")


def test_a_direction_is_ablated_and_clamped(subject):
    bench, _ = subject
    site, tokens = Site("resid_post", 0), bench.model.tokens(PROMPT)
    direction = torch.randn(256, generator=torch.Generator().manual_seed(0))
    unit = direction / direction.norm()
    base = SteeringEdit(site=str(site), direction=tuple(direction.tolist()), strength=2.0)
    sigma = Steering(bench, PROMPT, [base]).sigma(0)
    for operation, wanted in (("ablate", 0.0), ("clamp", 2 * sigma)):
        made = Steering(bench, PROMPT, [base.model_copy(update={"operation": operation})]).in_force()
        after = bench.model.capture(tokens, [site], made)[site][0, 1:]
        torch.testing.assert_close(after @ unit, torch.full((len(after),), wanted), atol=1e-3, rtol=1e-3)


def test_a_dose_curve_rises_with_the_dose_and_a_cancelled_one_is_partial(subject, edit):
    bench, found = subject
    result = dose_curve(bench, PROMPT, [edit], None, QUICK, found)
    assert result.params["target"].strip() == ANSWER
    mine = [row["target_probability"] for row in result.tables["doses"] if row["condition"] == "edited"]
    assert mine == sorted(mine)
    assert len(result.tables["doses"]) == 3 + 2 * 2
    stop = Stop(after=2)
    part = dose_curve(bench, PROMPT, [edit], f" {ANSWER}", QUICK, found, stop)
    assert part.partial
    assert part.tables["doses"] == result.tables["doses"][:2]
    assert len(stop.shown) == 2


def test_edits_survive_json_and_name_themselves(edit):
    both = [edit, SteeringEdit(site="resid_post.1", direction=(0.5, -1.0), operation="ablate", name="probe")]
    assert edits_from_json(edits_to_json(both)) == both
    assert "steer(bench, 'x'" in edits_to_python(both, "x", "t", "planted-places", 3)
    compile(edits_to_python(both, "x", "t", "planted-places", 3), "made", "exec")
    for broken in ("{", "[]", '{"edits": 3}', '{"edits": [{}]}', '{"edits": [{"unit": "a", "operation": "eval"}]}'):
        with pytest.raises(ConfigError):
            edits_from_json(broken)


def test_repetition_counts_3_grams_met_before():
    assert repetition([1, 2, 3, 4, 5]) == 0
    assert repetition([1, 2, 3, 1, 2, 3]) == 1 / 4
    assert repetition([1, 2]) == 0


def test_the_wrong_sign_of_a_code_is_the_code_negated(subject):
    model, site = subject[0].model, Site("mlp_out", 1)
    size = {site: model.shape.row_size(site)}
    book = Codebook(CodebookConfig(codes=8, k=1, initial="rows"), size, size, f"t/{site}")
    book.initialise_in_model(model.capture(model.tokens(PROMPT), [site])[site].flatten(0, 1), 0)
    bench = Bench(model, DictionarySet({str(site): book}, "t"))
    unit = unit_of(bench.dictionaries, str(site), 5)
    result = steer(bench, PROMPT, [SteeringEdit(unit=str(unit))], SteerConfig(new_tokens=0, random_directions=1))
    assert [run["condition"] for run in result.tables["runs"]] == [
        "unedited", "edited", "wrong sign", "random direction",
    ]  # fmt: skip
    steering = Steering(bench, PROMPT, [SteeringEdit(unit=str(unit))])
    put, negated = (
        model.capture(model.tokens(PROMPT), [site], steering.in_force(factor))[site][0, 1:] for factor in (1.0, -1.0)
    )
    torch.testing.assert_close(put, -negated)
    out = SteeringEdit(unit=str(unit), operation="ablate")
    doubled = model.capture(model.tokens(PROMPT), [site], Steering(bench, PROMPT, [out]).in_force(-1.0))[site]
    plain = model.run(model.tokens(PROMPT), bench.in_force(), sites=[site])
    there = (plain.codes[book.name].index == 5).any(1)
    there[0] = False
    torch.testing.assert_close(doubled[0][there], 2 * plain.activations[site][0][there])
