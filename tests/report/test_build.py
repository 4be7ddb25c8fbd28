from dataclasses import replace

import pytest
import sample_study as study

from workbench.core import Result
from workbench.report import ReportConfig, circuit_report, report_html, report_markdown
from workbench.report.measured import agrees

CREATED = ReportConfig(created="2026-01-02T03:04:05+00:00")


@pytest.mark.parametrize(
    ("predicted", "measured", "verdict"),
    [(-1.0, -0.8, True), (-1.0, -0.7, False), (-1.0, 0.9, False), (1.0, 1.25, True), (None, 1.0, None)],
)
def test_a_prediction_passes_within_its_tolerance(predicted, measured, verdict):
    assert agrees(predicted, measured, 0.25) is verdict
    assert agrees(predicted, None, 0.25) is agrees(float("nan"), measured, 0.25) is None


def test_a_run_that_diverged_failed():
    assert agrees(-1.0, float("nan"), 0.25) is False
    assert agrees(0.001, 0.001, 0.25, floor=0.01) is None
    assert agrees(0.001, 0.5, 0.25, floor=0.01) is False


def test_the_finding_tells_the_numbers_of_the_smallest_group(report):
    finding = report.block("header").finding
    for number in ("3.72", "1.78", "2.28", "1.73", "3.00"):
        assert number in finding
    assert [tile.value for tile in report.block("header").headlines[:4]] == pytest.approx([3.7216, 1.73, 1.78, 2.28])


def test_groups_carry_verdicts_and_random_groups_a_spread(report):
    rows = {(row.set, row.n): row for row in report.block("validation").groups}
    assert len(rows) == 9
    assert rows["trained", 10].passed_frozen is True
    assert rows["trained", 10].passed_free is False
    assert rows["random", 10].passed_frozen is None
    assert rows["random", 10].seeds == 5
    assert rows["random", 10].sd_frozen > 0


def test_every_single_ablation_is_kept_failures_included(report):
    singles = report.block("validation").singles
    assert len(singles) == 180
    verdicts = {single.checked.passed_free for single in singles if single.set == "trained"}
    assert verdicts == {True, False}
    one = next(single for single in singles if single.set == "trained")
    node = next(row for row in report.block("nodes").nodes if row.id == one.node)
    assert node.checked == one.checked


def test_agreement_comes_from_the_bands_or_from_the_rows(report, make_report):
    bands = report.block("validation").agreement
    assert bands[0].band == "all"
    assert bands[0].values["r_frozen"] == 0.92
    graph = study.graph()
    made = study.validation(graph)
    bare = replace(made, tables={"single": made.tables["single"]})
    found = make_report(validation=bare).block("validation").agreement
    assert {row.set for row in found} == {"trained", "random", "untrained"}
    assert found[0].values["r_frozen"] > 0.9


def test_exact_checks_are_judged_and_a_nan_fails(report, make_report):
    exact = {row.name: row for row in report.block("validation").exact}
    assert exact["direct effect"].passed
    assert exact["direct effect"].n == 50
    assert exact["sum rule"].passed
    assert exact["edges pulled anew"].passed is False
    broken = make_report(sum_check=Result("sum_check", {"worst_ratio": float("nan")}))
    assert broken.block("validation").exact[-1].passed is False


def test_counts_before_pruning_come_from_the_scores(report):
    full, pruned, drawn = report.block("graph").counts
    assert full.nodes == {"embed": 15, "error": 450, "feature": 13440, "logit": 1}
    assert sum(full.nodes.values()) == 13906
    assert sum(pruned.nodes.values()) == 286
    assert sum(drawn.nodes.values()) == len(report.block("nodes").nodes)


def test_features_are_named_by_what_they_promote_unless_they_have_a_label(make_report):
    graph = study.graph()
    unit = str(graph.nodes[graph.top(1)[0]].unit)
    told = study.contexts(graph)
    told = replace(
        told, tables={**told.tables, "units": [{"unit": unit, "label": "women", "label_source": "a person"}]}
    )
    rows = {row.unit: row for row in make_report(contexts=told).block("nodes").nodes}
    assert (rows[unit].label, rows[unit].label_source) == ("women", "a person")
    other = next(row for row in rows.values() if row.unit and row.unit != unit)
    assert other.label_source == "top promoted tokens"
    assert other.label == " ".join(token.strip() for token, _ in other.promoted[:3])


def test_long_contexts_are_cut_around_their_peak(make_report):
    graph = study.graph()
    unit = str(graph.nodes[graph.top(1)[0]].unit)
    tokens, values = [f" {i}" for i in range(128)], [0.0] * 128
    values[100] = 3.0
    row = {"unit": unit, "rank": 0, "activation": 3.0, "document": "d", "tokens": tokens, "values": values, "peak": 100}
    made = make_report(contexts=Result("contexts", tables={"contexts": [row]}))
    context = next(node for node in made.block("nodes").nodes if node.unit == unit).contexts[0]
    assert len(context.tokens) == 25
    assert context.tokens[context.peak] == " 100"
    assert context.values[context.peak] == 3.0


def test_limits_say_what_applies(report):
    limits = {limit.title: limit.text for limit in report.block("limits").limits}
    assert "under frozen attention" in limits["Attention is frozen"]
    assert "Q4_1" in limits["Quantised weights"]
    assert "0.311" in limits["Reconstruction error"]
    assert "6.16" in limits["Reconstruction error"]
    assert "affine only 0.470" in limits["Graph scores"]
    assert "44.0 %" in limits["Graph scores"]
    assert "cannot tell them apart" in limits["What the interventions show"]
    assert "2 prompts" in limits
    assert report.block("limits").author_notes == "One seed."


