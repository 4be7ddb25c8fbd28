"""Light HTML: one self-contained file with no script at all, for screens light and dark and for paper."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from workbench.figures import FONT, MONO, SET_NAMES, legible, level, show, signed, strip_style, token_strip, visible

from .blocks import NodeRow, ScoreRow
from .report import Report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
SECTIONS = {
    "behaviour": "Behaviour",
    "validation": "Validation",
    "prompts": "Other prompts",
    "graph": "Graph",
    "nodes": "Nodes",
    "groups": "Groups",
    "evaluation": "Dictionaries",
    "limits": "Limits",
    "reproduce": "Reproduce",
    "appendix": "Appendix",
    "note": "Note",
}


def report_html(report: Report) -> str:
    """The whole report as one page; everything that came from outside is escaped."""
    return render_page(report, POLICY)


def render_page(
    report: Report, policy: str, figures: Mapping[str, Sequence[Markup]] | None = None, scripts: Sequence[Markup] = ()
) -> str:
    """The page under a content policy, with figures behind their sections and scripts at its end."""
    style = strip_style() + _templates().get_template("style.css").render(font=Markup(FONT), mono=Markup(MONO))
    return (
        _templates()
        .get_template("report.html")
        .render(
            report=report,
            header=report.block("header"),
            validation=report.block("validation"),
            blocks=[block for block in report.blocks if block.kind != "header"],
            sections=SECTIONS,
            policy=policy,
            style=Markup(style),
            figures=figures or {},
            scripts=scripts,
        )
    )


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("workbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "show": show,
        "signed": lambda value: "–" if value is None else signed(value),
        "amount": _amount,
        "percent": lambda value: "–" if value is None else f"{show(100 * value)} %",
        "token": visible,
        "legible": lambda text, limit=400: legible(str(text), limit),
        "safe_svg": Markup,
        "words": words,
        "plain_value": _plain_value,
    }
    environment.globals |= {
        "strip": token_strip,
        "set_names": SET_NAMES,
        "verdict": _verdict,
        "bar": _bar,
        "ranks": _ranks,
        "level_class": _level_class,
        "agreement_columns": lambda rows: [name for name in AGREEMENT if any(name in row.values for row in rows)],
        "layer_columns": lambda rows: [name for name in LAYER if any(name in row for row in rows)],
        "counted_kinds": lambda counts: list(dict.fromkeys(kind for row in counts for kind in row.nodes)),
        "score_names": score_names,
        "group_score_names": group_score_names,
        "largest_effect": _largest_effect,
    }
    return environment


def words(key: str) -> str:
    """A score's or a setting's name for people."""
    return SHORT.get(key, key.replace("_", " "))


SHORT = {
    "fvu_mean": "FVU (fraction of variance unexplained), mean over layers",
    "fvu_affine_mean": "FVU of the best affine map",
    "fvu_untrained_mean": "FVU of untrained dictionaries",
    "cosine_mean": "cosine of target and reconstruction",
    "l0_mean": "L0 (active features a token)",
    "dead_share_mean": "share of features that never fired",
    "dropped_share_mean": "share of outlier rows left out",
    "ce_model": "cross-entropy of the model (nats)",
    "ce_dictionary": "cross-entropy with every layer replaced",
    "ce_affine": "cross-entropy with affine maps only",
    "ce_untrained": "cross-entropy with untrained dictionaries",
    "ce_mean": "cross-entropy with every MLP at its mean",
    "ce_recovered_against_mean": "share of the loss recovered against the mean",
    "completeness_features": "completeness (features)",
    "group_effect": "group effect",
    "group_predicted": "group, predicted",
    "group_measured": "group, measured",
    "group_random": "random groups",
    "replacement_start_dropped": "replacement, start left out",
    "completeness_start_dropped": "completeness, start left out",
    "completeness_features_start_dropped": "completeness (features), start left out",
    "r_frozen": "r frozen",
    "r_free": "r free",
    "sign_frozen": "same sign frozen",
    "sign_free": "same sign free",
    "slope_frozen": "slope frozen",
    "slope_free": "slope free",
    "r_direct_frozen": "r of direct effect, frozen",
    "size_predicted": "mean |predicted|",
}
AGREEMENT = ("size_predicted", "r_frozen", "sign_frozen", "slope_frozen", "r_free", "sign_free", "slope_free")
AGREEMENT += ("r_direct_frozen",)
LAYER = ("layer", "site", "fvu", "fvu_low", "fvu_high", "fvu_affine", "fvu_untrained", "cosine", "l0", "dead_share")
LAYER += ("dropped_share", "rows")
GROUP_SCORES = ("group_effect", "group_predicted", "group_measured", "group_random")


def _plain_value(value: Any) -> str:
    """A setting for people: lists joined, mappings as key value pairs."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain_value(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(_plain_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _level_class(value: float | None, largest: float) -> str:
    step = level(value, largest) if value is not None else 0
    return f"{'p' if step > 0 else 'n'}{abs(step)}" if step else ""


def score_names(rows: Sequence[ScoreRow]) -> list[str]:
    """The scores worth a column; counts and the like stay in report.json."""
    stems = ("replacement", "completeness", "completeness_features")
    order = [*stems, *(f"{stem}_start_dropped" for stem in stems)]
    found = [name for name in order if any(name in row.scores for row in rows)]
    return [name for name in found if not _repeats(name, rows)]


def group_score_names(rows: Sequence[ScoreRow]) -> list[str]:
    """The group effect and its parts, where a row has them."""
    return [name for name in GROUP_SCORES if any(name in row.scores for row in rows)]


def _repeats(name: str, rows: Sequence[ScoreRow]) -> bool:
    """A score without the start that equals the score with it in every row says nothing new."""
    stem = name.removesuffix("_start_dropped")
    return stem != name and all(row.scores.get(name) == row.scores.get(stem) for row in rows)


def _amount(value: float | None, largest: float) -> str:
    """A signed number, 0 where it is rounding beside the largest."""
    if value is None:
        return ""
    return signed(value if abs(value) >= 1e-4 * largest else 0.0)


def _largest_effect(nodes: Sequence[NodeRow]) -> float:
    """The scale of the effect bars: features set it, the far larger effects of single tokens may fill it."""
    inner = [abs(node.effect or 0.0) for node in nodes if node.kind not in ("logit", "embed")]
    return max(inner, default=0.0) or max((abs(n.effect or 0.0) for n in nodes if n.kind != "logit"), default=0.0)


def _verdict(passed: bool | None) -> Markup:
    if passed is None:
        return Markup("")
    sign, name, said = ("✓", "ok", "passed") if passed else ("✗", "bad", "failed")
    return Markup('<b class="{}" title="{}">{}</b>').format(name, said, sign)


def _bar(value: float | None, largest: float) -> Markup:
    """A bar from the middle, right for positive and left for negative values."""
    if value is None or not largest:
        return Markup("")
    width = round(50 * min(abs(value) / largest, 1), 1)
    left = 50 if value >= 0 else round(50 - width, 1)
    name = ("up" if value >= 0 else "down") + (" over" if abs(value) > 1.001 * largest else "")
    return Markup('<span class="bar"><span class="{}" style="left:{}%;width:{}%"></span></span>').format(
        name, left, width
    )


def _ranks(report: Report) -> dict[str, int]:
    """Node id -> rank, for links from tables to the node list."""
    nodes = report.block("nodes")
    return {node.id: node.rank for node in nodes.nodes} if nodes else {}
