"""`reproduce codebooks`: Codebook Features (Tamkin, Taufeeque, Goodman 2023) on the automaton, ours beside theirs."""

from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core import ConfigError, Progress, Result, register
from workbench.evaluation import (
    AutomatonEvalConfig,
    AutomatonSubject,
    BestCode,
    automaton_quality,
    best_codes,
    code_sample,
    count_codes,
    mean_precision,
    patch_states,
    purity,
    with_neurons,
)

from .automaton import train_automaton
from .automaton_artifact import open_run, save_run, shipped_run
from .automaton_runs import AutomatonRun, automaton_run, automaton_runs
from .reproduce_config import ReproduceConfig
from .reproduce_summary import Compared, summary


class Published(NamedTuple):
    """A row of the paper's Table 1: loss, next-token accuracy and state accuracy in per cent."""

    loss: float
    accuracy: float
    states: float


TABLE_1 = {
    "no codebook": Published(1.179, 46.36, 96.77),
    "attn only, k=1, C=2k": Published(1.180, 46.33, 96.39),
    "attn+MLP, k=1, C=10k": Published(1.269, 45.27, 63.65),
    "attn+MLP, k=4, C=20k": Published(1.192, 46.20, 80.69),
    "attn+MLP, k=16, C=20k": Published(1.183, 46.32, 91.53),
}
CODE_PRECISION, NEURON_PRECISION = 97.1, 70.5
"""Per cent, of the paper's analysed model (attention and MLP, k 1, C 10,000)."""


@register("reproduction", "codebooks")
def reproduce_codebooks(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """Loss against the exact floor, state accuracy, precision of codes and neurons, purity, interventions."""
    chosen, scratch = _chosen(config), config.from_scratch
    where, settings = None, AutomatonEvalConfig()
    if scratch:
        where, chosen = _train(chosen, folder, config, progress)
    progress.phase("measure", total=len(chosen), unit="models")
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("models", "codes", "purity", "interventions", "curves")
    }
    partial, judged = False, []
    for run in chosen:
        if progress.cancelled():
            partial = True
            break
        subject, details = open_run(run.name, where)
        tables["models"].append(_model_row(run, subject, details, settings))
        tables["curves"] += _curve_rows(run, details)
        if not run.is_plain:
            judged += _judge(run, subject, settings, tables)
        progress.advance()
    for plain in dict.fromkeys(found.run.plain for found in judged):
        mine = [found for found in judged if found.run.plain == plain]
        tables["codes"] += _code_rows(mine, open_run(plain, where)[0], settings)
    tables = {"summary": _summary(tables["models"], tables["codes"]), **tables}
    return Result(
        "codebook reproduction", tables=tables, notes=_NOTES, seed=0, partial=partial, params={"name": "codebooks"}
    )