def test_a_bare_graph_makes_an_honest_report():
    made = circuit_report(study.graph(), config=CREATED)
    titles = {limit.title for limit in made.block("limits").limits}
    assert {"One prompt", "Not validated", "Reconstruction not measured"} <= titles
    assert "hypothesis" in made.block("header").finding
    assert made.block("validation") is None


def test_features_that_carry_nothing_are_said_to_carry_nothing(make_report):
    graph = study.graph()
    start = graph.metric_value
    same = {"predicted": start, "frozen": start, "free": start}
    rows = [{"set": name, "n": 1, "seed": 0, **same} for name in ("trained", "untrained")]
    still = Result("validation", {"metric_value": start}, {"groups": rows})
    made = make_report(validation=still)
    assert "carry next to none of it" in made.block("header").finding
    assert made.block("validation").groups[0].passed_frozen is None
    assert made.block("prompts").rows[0].beats_untrained is None


def test_titles_leave_special_tokens_out(make_report):
    graph = study.graph()
    made = make_report(graph=replace(graph, tokens=("<bos>", *graph.tokens[1:])))
    assert made.block("header").title.startswith("“When Mary")


def test_an_evaluation_without_numbers_draws_nothing(make_report):
    rows = [{"layer": layer, "fvu": float("nan")} for layer in range(3)]
    made = make_report(evaluation=Result("evaluation", tables={"layers": rows}))
    assert made.block("evaluation").picture == ""


def test_partial_material_flags_the_report(make_report):
    graph = study.graph()
    made = make_report(validation=replace(study.validation(graph), partial=True))
    assert made.block("header").partial
    assert any(limit.title == "Partial" for limit in made.block("limits").limits)


def test_reproduce_names_everything(report):
    told = report.block("reproduce")
    assert told.token_ids == study.IDS
    assert told.model.weight_hash == "ab12" * 16
    assert told.settings["prune"]["node_share"] == 0.8
    assert told.command == "workbench demo"
    assert told.seeds == {"trace": 0, "validation": 0}
    assert told.graph_hash
    licences = {row.of: row.licence for row in report.block("appendix").licences}
    assert licences == {"model": "Apache-2.0", "text": "CC BY-SA 3.0"}


def test_the_dictionary_manifest_gives_family_width_and_sites(make_report):
    members = [["topk-skip-transcoder", f"mlp_in.{i}", {"d_sae": 2048, "k": 32}, "float32"] for i in range(30)]
    manifest = study.manifest("dictionary set").model_copy(update={"details": {"run": {"dictionaries": members}}})
    used = make_report(dictionaries=manifest).block("reproduce").dictionaries[0]
    assert (used.family, used.width, used.k) == ("topk-skip-transcoder", 2048, 32)
    assert used.reads == "mlp_in.0 to mlp_in.29"


def test_each_prompt_gets_a_verdict(report):
    rows = report.block("prompts").rows
    assert [row.note for row in rows] == ["", "two women"]
    assert rows[0].passed is True
    assert rows[0].beats_untrained is True
    assert rows[0].untrained_frozen == pytest.approx(3.0)


def test_sizes_of_removals_stand_beside_directions_of_the_same_norm(report, make_report):
    graph = study.graph()
    validation = study.validation(graph)
    validation.tables["directions"] = [
        {"set": "directions", "node": "n", "predicted": 0.2, "frozen": -0.4, "free": float("nan")},
        {"set": "directions", "node": "m", "predicted": -0.4, "frozen": 0.1, "free": 0.3},
    ]
    sizes = {row.set: row for row in make_report(graph=graph, validation=validation).block("validation").sizes}
    assert (sizes["directions"].predicted, sizes["directions"].frozen) == pytest.approx((0.3, 0.25))
    assert (sizes["directions"].free, sizes["directions"].n) == (0.3, 2)
    singles = [row.checked for row in report.block("validation").singles if row.set == "trained"]
    assert sizes["trained"].frozen == pytest.approx(sum(abs(row.frozen) for row in singles) / len(singles))


def test_the_group_effect_stands_beside_the_other_scores_in_every_form(make_report):
    graph = study.graph()
    graph = replace(graph, scores={**graph.scores, "group_effect": 0.4567, "group_random": 0.0123})
    made = make_report(graph=graph, controls={"untrained": {"replacement": 0.5, "group_effect": 0.1234}})
    for text in (report_html(made), report_markdown(made)):
        assert "group effect" in text
        assert "0.457" in text
        assert "0.123" in text
    assert "0.457" in next(limit.text for limit in made.block("limits").limits if limit.title == "Graph scores")
    assert "<h3>Group effect</h3>" in report_html(made)
    assert "Group effect" not in report_html(make_report())


def test_dictionaries_that_are_no_nodes_are_among_the_limits(make_report):
    graph = study.graph()
    details = {**graph.manifest.details, "no_nodes": {"mlp_out.3": "codes are no nodes: it has no linear reader"}}
    manifest = graph.manifest.model_copy(update={"details": details})
    limits = make_report(graph=replace(graph, manifest=manifest)).block("limits").limits
    assert any("mlp_out.3: codes are no nodes" in limit.text for limit in limits)


def test_an_author_s_finding_is_recorded_to_be_kept(make_report, config):
    own = make_report(config.model_copy(update={"finding": "Mine."}))
    assert own.block("header").finding == "Mine."
    assert own.block("reproduce").settings["report"]["finding"] == "Mine."
    assert "finding" not in make_report().block("reproduce").settings["report"]
