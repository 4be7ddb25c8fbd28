"""Five ways to find units: label, regular expression, a text they fire on, a token they write, two sets of texts."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent, Unit, generator, position_mask
from workbench.models import TokenBatch

from .bench import Bench, into_residual, logit_directions, residual_rows
from .code_config import CodeSearchConfig
from .code_search import compile_pattern, mark
from .code_stream import CodeBatch, count_codes
from .config import SearchConfig
from .feature_scan import FeatureScan
from .units import unit_of


def search_labels(labels: Mapping[Unit, Sequence[tuple[str, str, float]]], words: str, rows: int = 50) -> Result:
    """Units whose labels hold every word, the best scored first.

    Args:
        labels: unit -> (text, source, score) of each of its labels; people's own have the source `you` and score 1.

    Table `units`: unit, label, source, score.
    """
    wanted = words.lower().split()
    found = [
        {"unit": str(unit), "label": text, "source": source, "score": score}
        for unit, of_unit in labels.items()
        for text, source, score in of_unit
        if all(word in text.lower() for word in wanted)
    ]
    whole = re.compile(r"\b" + r"\b.*\b".join(map(re.escape, wanted)) + r"\b", re.IGNORECASE)
    found.sort(key=lambda row: (not whole.search(row["label"]), -row["score"], row["unit"]))
    return Result(
        "unit search",
        {"found": float(len(found)), "labels": float(sum(map(len, labels.values())))},
        {"units": found[:rows]},
        params={"mode": "label", "words": words},
        notes=(f"{len(found)} labels hold every word; whole words first, then by score.",),
    )


def search_pattern(
    bench: Bench,
    scan: FeatureScan,
    pattern: str,
    config: SearchConfig | None = None,
    members: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Units by how well they tell the tokens that a regular expression's capture group marks in the scanned text.

    Precision, recall and the marking are those of `search_codes`; the model does not run.

    Table `units`: unit, precision, recall, f1, count, hits; by f1, best first.

    Raises:
        ConfigError: the expression is none, has not exactly one group, or marks no counted token.
    """
    config, compiled, progress = config or SearchConfig(), compile_pattern(pattern), progress or Silent()
    names = list(members or scan.members)
    progress.phase("searching the scan", float(len(scan.ids) * len(names)), "sequences")
    marking = CodeSearchConfig(tokens=config.tokens)
    keep = _kept(bench, scan)
    target = torch.zeros_like(keep)
    for first in range(0, len(scan.ids), 128):
        ids, lengths, mask = (t[first : first + 128] for t in (scan.ids, scan.lengths, keep))
        batch = TokenBatch(ids.long(), lengths.long())
        strings = [bench.model.tokenizer.strings(row[:n].tolist()) for row, n in zip(ids, lengths, strict=True)]
        target[first : first + 128] = mark(CodeBatch(batch, strings, mask, lengths, {}), compiled, marking) & mask
    targets = int(target.sum())
    if not targets:
        raise ConfigError(f"{pattern!r} marks no token of this text", hint="try another expression, or scan more text")
    rows: list[dict[str, Any]] = []
    for name in names:
        hits, count = torch.zeros(scan.members[name], dtype=torch.long), scan.statistic("count", name).long()
        for first, index, value in scan.codes(name):
            there = target[first : first + len(index)]
            hits += count_codes(torch.where(value != 0, index, -1)[there].long(), len(hits))
            progress.advance(float(len(index)))
        f1 = 2 * hits / (count + targets)
        f1 = torch.where(count >= config.least_count, f1, 0.0)
        best = f1.topk(min(config.rows, len(f1)))
        rows += [
            {
                "unit": str(unit_of(bench.dictionaries, name, i)),
                "precision": int(hits[i]) / int(count[i]),
                "recall": int(hits[i]) / targets,
                "f1": score,
                "count": int(count[i]),
                "hits": int(hits[i]),
            }
            for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if score > 0
        ]
    rows.sort(key=lambda row: (-row["f1"], -row["precision"], row["unit"]))
    counted = int(keep.sum())
    return Result(
        "unit search",
        {"targets": float(targets), "tokens": float(counted)},
        {"units": rows[: config.rows]},
        params={"mode": "pattern", "pattern": pattern, **config.model_dump(mode="json")},
        inputs=scan.inputs(),
        notes=(
            f"{targets:,} of {counted:,} counted tokens are targets ({config.tokens} token of each captured group); "
            f"a unit active at random is right {targets / counted:.2%} of the time.",
        ),
    )