def _summary(models: list[dict[str, Any]], codes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Legal transitions of every model that the paper has too, and its codes beside neurons."""
    lines, paper = [], "Codebook Features (Tamkin et al. 2023)"
    for row in models:
        if row["paper_row"]:
            differs = f"{row['million_tokens']:.1f} M tokens; theirs 1,300 M" + (
                ", codes from scratch" if row["k"] else ""
            )
            what = f"legal transitions, {row['model']}"
            theirs = row["paper_state_accuracy"]
            lines.append(Compared.of(row, "state_accuracy", paper=paper, what=what, published=theirs, differs=differs))
    for row in codes:
        if row["paper_codes"] and row["neurons"] == "attn_z and mlp_out":
            what = f"precision of state {{}}, {row['model']}, recall {row['least_recall']:g}"
            for kind, key, low, high, theirs in (
                ("codes", "code_precision", "low", "high", "paper_codes"),
                ("neurons", "neuron_precision", "neuron_low", "neuron_high", "paper_neurons"),
            ):
                values = (row[key], row[low], row[high], row[theirs])
                lines.append(Compared(paper, what.format(kind), *values, differs="fewer codes and tokens"))
    return summary(*lines)


class _Judged(NamedTuple):
    """The best codes of a run for the states, at some least recall."""

    run: AutomatonRun
    least: float
    best: list[BestCode]
    states: int


def _judge(
    run: AutomatonRun, subject: AutomatonSubject, config: AutomatonEvalConfig, tables: dict[str, list[dict[str, Any]]]
) -> list[_Judged]:
    """Add purity and interventions of a run; its best codes for the comparison with neurons."""
    counts, states = count_codes(subject, code_sample(subject, config)), subject.automaton.config.states
    tables["purity"] += [{"model": run.name, **asdict(purity(own, states, config.least_uses))} for own in counts]
    tables["interventions"] += [
        {
            "model": run.name,
            "target": found.target,
            "patch": found.patch,
            "divergence": found.divergence.value,
            "low": found.divergence.low,
            "high": found.divergence.high,
        }
        for found in patch_states(subject, config)
    ]
    leasts = (config.least_recall, 0.5)
    return [_Judged(run, least, best, states) for least in leasts if (best := best_codes(counts, states, least))]


def _model_row(
    run: AutomatonRun, subject: AutomatonSubject, details: dict[str, Any], config: AutomatonEvalConfig
) -> dict[str, Any]:
    found, theirs = automaton_quality(subject, config), TABLE_1.get(run.published)
    return {
        "model": run.name,
        "codes": f"{run.attention} a head, {run.mlp} an MLP" if not run.is_plain else "none",
        "k": None if run.is_plain else run.k,
        "million_tokens": details["tokens"] / 1e6,
        "finished": not details["partial"],
        "floor": subject.automaton.floor.loss,
        "loss": found.loss,
        "above_floor": found.excess.value,
        "above_floor_low": found.excess.low,
        "above_floor_high": found.excess.high,
        "accuracy": found.accuracy.value,
        "best_accuracy": subject.automaton.floor.accuracy,
        "state_accuracy": found.sampled.value,
        "state_accuracy_low": found.sampled.low,
        "state_accuracy_high": found.sampled.high,
        "first_transition": found.first,
        "top_successors": found.top.value,
        "paper_row": run.published or None,
        "paper_loss": theirs.loss if theirs else None,
        "paper_accuracy": theirs.accuracy / 100 if theirs else None,
        "paper_state_accuracy": theirs.states / 100 if theirs else None,
    }


def _code_rows(judged: list[_Judged], plain: AutomatonSubject, config: AutomatonEvalConfig) -> list[dict[str, Any]]:
    """Codes of all runs of an automaton beside the neurons of its plain model, sorted once for all of them."""
    ids, everything = code_sample(plain, config), [code for found in judged for code in found.best]
    kinds: dict[str, tuple[tuple[str, ...], bool]] = {"attn_z and mlp_out": (("attn_z", "mlp_out"), False)}
    kinds["and mlp_post, both signs"] = (("attn_z", "mlp_out", "mlp_post"), True)
    matched = {name: iter(with_neurons(everything, plain, ids, *chosen)) for name, chosen in kinds.items()}
    rows = []
    for found in judged:
        compared = found.run.published == "attn+MLP, k=1, C=10k"
        for name, neurons in matched.items():
            mine = list(islice(neurons, len(found.best)))
            codes, beside = mean_precision(mine, config)
            rows.append(
                {
                    "model": found.run.name,
                    "least_recall": found.least,
                    "states_with_a_code": f"{len(mine)} of {found.states}",
                    "code_precision": codes.value,
                    "low": codes.low,
                    "high": codes.high,
                    "mean_recall": sum(code.recall for code in mine) / len(mine),
                    "neurons": name,
                    "neuron_precision": beside.value,
                    "neuron_low": beside.low,
                    "neuron_high": beside.high,
                    "paper_codes": CODE_PRECISION / 100 if compared else None,
                    "paper_neurons": NEURON_PRECISION / 100 if compared else None,
                }
            )
    return rows


def _curve_rows(run: AutomatonRun, details: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"model": run.name, "million_tokens": point["tokens"] / 1e6, "loss": point["cross_entropy"]}
        for point in details["curve"]
    ]


def _chosen(config: ReproduceConfig) -> list[AutomatonRun]:
    if config.chosen:
        return [automaton_run(name) for name in config.chosen]
    if config.from_scratch:
        return [run for run in automaton_runs() if not run.paper]
    found = [run for run in automaton_runs() if shipped_run(run.name).is_dir()]
    if not found:
        raise ConfigError("no model of the automaton is shipped", hint="train them with --from-scratch")
    return found


def _train(
    chosen: Iterable[AutomatonRun], folder: Path, config: ReproduceConfig, progress: Progress
) -> tuple[Path, list[AutomatonRun]]:
    """Train, or go on; returns the folder of the artifacts and the runs that came to something."""
    target, done = config.save or folder / "artifacts", []
    for run in chosen:
        needed = [run] if run.is_plain else [automaton_run(run.plain), run]
        for part in needed:
            trained = train_automaton(part.name, folder, progress)
            save_run(part, trained, target)
            if trained.partial:
                return target, [*done, part]
        done.append(run)
    return target, done


_NOTES = (
    "loss = exact floor + KL(truth | model) over sampled prefixes, in nats a token; accuracy is the true chance of the "
    "model's first choice",
    "state accuracy: legal transitions among all of 100 free samples; top successors: true ones among as many "
    "likeliest",
    "precision of codes: for each state the most precise code with the recall asked for; neurons of the plain model at "
    "the code's recall",
    "divergence: JSD to what follows the other state's prompt, relative to no patch; intervals are 95 % bootstraps",
    "the paper trained on 1.3 billion tokens, model and codes from scratch; here models with codes go on from the "
    "plain one, and have the number of codes and tokens that the table says",
)
