"""Prompt A against prompt B, on one model or two: tokens, predictions, lens, attention and units as differences."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st

from workbench.core import Result, Unit
from workbench_app import benches, components, state
from workbench_app.analysis import MEASURES
from workbench_app.components import Bar
from workbench_app.focus import focus, set_focus
from workbench_app.pairing import Pairing, diverge, pair
from workbench_app.panels import unit_browser
from workbench_app.panels.attention import SCORES
from workbench_app.panels.lens import STATISTICS
from workbench_app.wording import share, show

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Sides:
    """Both sides as a model's name and token ids."""

    model: str
    ids: Ids
    other_model: str
    other_ids: Ids

    @cached_property
    def texts(self) -> tuple[list[str], list[str]]:
        return self._strings(self.model, self.ids), self._strings(self.other_model, self.other_ids)

    @cached_property
    def pairing(self) -> Pairing:
        return pair(*self.texts)

    @cached_property
    def one_vocabulary(self) -> bool:
        """Whether token ids mean the same on both sides."""
        if self.model == self.other_model:
            return True
        held = [state.shelf().get(name) for name in (self.model, self.other_model)]
        sizes = {model.shape.d_vocab for model in held}
        some = list(range(0, min(sizes), max(1, min(sizes) // 500)))
        return len(sizes) == 1 and held[0].tokenizer.strings(some) == held[1].tokenizer.strings(some)

    @cached_property
    def one_shape(self) -> bool:
        shapes = [state.shelf().get(name).shape for name in (self.model, self.other_model)]
        return (shapes[0].n_layers, shapes[0].n_heads) == (shapes[1].n_layers, shapes[1].n_heads)

    def _strings(self, model: str, ids: Ids) -> list[str]:
        return state.shelf().get(model).tokenizer.strings(list(ids))

    def columns(self) -> tuple[list[int], list[int], list[str]]:
        """Places that belong together on either side, and what stands there (both tokens where they differ)."""
        first, second = list(self.pairing.first), list(self.pairing.second)
        here, there = self.texts
        words = [
            here[a] if here[a] == there[b] else f"{here[a]}|{there[b]}" for a, b in zip(first, second, strict=True)
        ]
        return first, second, words


def show_panel(sides: Sides, at: int) -> None:
    """Both strips, then one tab a question; `at` is a position of A."""
    strips(sides, at)
    there = sides.pairing.there(at)
    panels: dict[str, Callable[[], None]] = {
        "Next token": lambda: predictions(sides, at, there),
        "Logit lens": lambda: lenses(sides, at),
        "Attention": lambda: patterns(sides),
        "Features": lambda: units(sides, at, there),
    }
    tabs = st.tabs(list(panels), key="pr_tab", on_change="rerun", bind="query-params")
    for tab, draw in zip(tabs, panels.values(), strict=True):
        if tab.open:
            with tab:
                draw()


def strips(sides: Sides, at: int) -> None:
    """A coloured by how much more surprising its tokens are than those of B at the same place, and B by the reverse."""
    measure = st.segmented_control(
        "Colour", list(MEASURES), default="surprise", required=True, key="pr_measure", label_visibility="collapsed"
    )
    passes = (state.prompt_pass(sides.model, sides.ids), state.prompt_pass(sides.other_model, sides.other_ids))
    reads = (state.reading(sides.model, sides.ids), state.reading(sides.other_model, sides.other_ids))
    mine, theirs = (np.asarray(getattr(read, measure), dtype=float) for read in reads)
    first, second = list(sides.pairing.first), list(sides.pairing.second)
    own, other = np.full(len(mine), np.nan), np.full(len(theirs), np.nan)
    own[first] = mine[first] - theirs[second]
    other[second] = theirs[second] - mine[first]
    places = (at, sides.pairing.there(at))
    picks = (lambda place: set_focus(position=place), lambda place: set_focus(position=_back(sides, place)))
    for side, done, values, here, differences, place, pick in zip(
        "AB", passes, (mine, theirs), sides.texts, (own, other), places, picks, strict=True
    ):
        facts = [
            [(measure, show(float(value))), (f"{side} less the other", show(float(difference)))]
            for value, difference in zip(values, differences, strict=True)
        ]
        components.tokens(
            f"pr_tokens_{side}", f"{done.id}-{measure}-{hash(differences.tobytes())}", here, done.ids, done.special,
            differences, f"{side}: {MEASURES[measure]}, less that of {'B' if side == 'A' else 'A'}", facts, [], place,
            pick,
        )  # fmt: skip
    lost = len(mine) + len(theirs) - len(first) - len(second)
    if lost:
        st.caption(f"{lost} tokens stand on one side only and have no colour.")


def _back(sides: Sides, place: int | None) -> int | None:
    return None if place is None else sides.pairing.here(place)


def predictions(sides: Sides, at: int, there: int | None) -> None:
    """The tokens whose probability moves most between the two."""
    if there is None:
        st.info("The selected token stands in A only; choose one that both have.", icon=":material/difference:")
        return
    if not sides.one_vocabulary:
        st.info("The two models have different vocabularies, so probabilities cannot be subtracted.")
        return
    found = diverge(
        state.prompt_pass(sides.model, sides.ids).logits[at],
        state.prompt_pass(sides.other_model, sides.other_ids).logits[there],
    )
    words = state.shelf().get(sides.model).tokenizer.strings(list(found.tokens))
    left, right = st.columns([3, 2], gap="large")
    with left:
        rows = [
            Bar(word, q - p, f"{share(p)} → {share(q)}", token=True, facts=(("A", share(p)), ("B", share(q))))
            for word, p, q in zip(words, found.first, found.second, strict=True)
        ]
        title = f"Probability in A → in B, after position {at}" + (f" (in B {there})" if there != at else "")
        components.bars("pr_versus_bars", rows, title=title, signed=True)
    with right:
        for column, (name, value) in zip(
            st.columns(3),
            (("KL, A to B", found.forward), ("KL, B to A", found.backward), ("Jensen–Shannon", found.jensen_shannon)),
            strict=True,
        ):
            column.metric(name, f"{show(value)} nats")
        st.caption("Bars to the right: likelier in B. A click on a token above moves the position on both sides.")
        st.download_button(
            "CSV", data=lambda: as_result(sides, at).df("predictions").to_csv(index=False), on_click="ignore",
            file_name="prompt_comparison.csv", icon=":material/download:", key="pr_versus_csv", type="tertiary",
        )  # fmt: skip


def lenses(sides: Sides, at: int) -> None:
    """A statistic of the logit lens in A less that in B, layer by layer, where both have a token."""
    if not (sides.one_shape and sides.one_vocabulary):
        st.info("The two models differ in layers or vocabulary, so their lenses cannot be subtracted.")
        return
    chosen = st.selectbox("Statistic", list(STATISTICS), key="pr_lens_statistic", width=320)
    name, title = STATISTICS[chosen]
    mine = state.lens(sides.model, sides.ids, None)
    theirs = state.lens(sides.other_model, sides.other_ids, None)
    first, second, words = sides.columns()
    one, two = mine.arrays[name][::-1][:, first], theirs.arrays[name][::-1][:, second]
    if name == "target_rank":
        one, two = np.log10(one), np.log10(two)
    values = one - two
    tops = [r.arrays["top_ids"][::-1][:, columns, 0] for r, columns in ((mine, first), (theirs, second))]
    ids = np.unique(np.concatenate([part.ravel() for part in tops])).tolist()
    texts = dict(zip(ids, state.shelf().get(sides.model).tokenizer.strings(ids), strict=True))
    cells = [
        texts[a] if a == b else f"{texts[a]}|{texts[b]}"
        for a, b in zip(tops[0].ravel().tolist(), tops[1].ravel().tolist(), strict=True)
    ]
    most = max(1e-6, float(np.nanmax(np.abs(values), initial=0)))
    rows = [str(layer) for layer in range(len(values) - 2, -1, -1)] + ["emb"]

    def pick(place: list[int] | None) -> None:
        if place:
            set_focus(layer=len(values) - 2 - place[0], position=first[place[1]])

    components.heat(
        "pr_versus_lens", f"{mine.id}-{theirs.id}-{name}", values, rows, words, f"{title}: A less B", low=-most,
        high=most, cells=cells, column=first.index(at) if at in first else None, on_pick=pick,
    )  # fmt: skip
    st.caption("Each cell: the likeliest token there; A|B where the two differ.")


def patterns(sides: Sides) -> None:
    """Heads by how differently they look, and the difference of one head's pattern."""
    if not sides.one_shape:
        st.info("The two models differ in layers or heads, so their patterns cannot be subtracted.")
        return
    (mine, scored), (theirs, _) = (
        state.attention(sides.model, sides.ids), state.attention(sides.other_model, sides.other_ids)
    )  # fmt: skip
    first, second, words = sides.columns()
    difference = mine[:, :, first][:, :, :, first] - theirs[:, :, second][:, :, :, second]
    moved = np.abs(difference).sum(-1).mean(-1) / 2
    heads = [{**row, "moved": float(moved[row["layer"], row["head"]])} for row in scored.tables["heads"]]
    heads.sort(key=lambda row: -row["moved"])
    layer = heads[0]["layer"] if focus().layer is None else min(int(focus().layer or 0), len(moved) - 1)
    head = heads[0]["head"] if focus().head is None else min(int(focus().head or 0), moved.shape[1] - 1)
    left, right = st.columns([2, 3], gap="large")
    with left:

        def chosen() -> None:
            rows = st.session_state["pr_versus_heads"]["selection"]["rows"]
            if rows:
                set_focus(layer=heads[rows[0]]["layer"], head=heads[rows[0]]["head"])

        st.caption("Heads by how much of their attention moves between A and B (half the summed difference).")
        st.dataframe(
            pd.DataFrame(heads), hide_index=True, height=430, on_select=chosen, selection_mode="single-row",
            key="pr_versus_heads", column_order=["layer", "head", "moved", *SCORES], alt="Heads by attention moved",
            column_config={
                "moved": st.column_config.ProgressColumn("attention moved", min_value=0, max_value=1, format="%.2f"),
                **{key: st.column_config.NumberColumn(f"{label} (A)", format="%.2f") for key, label in SCORES.items()},
            },
        )  # fmt: skip
    with right:
        most = max(1e-6, float(np.abs(difference[layer, head]).max(initial=0)))
        components.heat(
            "pr_versus_map", f"{layer}.{head}.{hash((sides.ids, sides.other_ids))}", difference[layer, head], words,
            words, f"layer {layer}, head {head}: weight on the key in A less that in B", low=-most, high=most,
            on_pick=lambda place: set_focus(position=first[place[0]]) if place else None,
        )  # fmt: skip


def units(sides: Sides, at: int, there: int | None) -> None:
    """Units that are active at the position, in A and in B."""
    name = benches.chosen_set()
    if sides.model != sides.other_model:
        st.info("Units are compared on one model; choose the same model on both sides.")
        return
    if there is None or name is None:
        st.info("There are no dictionaries here." if name is None else "The selected token stands in A only.")
        return
    found = benches.bench(sides.model, name)
    scan = benches.scan(found)
    made_from = f"{name} {scan.manifest.content_hash if scan else sides.model}"
    rows: dict[str, dict] = {}
    for side, ids, place in (("A", sides.ids, at), ("B", sides.other_ids, there)):
        for row in benches.active(made_from, ids, place, found, scan, 2000).tables["units"]:
            kept = rows.setdefault(row["unit"], {"unit": row["unit"], "A": 0.0, "B": 0.0, "density": row["density"]})
            kept[side] = row["activation"]
    if not rows:
        st.info("No unit is active here on either side.", icon=":material/grain:")
        return
    for row in rows.values():
        usual = scan.scale(Unit.parse(row["unit"])) if scan is not None else 1.0
        row["A less B"] = row["A"] - row["B"]
        row["in usual sizes"] = row["A less B"] / (usual or 1.0)
    kinds: dict[str, Callable[[dict], bool]] = {
        "all that move": lambda row: True,
        "only in A": lambda row: not row["B"],
        "only in B": lambda row: not row["A"],
        "in both": lambda row: bool(row["A"] and row["B"]),
    }
    kind = st.segmented_control(
        "Which", list(kinds), default="all that move", required=True, key="pr_versus_units",
        label_visibility="collapsed",
    )  # fmt: skip
    shown = sorted(filter(kinds[kind], rows.values()), key=lambda row: -abs(row["in usual sizes"]))[:200]
    if shown:
        unit_browser.picker(pd.DataFrame(shown), [row["unit"] for row in shown], "pr_versus_rows", drawer=True)
    else:
        st.caption("None.")
    st.caption(
        f"{len(rows):,} units are active in A or B at this token. In usual sizes: over the root mean square of the "
        "unit's activation where it fires."
        if scan is not None
        else f"{len(rows):,} units are active in A or B at this token."
    )


def as_result(sides: Sides, at: int) -> Result:
    """The comparison as an object: tokens side by side, and the predictions at a position."""
    reads = (state.reading(sides.model, sides.ids), state.reading(sides.other_model, sides.other_ids))
    here, there = sides.texts
    tokens = [
        {
            "position": a, "token": here[a], "position_b": b, "token_b": there[b],
            "surprise": float(reads[0].surprise[a]), "surprise_b": float(reads[1].surprise[b]),
        }
        for a, b in zip(sides.pairing.first, sides.pairing.second, strict=True)
    ]  # fmt: skip
    place, scalars, rows = sides.pairing.there(at), {}, []
    if place is not None and sides.one_vocabulary:
        found = diverge(
            state.prompt_pass(sides.model, sides.ids).logits[at],
            state.prompt_pass(sides.other_model, sides.other_ids).logits[place], 40,
        )  # fmt: skip
        scalars = {"kl_a_b": found.forward, "kl_b_a": found.backward, "jensen_shannon": found.jensen_shannon}
        words = state.shelf().get(sides.model).tokenizer.strings(list(found.tokens))
        rows = [
            {"token": word, "first": p, "second": q, "difference": q - p}
            for word, p, q in zip(words, found.first, found.second, strict=True)
        ]
    return Result(
        "prompt comparison",
        scalars,
        {"predictions": rows, "tokens": tokens},
        params={
            "first": "".join(here), "second": "".join(there), "position": at, "model": sides.model,
            "other_model": sides.other_model,
        },
        notes=("Probabilities of the next token; divergences in nats.",),
    )  # fmt: skip