@torch.no_grad()
def search_text(bench: Bench, text: str, scan: FeatureScan | None = None, config: SearchConfig | None = None) -> Result:
    """Units by how strongly they fire on a text, in units of what is usual for them where a scan tells.

    Table `units`: unit, largest, mean (over the counted tokens), tokens (on which it is active), position and token of
    the largest, relative (largest over the root mean square where active), density (in the scan); by relative.
    """
    config = config or SearchConfig()
    tokens = bench.model.tokens(text)
    names = bench.model.tokenizer.strings(tokens.ids[0].tolist())
    rows: list[dict[str, Any]] = []
    for name, dense in _activations(bench, tokens).items():
        values = dense[0]
        size, place = values.abs().max(0)
        table = scan.table(name) if scan and name in scan.members else None
        relative = size / table["scale"].clamp_min(1e-9) if table else size
        if table:  # what hardly fires in the scan has no usual strength
            relative = torch.where(table["count"] >= config.least_count, relative, 0.0)
        best = relative.topk(min(config.rows, len(relative)))
        rows += [
            {
                "unit": str(unit_of(bench.dictionaries, name, i)),
                "largest": float(values[place[i], i]),
                "mean": float(values[:, i].mean()),
                "tokens": int((values[:, i] != 0).sum()),
                "position": int(place[i]),
                "token": names[int(place[i])],
                "relative": score if table else None,
                "density": float(table["density"][i]) if table else None,
            }
            for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if score > 0
        ]
    rows.sort(key=lambda row: -(row["relative"] if row["relative"] is not None else abs(row["largest"])))
    return Result(
        "unit search",
        {"tokens": float(len(names))},
        {"units": rows[: config.rows]},
        params={"mode": "text", "text": text, **config.model_dump(mode="json")},
        inputs=scan.inputs() if scan else {},
        notes=("relative: the largest activation over the root mean square where the unit is active in the scan.",),
    )


@torch.no_grad()
def active_units(
    bench: Bench, ids: Int[Tensor, " t"], position: int, scan: FeatureScan | None = None, rows: int = 50
) -> Result:
    """The units that are active at one position of a prompt, with how usual that is and what share of it they explain.

    Table `units`: unit, activation, relative (over the root mean square where active in the scan), density, logit (of
    the token that the model expects there, direct path); by relative, else by activation. Table `errors`: member, fvu
    of its reconstruction at this position, active units.
    """
    tokens = TokenBatch(ids[None].long(), torch.tensor([len(ids)]))
    sites = {site for member in bench.dictionaries.values() for site in (*member.reads, *member.writes)}
    inputs = {site: x[:, position].flatten(1) for site, x in _inputs(bench, tokens, sorted(sites)).items()}
    logits = bench.model.run(tokens, bench.in_force(), weights=bench.weights or None).logits
    assert logits is not None
    expected = int(logits[0, position].argmax())
    found: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for name, member in bench.dictionaries.items():
        codes = member.encode({site: inputs[site] for site in member.reads}).padded()
        there = codes.value[0] != 0
        index, value = codes.index[0][there].long(), codes.value[0][there]
        table = scan.table(name) if scan and name in scan.members else None
        try:
            effect = logit_directions(bench.model, residual_rows(bench.model, member, index))[:, expected].cpu()
        except ConfigError:
            effect = torch.full((len(index),), torch.nan)
        made = member.forward({site: inputs[site] for site in member.reads})
        wanted = inputs[member.writes[0]]
        left = float((wanted - made[member.writes[0]]).square().sum() / wanted.square().sum().clamp_min(1e-12))
        errors.append({"member": name, "fvu": left, "active": int(there.sum())})
        for i, a, e in zip(index.tolist(), value.tolist(), effect.tolist(), strict=True):
            usual = float(table["scale"][i]) if table else 0.0
            found.append(
                {
                    "unit": str(unit_of(bench.dictionaries, name, i)),
                    "activation": a,
                    "relative": abs(a) / usual if usual else None,
                    "density": float(table["density"][i]) if table else None,
                    "logit": a * e,
                }
            )
    found.sort(key=lambda row: -(row["relative"] if row["relative"] is not None else abs(row["activation"])))
    (word,) = bench.model.tokenizer.strings([expected])
    return Result(
        "unit search",
        {"active": float(len(found))},
        {"units": found[:rows], "errors": errors},
        params={"mode": "position", "position": position, "expected": word},
        inputs=scan.inputs() if scan else {},
        notes=(
            f"{len(found):,} units are active at position {position}, {min(rows, len(found))} listed. logit: what each "
            f"adds to {word!r}, the likeliest next token, by its direct path. fvu: what the reconstruction leaves.",
        ),
    )


