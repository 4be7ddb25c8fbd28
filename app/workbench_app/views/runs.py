"""Runs: how trainings went, side by side, also while they go on."""

import pandas as pd
import streamlit as st

from workbench.training import AXES, RunLog, run_curves, run_frontier, settings_table
from workbench_app import exhibit, frame, state
from workbench_app.focus import focus, set_focus
from workbench_app.wording import as_toml, form

SHOWN = ("loss", "fvu", "l0", "dead_share", "loss_recovered", "lr")
POLL = 2.0
TITLES = {"fvu": "FVU", "l0": "L0", "dead_share": "dead", "loss_recovered": "loss recovered"}


def as_python(names: list[str]) -> str:
    return "\n".join(
        [
            "from workbench.training import RunLog, run_curves",
            "from workbench.workspace import Workspace",
            "",
            f"runs = [RunLog(Workspace().path / path) for path in {[state.run_path(name) for name in names]!r}]",
            "for run in runs:",
            "    run.refresh()",
            "run_curves(runs, y='loss', x='step').fig()",
        ]
    )


def overview(runs: list[RunLog]) -> pd.DataFrame:
    """A row a run; a number that none of them recorded has no column."""
    rows = []
    for run in runs:
        last = list(run.last().values())
        row = {
            "run": run.name,
            "state": "finished" if run.finished else "running" if run.live else "unfinished",
            "trained": len(last),
            "steps": max((int(r.get("step", 0)) for r in last), default=0),
        }
        for name in SHOWN[:-1]:
            values = [r[name] for r in last if isinstance(r.get(name), int | float)]
            row[name] = sum(values) / len(values) if values else None
        rows.append({**row, "warnings": len(run.warnings())})
    empty = [name for name in SHOWN[:-1] if all(row[name] is None for row in rows)]
    return pd.DataFrame(rows).drop(columns=empty)


def choose(runs: list[RunLog]) -> list[RunLog]:
    """The runs of the address, else the newest; the table's rows choose others."""
    named = [name for name in (focus().run or "").split(",") if name]
    known = {run.name: run for run in runs}
    if gone := [name for name in named if name not in known]:
        st.warning(
            frame.plain(f"The address names runs that are not in this workspace: {', '.join(gone)}."),
            icon=":material/link_off:",
        )
    chosen = [known[name] for name in named if name in known] or runs[:1]
    table = overview(runs)

    def picked() -> None:
        rows = st.session_state["ru_table"]["selection"]["rows"]
        set_focus(run=",".join(runs[i].name for i in rows) or None)

    st.dataframe(
        table, hide_index=True, key="ru_table", on_select=picked, selection_mode="multi-row", alt="Training runs",
        height=min(38 + 35 * len(table), 300), placeholder="–",
        column_config={
            "trained": st.column_config.NumberColumn(help="dictionaries, or models, trained in this run"),
            **{name: st.column_config.NumberColumn(TITLES.get(name, name), format=form(1)) for name in SHOWN},
            "dead_share": st.column_config.NumberColumn("dead", format="percent", help="units that never fire"),
        },
    )  # fmt: skip
    return chosen


