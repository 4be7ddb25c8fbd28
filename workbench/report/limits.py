"""The limits that follow from the material itself: written by rule, never left to the author's memory."""

from collections.abc import Sequence

from workbench.core import CircuitGraph, Result
from workbench.figures import show

from .blocks import EvaluationBlock, GraphBlock, Limit, PromptsBlock, ValidationBlock

FROZEN = (
    "Attention patterns and normalisation scales are held at their observed values. What this graph finds is which "
    "MLP features matter under frozen attention; the moving of names, and of anything else, from one position to "
    "another lies in attention, which this graph does not explain."
)

SPLICED = {
    "ce_affine": "affine maps only",
    "ce_untrained": "untrained features",
    "ce_mean": "every MLP at its mean",
}


def find_limits(
    graph: CircuitGraph,
    pictured: GraphBlock,
    validated: ValidationBlock | None,
    prompts: PromptsBlock | None,
    evaluated: EvaluationBlock | None,
    results: Sequence[Result],
) -> tuple[Limit, ...]:
    """Every limit that applies, the most important first."""
    found = [
        Limit(title="Attention is frozen", text=FROZEN),
        _prompts(prompts),
        _validation(validated),
        _diverged(validated, prompts),
        _reconstruction(evaluated),
        _scores(pictured),
        _no_nodes(graph),
        _weights(graph),
        _left_out(pictured),
        _partial(graph, results),
        Limit(
            title="Top tokens are a reading, not a cause",
            text="The tokens beside a feature are its decoder row read through the unembedding: what it would write "
            "to the logits directly, not what later layers make of it. Contexts show where it fires, not why.",
        ),
    ]
    return tuple(limit for limit in found if limit is not None)


def _prompts(prompts: PromptsBlock | None) -> Limit:
    if prompts is None:
        text = "Everything here is about one prompt. A circuit that holds on one prompt may be an accident of it."
        return Limit(title="One prompt", text=text)
    tested = [row for row in prompts.rows if row.passed is not None]
    held = sum(bool(row.passed) for row in tested)
    text = (
        f"{len(prompts.rows)} prompts were tested; on {held} of {len(tested)} the measured change (attention frozen) "
        "lay within the stated share of the predicted one. The graph and the node table are those of the first."
    )
    return Limit(title=f"{len(prompts.rows)} prompts", text=text)


def _diverged(validated: ValidationBlock | None, prompts: PromptsBlock | None) -> Limit | None:
    """Runs without a finite number: the model left the range in which the frozen scales make sense."""
    rows = [row for block in (validated.groups if validated else (), prompts.rows if prompts else ()) for row in block]
    lost = [row for row in rows if row.predicted is not None and (row.frozen is None or row.free is None)]
    if not lost:
        return None
    text = (
        f"{len(lost)} group removals have no finite measurement and count as failures. With normalisation scales "
        "held, taking a feature out of a row of unusual norm can make gated MLPs grow without bound."
    )
    return Limit(title="Runs that diverged", text=text)


def _validation(validated: ValidationBlock | None) -> Limit | None:
    if validated is None:
        return Limit(title="Not validated", text="No intervention has tested this graph: it is a hypothesis.")
    failed = [row for row in validated.singles if row.checked.passed_free is False and row.set == "trained"]
    singles = [row for row in validated.singles if row.set == "trained"]
    parts = []
    if singles:
        parts.append(
            f"{len(failed)} of {len(singles)} single features miss their prediction when everything re-runs; "
            "they are listed with the rest."
        )
    rs = {row.set: row.values.get("r_frozen") for row in validated.agreement if row.band == "all"}
    if rs.get("trained") is not None and rs.get("untrained") is not None:
        parts.append(
            f"The correlation of single ablations (attention frozen) is {show(rs['trained'])} for trained and "
            f"{show(rs['untrained'])} for untrained features, so it cannot tell them apart: with frozen attention, any "
            "vector written late has a mostly direct effect. Group ablations beside their controls are the evidence."
        )
    else:
        parts.append(
            "A high correlation of single ablations is weak evidence: untrained features reach it as well, because "
            "late writes act directly. Group ablations beside their controls are the evidence."
        )
    return Limit(title="What the interventions show", text=" ".join(parts))


