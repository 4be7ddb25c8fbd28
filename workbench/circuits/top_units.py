"""How many units of one MLP does a task need? Its score with the top k kept: transcoder features against neurons."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ConfigError, Edit, Progress, Result, Silent, Site, generator
from workbench.data import Task, answer_scores
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel, TokenBatch

from .top_units_config import TopUnitsConfig

NOTES = (
    "units are ranked by the variance of their activation at the last position over the prompts, no target looked at",
    "at the last position the layer's MLP output is made from the k units kept and the others at rest",
    "features: the transcoder stands in the MLP's place, without its error; k 0 leaves its affine path alone",
    "neurons: the MLP's own, exact with all of them; k 0 is its output at rest; random: units drawn by seed, mean",
    "variance is Dunefsky, Chlenski and Nanda's ranking (2024, the greater-than study)",
)


@dataclass(frozen=True)
class Units:
    """What the units of one MLP do on every prompt: output = base + activation @ writers."""

    name: str
    activation: Float[Tensor, "b u"]
    writers: Float[Tensor, "u d"]
    base: Float[Tensor, "b d"]

    def output(self, kept: Int[Tensor, " k"], rest: str) -> Float[Tensor, "b d"]:
        """The MLP's output with only some units following the prompt."""
        at_rest = self.activation.mean(0, keepdim=True) * float(rest == "mean")
        change = (self.activation - at_rest)[:, kept] @ self.writers[kept]
        return self.base + at_rest @ self.writers + change

    def ranked(self) -> Int[Tensor, " u"]:
        """Units by the variance of their activation, largest first."""
        return self.activation.var(0).argsort(descending=True, stable=True)


class Prompts:
    """A task's prompts on a model: what is read and written at the last position of one MLP, and the mean score."""

    def __init__(self, model: HookedModel, task: Task, batch: int) -> None:
        self.model, self.task, self.batch = model, task, batch
        self.parts: list[tuple[TokenBatch, Tensor]] = []
        pairs = list(task.prompts)
        for first in range(0, len(pairs), batch):
            tokens = model.tokens([pair.prompt for pair in pairs[first : first + batch]])
            self.parts.append((tokens, (tokens.lengths - 1).cpu()))

    def last(self, sites: list[Site]) -> dict[Site, Float[Tensor, "b d"]]:
        """Rows of some sites at each prompt's last position."""
        found: dict[Site, list[Tensor]] = {site: [] for site in sites}
        for tokens, places in self.parts:
            seen = self.model.capture(tokens, sites)
            for site in sites:
                found[site].append(seen[site][torch.arange(len(places)), places].float())
        return {site: torch.cat(rows) for site, rows in found.items()}

    def score(self, layer: int | None = None, change: Float[Tensor, "b d"] | None = None) -> float:
        """The mean metric, with something added to one MLP's output at the last position."""
        scores, first = [], 0
        for tokens, places in self.parts:
            count, edits = len(places), []
            if change is not None:
                delta = change.new_zeros(count, tokens.ids.shape[1], change.shape[1])
                delta[torch.arange(count), places] = change[first : first + count]
                edits = [Edit.add(f"mlp_out.{layer}", delta.to(self.model.dtype))]
            logits = self.model.run(tokens, edits).logits
            assert logits is not None
            pairs = list(self.task.prompts)[first : first + count]
            last = logits[torch.arange(count), places].float().cpu()
            scores.append(answer_scores(last, self.model.tokenizer, pairs, self.task.metric))
            first += count
        return float(torch.cat(scores).mean())