def curves(chosen: list[RunLog]) -> None:
    metrics = list(dict.fromkeys(name for run in chosen for name in run.metrics()))
    dictionaries = list(dict.fromkeys(name for run in chosen for name in run.dictionaries()))
    if not metrics:
        st.info("These runs have not written a record yet.", icon=":material/hourglass_top:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ranked = [name for name in SHOWN if name in metrics] + [name for name in metrics if name not in SHOWN]
        y = st.selectbox("Number", ranked, key="ru_y", bind="query-params", width=180)
        x = st.selectbox(
            "Along", [a for a in AXES if any(a in r for run in chosen for r in run.records[:1])], key="ru_x",
            bind="query-params", format_func=lambda a: AXES[a], width=220,
        )  # fmt: skip
        which = st.selectbox("Of", ["the mean of all", *dictionaries], key="ru_of", width=200)
        smoothing = st.slider("Smoothing", 0.0, 0.99, 0.0, key="ru_smooth", width=150)
        log_x = st.toggle("log x", key="ru_logx")
        log_y = st.toggle("log y", key="ru_logy")
    live = any(run.live for run in chosen)

    @st.fragment(run_every=POLL if live else None)
    def draw() -> None:
        with frame.guard():
            grown = sum(run.refresh() for run in chosen)
            result = run_curves(chosen, y, x, None if which == "the mean of all" else which, smoothing)
            fig = exhibit.coloured(result.fig())
            if log_x:
                fig.update_xaxes(type="log")
            if log_y:
                fig.update_yaxes(type="log")
            if any(row["y"] is not None for row in result.tables["curves"]):
                st.plotly_chart(fig, key="ru_fig", config=exhibit.CONFIG, alt=f"{y} along {AXES[x]}")
            exhibit.download(result, "ru_curves", "curves")
            if live:
                st.caption(f"Read again every {POLL:.0f} s; {grown} new records.")
            if live and not any(run.live for run in chosen):
                st.rerun()

    draw()


def settings(chosen: list[RunLog]) -> None:
    rows = settings_table(chosen)
    if not rows:
        st.caption("These runs say nothing of their settings yet; the first checkpoint does.")
        return
    differs = [bool(row["differs"]) for row in rows]
    st.caption(f"{len(rows)} settings, {sum(differs)} of them differ (marked).")
    shown = pd.DataFrame(rows).drop(columns="differs")
    paint = "font-weight: 700; background: rgba(217,115,13,.18)"
    marked = shown.style.apply(lambda row: [paint if differs[int(str(row.name))] else ""] * len(row), axis=1)
    st.dataframe(marked, hide_index=True, alt="Settings of the runs", placeholder="–")
    for run in chosen:
        st.download_button(
            f"{frame.plain(run.name)} (TOML)", data=lambda run=run: as_toml(run.config()), on_click="ignore",
            file_name=f"{run.name}.toml", icon=":material/download:", key=f"ru_toml_{run.name}", type="tertiary",
        )  # fmt: skip


def where(run: RunLog) -> str:
    """From where a run would go on."""
    if at := run.checkpoints():
        return f"checkpoint at chunk {at[-1]}; training it again goes on from there"
    return "finished, no checkpoint left" if run.finished else "no checkpoint yet"


with frame.guard():
    runs = state.runs()
    if not runs:
        frame.actions(as_python([]))
        frame.missing(
            "There is no training run in this workspace yet.",
            "Every training writes its record; this one takes half a minute and needs no download:",
            "workbench demo --quick",
            looked_in=state.workspace().path,
        )
    else:
        chosen = choose(runs)
        names = [run.name for run in chosen]
        frame.actions(as_python(names), title=f"Training of {', '.join(names)}", result=lambda: run_curves(chosen))
        for run in chosen:
            for text in run.warnings():
                st.warning(frame.plain(f"{run.name}: {text}."), icon=":material/warning:")
        tabs = st.tabs(
            ["Curves", "Settings", "Frontier", "Last records"], key="ru_tab", on_change="rerun", bind="query-params"
        )
        if tabs[0].open:
            with tabs[0], frame.guard():
                curves(chosen)
        if tabs[1].open:
            with tabs[1], frame.guard():
                settings(chosen)
        if tabs[2].open:
            with tabs[2], frame.guard():
                result = run_frontier(runs)
                if result.tables["dictionaries"]:
                    exhibit.figure(result, "ru_frontier", alt="L0 against what is recovered")
                    exhibit.table(result, "ru_frontier_rows")
                else:
                    st.info("No run here tells an L0 and what it recovers.")
        if tabs[3].open:
            with tabs[3], frame.guard():
                rows = [{"run": run.name, **record} for run in chosen for record in run.last().values()]
                st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Last records", placeholder="–")
                for run in chosen:
                    st.caption(frame.plain(f"{run.name}: {where(run)}"))