@torch.no_grad()
def search_token(
    bench: Bench, token: str, scan: FeatureScan | None = None, config: SearchConfig | None = None, sign: int = 1
) -> Result:
    """Units by how much what they write raises (or, with sign -1, lowers) a token's logit on the direct path.

    Table `units`: unit, cosine (of what is written, as it reaches the stream, and the token's direction), logit (per
    unit of its value), typical (logit at the root mean square activation where active); by cosine.

    Raises:
        ConfigError: the text is no single token.
    """
    config, model = config or SearchConfig(), bench.model
    ids = model.tokenizer.encode(token)
    if len(ids) != 1:
        pieces = model.tokenizer.strings(ids)
        raise ConfigError(f"{token!r} is {len(ids)} tokens: {pieces}", hint="give one token; a leading space counts")
    parameters = model.params()
    unembedding, scale = parameters["unembed.W_U"].float(), parameters["ln_final.w"].float()
    direction = (unembedding[:, ids[0]] - unembedding.mean(1)) * scale
    if model.shape.norm == "layer":
        direction = direction - direction.mean()
    rows: list[dict[str, Any]] = []
    for name, dictionary in bench.dictionaries.items():
        every = torch.arange(dictionary.width, device=dictionary.device)
        parts = dictionary.writers(every).items()
        written = torch.stack([into_residual(model, site, rows.float()) for site, rows in parts]).sum(0)
        logit = (written @ direction.to(written)).cpu()
        cosine = sign * logit / (written.norm(dim=1).cpu() * float(direction.norm())).clamp_min(1e-12)
        usual = scan.table(name)["scale"] if scan and name in scan.members else None
        best = cosine.topk(min(config.rows, len(cosine)))
        rows += [
            {
                "unit": str(unit_of(bench.dictionaries, name, i)),
                "cosine": sign * score,
                "logit": float(logit[i]),
                "typical": float(logit[i] * usual[i]) if usual is not None else None,
            }
            for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
    rows.sort(key=lambda row: -sign * row["cosine"])
    return Result(
        "unit search",
        tables={"units": rows[: config.rows]},
        params={"mode": "token", "token": token, "sign": sign, **config.model_dump(mode="json")},
        inputs=scan.inputs() if scan else {},
        notes=(
            "Direct path only: what is written, final norm's weight, unembedding; the mean over tokens is removed.",
        ),
    )


@torch.no_grad()
def contrast_texts(
    bench: Bench,
    first: Sequence[str],
    second: Sequence[str],
    config: SearchConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Units that fire more on one set of texts than on another, with permutation p-values.

    A unit's score of a text is its mean activation over the counted tokens. `effect` is the difference of the sets'
    means over the pooled standard deviation, which counts as no smaller than the median of all units' (a constant unit
    would be infinitely different otherwise; Tusher et al. 2001 add such a constant). `auroc` is the share of pairs of
    texts, one of either set, in which the first set's scores higher; ties count half. Labels are shuffled
    `permutations` times: `p` is the share of relabellings (the true one among them) with as large a |difference|,
    `p_family` that in which any unit's standardised difference is as large, which allows for having looked at all of
    them.

    Table `units`: unit, effect, auroc, first, second (means), p, p_family; by |effect|.

    Raises:
        ConfigError: fewer than two texts on a side.
    """
    config, progress = config or SearchConfig(), progress or Silent()
    if min(len(first), len(second)) < 2:
        raise ConfigError("a contrast wants two texts or more on either side", found=f"{len(first)} and {len(second)}")
    texts = [*first, *second]
    progress.phase("reading texts", len(texts), "texts")
    found: dict[str, list[Tensor]] = {name: [] for name in bench.dictionaries}
    for text in texts:
        tokens = bench.model.tokens(text)
        for name, dense in _activations(bench, tokens).items():
            counted = position_mask(tokens.ids.cpu(), bench.model.policy, bench.model.tokenizer.special_ids)[0]
            found[name].append(dense[0][counted].mean(0) if counted.any() else dense[0].mean(0))
        progress.advance()
    wide = torch.cat([torch.stack(parts) for parts in found.values()], 1)
    addresses = [(name, index) for name, parts in found.items() for index in range(len(parts[0]))]
    alive = (wide != 0).any(0).nonzero()[:, 0]
    wide = wide[:, alive]
    n, m = len(first), len(texts)
    truth = torch.zeros(m, dtype=torch.bool)
    truth[:n] = True
    effect, means = _effect(wide, truth)
    draw = generator(config.seed, "contrast")
    as_large, any_as_large = torch.ones(len(alive)), torch.ones(len(alive))
    observed = wide[truth].mean(0) - wide[~truth].mean(0)
    for _ in range(config.permutations):
        shuffled = torch.zeros(m, dtype=torch.bool)
        shuffled[torch.randperm(m, generator=draw)[:n]] = True
        as_large += (wide[shuffled].mean(0) - wide[~shuffled].mean(0)).abs() >= observed.abs() - 1e-9
        any_as_large += _effect(wide, shuffled)[0].abs().max() >= effect.abs() - 1e-6
    total = config.permutations + 1
    best = effect.abs().topk(min(config.rows, len(effect))).indices.tolist()
    rows = [
        {
            "unit": str(unit_of(bench.dictionaries, *addresses[int(alive[i])])),
            "effect": float(effect[i]),
            "auroc": _auroc(wide[truth, i], wide[~truth, i]),
            "first": float(means[0][i]),
            "second": float(means[1][i]),
            "p": float(as_large[i]) / total,
            "p_family": float(any_as_large[i]) / total,
        }
        for i in best
    ]
    return Result(
        "unit search",
        {"first_texts": float(n), "second_texts": float(m - n), "units_active": float(len(alive))},
        {"units": rows},
        params={"mode": "contrast", "first": list(first), "second": list(second), **config.model_dump(mode="json")},
        notes=(
            f"{n} texts against {m - n}; {len(alive):,} units fire on any of them. p: {config.permutations:,} "
            "relabellings of the texts; p_family allows for having looked at every unit. Effect: difference over the "
            "pooled standard deviation, no smaller than the median unit's; auroc: how often a text of the first set "
            "scores higher.",
        ),
        seed=config.seed,
    )


@torch.no_grad()
def activations_on(bench: Bench, unit: Unit, text: str) -> Result:
    """One unit on a text of one's own. Table `tokens`: position, token, activation, pre_activation (None: no gate)."""
    tokens, member = bench.model.tokens(text), bench.member(unit)
    inputs = _inputs(bench, tokens, list(member.reads))
    flat = {site: inputs[site].flatten(0, 1).flatten(1) for site in member.reads}
    values = member.encode(flat).dense()[:, unit.index].tolist()
    try:
        pre: list[Any] = member.pre_activations(flat)[:, unit.index].tolist()
    except NotImplementedError:
        pre = [None] * len(values)
    names = bench.model.tokenizer.strings(tokens.ids[0].tolist())
    rows = [
        {"position": at, "token": token, "activation": value, "pre_activation": before}
        for at, (token, value, before) in enumerate(zip(names, values, pre, strict=True))
    ]
    return Result(
        "unit on text",
        {"largest": max(values, key=abs), "tokens_active": float(sum(value != 0 for value in values))},
        {"tokens": rows},
        params={"unit": str(unit), "text": text},
    )


def _activations(bench: Bench, tokens: TokenBatch) -> dict[str, Float[Tensor, "b t f"]]:
    """Every member's dense codes on some tokens; codebooks stand in the model meanwhile."""
    sites = list(dict.fromkeys(site for member in bench.dictionaries.values() for site in member.reads))
    inputs, (b, t) = _inputs(bench, tokens, sites), tokens.ids.shape
    return {
        name: member.encode({s: inputs[s].flatten(0, 1).flatten(1) for s in member.reads}).dense().view(b, t, -1).cpu()
        for name, member in bench.dictionaries.items()
    }


def _inputs(bench: Bench, tokens: TokenBatch, sites: list) -> dict:
    """What the members read. A codebook writes where it reads, so its own input is taken with it out of force."""
    if not bench.books:
        return bench.model.capture(tokens, sites)
    found = {}
    for site in sites:
        own = [name for name, book in bench.books.items() if site in book.writes]
        run = bench.model.run(tokens, bench.in_force(own), sites=[site], logits=False, weights=bench.weights or None)
        found[site] = run.activations[site]
    return found


def _effect(wide: Float[Tensor, "m f"], side: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    a, b = wide[side], wide[~side]
    means = a.mean(0), b.mean(0)
    pooled = ((a.var(0) * (len(a) - 1) + b.var(0) * (len(b) - 1)) / (len(a) + len(b) - 2)).sqrt()
    within = pooled / wide.abs().amax(0).clamp_min(1e-9)  # units differ in size, so the floor is a share of each one's
    floor = within[within > 0].median() if bool((within > 0).any()) else torch.tensor(1.0)
    return (means[0] - means[1]) / wide.abs().amax(0).clamp_min(1e-9) / within.clamp_min(floor), means


def _auroc(first: Float[Tensor, " a"], second: Float[Tensor, " b"]) -> float:
    above = (first[:, None] > second).float() + 0.5 * (first[:, None] == second).float()
    return float(above.mean())


def _kept(bench: Bench, scan: FeatureScan) -> Tensor:
    policy = scan.manifest.mask or bench.model.policy
    return position_mask(scan.ids, policy, bench.model.tokenizer.special_ids, scan.lengths)