@torch.no_grad()
def top_units(
    model: HookedModel,
    dictionaries: DictionarySet,
    task: Task,
    config: TopUnitsConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Score against k for a layer's transcoder features and for its neurons (kind `top_units`).

    Tables: `curve` (units, k, score, random_mean, random_sd), `layers` (score with each MLP at its mean, where the
    layer was looked for), `top` (the first units of each kind with their variance).

    Raises:
        ConfigError: no transcoder at the layer, or an MLP whose neurons do not write straight to its output.
    """
    config, progress = config or TopUnitsConfig(), progress or Silent()
    if model.shape.sandwich:
        raise ConfigError("neurons behind a norm of their own cannot be kept one by one", hint="take another model")
    prompts = Prompts(model, task, config.batch)
    full, layers = prompts.score(), []
    layer = config.layer
    if layer is None:
        layer, layers = _costliest(prompts, dictionaries, full, progress)
    seen = prompts.last([Site(kind, layer) for kind in ("mlp_in", "mlp_post", "mlp_out")])
    actual = seen[Site("mlp_out", layer)]
    kinds = [_features(dictionaries.by_layer(layer), seen, layer), _neurons(model, seen, layer)]
    curve, top, interrupted = [], [], False
    progress.phase("keeping units", len(kinds) * len(config.sizes), "sizes")
    for units in kinds:
        order = units.ranked()
        variance = units.activation.var(0)
        top += [{"units": units.name, "rank": rank, "unit": int(u), "variance": float(variance[u])}
                for rank, u in enumerate(order[:10].tolist(), 1)]  # fmt: skip
        for k in [size for size in config.sizes if size < len(order)] + [len(order)]:
            if interrupted := interrupted or progress.cancelled():
                break
            made = units.output(order[:k], config.rest)
            row = {"units": units.name, "k": k, "score": prompts.score(layer, made - actual)}
            draws = config.draws if 0 < k < len(order) else 0
            curve.append({**row, **_random(prompts, units, actual, layer, k, draws, config)})
            progress.advance(1)
    return Result(
        kind="top_units",
        scalars={"full": full, "layer": float(layer), **_summary(curve, full)},
        tables={"curve": curve, "layers": layers, "top": top},
        params={
            **config.model_dump(mode="json"),
            "layer": layer,
            "task": task.name,
            "metric": task.metric,
            "prompts": len(task.prompts),
        },
        inputs={
            dictionaries.name: dictionaries.manifest.content_hash if dictionaries.manifest else "",
            "model": model.ref.weight_hash,
        },
        notes=NOTES,
        seed=config.seed,
        partial=interrupted,
    )


def _costliest(
    prompts: Prompts, dictionaries: DictionarySet, full: float, progress: Progress
) -> tuple[int, list[dict[str, float]]]:
    """The layer with a dictionary whose MLP, held at its mean at the last position, costs the task most.

    The first layer is left out where there are others: it is a second embedding, which every task needs.
    """
    choice = [layer for layer in range(prompts.model.shape.n_layers) if layer in dictionaries.layers]
    seen = prompts.last([Site("mlp_out", layer) for layer in choice])
    progress.phase("holding each MLP at its mean", len(choice), "layers")
    rows = []
    for layer in choice:
        actual = seen[Site("mlp_out", layer)]
        score = prompts.score(layer, actual.mean(0, keepdim=True) - actual)
        rows.append({"layer": layer, "score": score, "cost": full - score})
        progress.advance(1)
    if not rows:
        raise ConfigError(f"the set {dictionaries.name!r} has no dictionary of one layer's MLP")
    later = [row for row in rows if row["layer"] > 0] or rows
    return int(max(later, key=lambda row: row["cost"])["layer"]), rows


def _features(dictionary: Dictionary, seen: dict[Site, Tensor], layer: int) -> Units:
    read, write = Site("mlp_in", layer), Site("mlp_out", layer)
    if tuple(dictionary.reads) != (read,) or tuple(dictionary.writes) != (write,):
        raise ConfigError(f"{dictionary.name!r} is no transcoder of layer {layer}", hint="read mlp_in, write mlp_out")
    x = seen[read].to(dictionary.dtype)
    codes = dictionary.encode({read: x}).padded()
    dense = torch.zeros(len(x), codes.width).scatter_add(1, codes.index, codes.value.float())
    writers = dictionary.writers(torch.arange(codes.width))[write].float()
    whole = (dictionary.decode(codes)[write] + dictionary.bypass({read: x})[write]).float()
    return Units("transcoder features", dense, writers, whole - dense @ writers)


def _neurons(model: HookedModel, seen: dict[Site, Tensor], layer: int) -> Units:
    activation = seen[Site("mlp_post", layer)]
    writers = model.params()[f"blocks.{layer}.mlp.W_out"].detach().float()
    return Units("neurons", activation, writers, seen[Site("mlp_out", layer)] - activation @ writers)


def _random(
    prompts: Prompts, units: Units, actual: Tensor, layer: int, k: int, draws: int, config: TopUnitsConfig
) -> dict[str, float]:
    scores = []
    for draw in range(draws):
        order = torch.randperm(len(units.writers), generator=generator(config.seed, units.name, k, draw))
        scores.append(prompts.score(layer, units.output(order[:k], config.rest) - actual))
    known = torch.tensor(scores, dtype=torch.float64)
    nan = float("nan")
    sd = float(known.std()) if len(known) > 1 else nan
    return {"random_mean": float(known.mean()) if scores else nan, "random_sd": sd}


def _summary(curve: list[dict], full: float) -> dict[str, float]:
    """Each kind's score with all units, and the least k that reaches nine tenths of the model's."""
    found = {}
    for name, key in (("transcoder features", "features"), ("neurons", "neurons")):
        rows = [row for row in curve if row["units"] == name]
        if rows:
            found[f"{key}_all"] = rows[-1]["score"]
            found[f"{key}_none"] = rows[0]["score"]
            enough = [row["k"] for row in rows if row["score"] >= 0.9 * full]
            found[f"{key}_k_for_nine_tenths"] = float(min(enough)) if enough else float("nan")
    return found