def _reconstruction(evaluated: EvaluationBlock | None) -> Limit | None:
    if evaluated is None:
        text = "The dictionaries were not evaluated on held-out text here."
        return Limit(title="Reconstruction not measured", text=text)
    numbers = evaluated.scalars
    parts = []
    fvu, affine = numbers.get("fvu_mean"), numbers.get("fvu_affine_mean")
    if fvu is not None:
        beside = f" (the best affine map: {show(affine)})" if affine is not None else ""
        parts.append(f"The dictionaries leave {show(fvu)} of the variance unexplained on average{beside}.")
    spliced, alone = numbers.get("ce_dictionary"), numbers.get("ce_model")
    if spliced is not None and alone is not None:
        controls = [f"{name} {show(numbers[key])}" for key, name in SPLICED.items() if numbers.get(key) is not None]
        beside = f"; for comparison, {', '.join(controls)}" if controls else ""
        parts.append(
            f"With every layer replaced, cross-entropy on held-out text is {show(spliced)} nats against {show(alone)}, "
            f"{show(spliced - alone)} more{beside}. On this prompt error nodes make up the difference exactly."
        )
    return Limit(title="Reconstruction error", text=" ".join(parts)) if parts else None


def _scores(pictured: GraphBlock) -> Limit | None:
    rows = [row for row in pictured.scores if row.scores.get("replacement") is not None]
    if not rows:
        return None
    own = rows[0].scores["replacement"]
    text = (
        f"{show(100 * (1 - (own or 0.0)))} % of the influence on the target enters through error nodes, which the "
        f"graph does not explain (1 − replacement score {show(own)}). "
    )
    controls = [f"{row.set} {show(row.scores['replacement'])}" for row in rows if not row.set.startswith("this graph")]
    if controls:
        text += f"The same score of controls: {', '.join(controls)}. "
    text += "A good score alone is no evidence: dictionaries that fail every intervention can score higher."
    if (effect := rows[0].scores.get("group_effect")) is not None:
        text += (
            f" The group effect, {show(effect)} here, is measured on the model: it ranks trained above untrained, "
            "shuffled and broken dictionaries where replacement and completeness do not."
        )
    return Limit(title="Graph scores", text=text)


def _no_nodes(graph: CircuitGraph) -> Limit | None:
    """Dictionaries whose units could not be nodes."""
    told = graph.manifest.details.get("no_nodes") or {}
    if not told:
        return None
    text = "; ".join(f"{name}: {reason}" for name, reason in sorted(told.items()))
    return Limit(title="Dictionaries that are no part of the graph", text=f"{text}. Their MLPs count as errors.")


def _weights(graph: CircuitGraph) -> Limit | None:
    model = graph.manifest.model
    if model is None:
        return None
    changed = [flag for flag in model.processing if "quant" in flag.lower()]
    if not changed:
        return None
    text = (
        f"The weights of {model.id} were {', '.join(changed)}: they are not those that were published, and what is "
        "said here is said of these weights."
    )
    return Limit(title="Quantised weights", text=text)


def _left_out(pictured: GraphBlock) -> Limit | None:
    stages = {counts.stage: counts for counts in pictured.counts}
    full, drawn = stages.get("full") or stages.get("pruned"), stages.get("drawn")
    if full is None or drawn is None:
        return None
    text = (
        f"The picture shows {show(sum(drawn.nodes.values()))} of {show(sum(full.nodes.values()))} nodes, those with "
        "the largest total effect, and only edges between them. Many small contributions are not drawn."
    )
    return Limit(title="The picture is a selection", text=text)


def _partial(graph: CircuitGraph, results: Sequence[Result]) -> Limit | None:
    parts = [result.kind for result in results if result.partial] + (["graph"] if graph.manifest.partial else [])
    if not parts:
        return None
    return Limit(title="Partial", text=f"Interrupted before it was complete: {', '.join(sorted(parts))}.")
