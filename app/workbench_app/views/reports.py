"""Reports: what was found, in one file for a colleague; the draft, and the reports of the workspace."""

import base64

import pandas as pd
import streamlit as st

from workbench.core import ArtifactError, WorkbenchError
from workbench.recipes import rerun_report, slug
from workbench.report import FORMATS, Report, read_report, report_html, write_report
from workbench.workspace import Entry
from workbench_app import draft, exhibit, frame, state, token_view, work
from workbench_app.analysis import MEASURES
from workbench_app.focus import focus, set_focus
from workbench_app.wording import size

FORMS = {"html": "HTML", "interactive": "HTML, interactive", "json": "JSON", "markdown": "Markdown", "pdf": "PDF"}
KINDS = {"result": "result", "graph": "graph", "text": "words", "environment": "environment"}


def as_python(name: str) -> str:
    return "\n".join(
        [
            "from workbench.report import read_report, report_html",
            "from workbench.workspace import Workspace",
            "",
            f"report = read_report(Workspace().path_of('reports', {name!r}))"
            if name
            else "Workspace().list('reports')",
        ]
    )


def preview(report: Report, height: int = 700) -> None:
    """The light page in a frame of its own: no script runs in it and it is no part of this origin."""
    page = report_html(report)
    data = base64.b64encode(page.encode()).decode()
    st.iframe(f"data:text/html;charset=utf-8;base64,{data}", height=height, alt="Preview of the report")
    st.caption(f"The light page has {size(len(page.encode()))} and loads nothing.")


def listing(entries: list[Entry]) -> None:
    if not entries:
        frame.missing(
            "There is no finished report in this workspace yet.",
            "Put one together in the draft, or let a graph report on itself:",
            "workbench circuit report NAME-OF-A-GRAPH",
            looked_in=state.workspace().folder("reports"),
        )
        return
    for entry in entries:
        with st.container(border=True), frame.guard():
            if entry.manifest is None:
                st.markdown(f"**{frame.plain(entry.name)}**")
                st.error(frame.plain(entry.problem), icon=":material/broken_image:")
                continue
            told = str(entry.manifest.details.get("title") or entry.name)
            st.markdown(f"**{frame.plain(told)}**")
            forms = [name for name, (file, _) in FORMATS.items() if (entry.path / file).is_file()]
            made = entry.manifest.created[:16].replace("T", " ")
            st.caption(frame.plain(f"{entry.name} · {made} · {', '.join(forms)} · {size(entry.bytes)}"))
            st.button(
                "Open", key=f"re_open_{entry.name}", on_click=set_focus, kwargs={"report": entry.name},
                icon=":material/description:",
            )  # fmt: skip


def opened(entry: Entry) -> None:
    """One finished report: preview, downloads, and running it again."""
    st.button("All reports", key="re_back", icon=":material/arrow_back:", on_click=lambda: set_focus(report=None))
    if entry.manifest is None:
        raise ArtifactError(entry.problem)
    report = read_report(entry.path)
    with st.container(horizontal=True):
        for name, (file, make) in FORMATS.items():
            download(name, file, entry.name, lambda report=report, make=make: make(report))
    tabs = st.tabs(["Preview", "Run again"], key="re_tab", on_change="rerun", bind="query-params")
    if tabs[0].open:
        with tabs[0]:
            preview(report)
    if tabs[1].open:
        with tabs[1], frame.guard():
            again(entry, report)


def again(entry: Entry, report: Report) -> None:
    if report.block("reproduce") is None:
        st.info("This report was put together by hand: it names no trace to run again.")
        return
    assert entry.manifest is not None
    done = work.run(
        f"rerun-{entry.manifest.content_hash[:12]}", "Run it again and compare",
        lambda progress: rerun_report(
            state.workspace(), entry.path, evaluation=False, progress=progress, loader=state.shelf().loader
        ),
        name=f"run {entry.name} again", command=f"workbench report rerun {entry.name}",
        about="Traces, prunes, checks and removes again, then lays every number beside the old one.",
    )  # fmt: skip
    if done is not None:
        scalars = done.comparison.scalars
        st.success(frame.plain(", ".join(f"{name} {value:g}" for name, value in scalars.items())))
        for name in done.comparison.tables:
            st.dataframe(done.comparison.df(name), hide_index=True, alt=f"Comparison: {name}")
        exhibit.notes(done.comparison)


def download(form: str, file: str, name: str, make) -> None:
    def data() -> bytes:
        try:
            return make()
        except WorkbenchError as error:  # a PDF without a browser, for one
            return str(error).encode()

    st.download_button(
        FORMS[form],
        data=data, file_name=f"{name}-{file}", on_click="ignore", icon=":material/download:",
        key=f"re_take_{form}",
    )  # fmt: skip


def editor() -> None:
    """Order, captions and parts of the blocks; every change is kept at once."""
    blocks, told = draft.blocks(), draft.words()
    words(told)
    adding()
    if not blocks:
        st.info(
            "Nothing was added yet. *Add to report* stands at the top of a page once there is something on it: "
            "a prompt, a unit, a circuit, a mask, a probe, a run.",
            icon=":material/post_add:",
        )
        return
    wrong = draft.broken(blocks)
    for why in wrong.values():
        st.warning(frame.plain(f"A block of the draft cannot be shown: {why}"), icon=":material/link_off:")
    order(blocks, wrong)
    parts([block for block in blocks if block["id"] not in wrong], blocks)
    st.divider()
    made = draft.report(blocks, draft.words())
    name = st.text_input("Name", value=slug(told["title"] or "report"), key="re_name", max_chars=60)
    with st.container(horizontal=True):
        for form, (file, make) in FORMATS.items():
            download(form, file, slug(name), lambda make=make: make(made))

        def finish() -> None:
            path = state.workspace().path_of("reports", slug(name))
            write_report(made, path, ("html", "json", "markdown"))
            set_focus(report=slug(name))

        st.button("Keep in the workspace", type="primary", key="re_keep", on_click=finish, icon=":material/save:")
    preview(made)


def words(told: dict[str, str]) -> None:
    def keep() -> None:
        draft.keep(draft.blocks(), {name: st.session_state[f"re_{name}"] for name in draft.WORDS})

    left, right = st.columns([3, 1])
    left.text_input("Title", value=told["title"], key="re_title", on_change=keep, max_chars=300)
    right.text_input("Author", value=told["author"], key="re_author", on_change=keep, max_chars=100)
    st.text_area("Finding", value=told["finding"], key="re_finding", on_change=keep, max_chars=5000, height=80)
    st.text_input("How sure", value=told["confidence"], key="re_confidence", on_change=keep, max_chars=1000)


def adding() -> None:
    with st.popover("Add words", icon=":material/notes:"), st.form("re_words", clear_on_submit=True, border=False):
        title = st.text_input("Heading", max_chars=300)
        text = st.text_area("Text", max_chars=20_000)
        if st.form_submit_button("Add") and (title or text):
            draft.write("text", title, text)
            st.rerun()
    with st.popover("Add a token view", icon=":material/format_color_text:"), frame.guard():
        token_strip()
    st.button(
        "Add the environment", key="re_environment", icon=":material/memory:", on_click=draft.write,
        args=("environment", "Environment"), type="tertiary",
    )  # fmt: skip


def token_strip() -> None:
    """A prompt on a loaded model, its tokens coloured by how expected they were."""
    loaded = list(state.shelf().names())
    if not loaded:
        st.caption("Load a model first: the sidebar does.")
        return
    with st.form("re_strip", border=False):
        held = focus().model
        model = st.selectbox("Model", loaded, index=loaded.index(held) if held in loaded else 0, key="re_strip_model")
        text = st.text_area("Prompt", value=focus().prompt, max_chars=20_000, key="re_strip_text")
        measure = st.selectbox("Colour", list(MEASURES), key="re_strip_measure")
        if st.form_submit_button("Add", key="re_strip_add") and text:
            token_view.add(model, state.shelf().encode(model, text, focus().bos), measure, f"Tokens of: {text[:60]}")
            st.rerun()


def order(blocks: list[dict], wrong: dict[str, str]) -> None:
    table = pd.DataFrame(
        {
            "order": float(number),
            "kind": KINDS[block["kind"]] + (" (broken)" if block["id"] in wrong else ""),
            "title": block["title"],
            "text": block.get("text", ""),
            "keep": True,
        }
        for number, block in enumerate(blocks, 1)
    )
    key = f"re_order_{hash(tuple((b['id'], b['title'], b.get('text', '')) for b in blocks))}"
    changed = st.data_editor(
        table, hide_index=True, key=key, disabled=["kind"],
        column_config={
            "order": st.column_config.NumberColumn("Order", help="1.5 puts a block between 1 and 2", width="small"),
            "keep": st.column_config.CheckboxColumn("Keep", width="small"),
        },
    )  # fmt: skip
    rows = changed.to_dict("records")
    after = [
        {**block, "title": str(row["title"] or "")[:300], "text": str(row["text"] or "")[:20_000]}
        for _, row, block in sorted(
            ((float(row["order"] or 0), row, block) for row, block in zip(rows, blocks, strict=True)),
            key=lambda t: t[0],
        )
        if row["keep"]
    ]
    if [(b["id"], b["title"], b.get("text", "")) for b in after] != [
        (b["id"], b["title"], b.get("text", "")) for b in blocks
    ]:
        draft.keep(after)
        st.rerun()


def parts(sound: list[dict], blocks: list[dict]) -> None:
    """What of each result is shown."""
    results = [block for block in sound if block["kind"] == "result"]
    if not results:
        return
    with st.expander("What is shown of each result"):
        for block in results:
            with frame.guard(), st.container(horizontal=True, vertical_alignment="bottom"):
                tables = list(draft.result_of(block).tables)
                st.markdown(frame.plain(block["title"]))
                figure = st.toggle("Figure", value=block.get("figure", True), key=f"re_fig_{block['id']}")
                held = block.get("table", "")
                table = st.selectbox(
                    "Table", ["", *tables], index=["", *tables].index(held) if held in tables else 0, width=200,
                    format_func=lambda t: t or "the numbers", key=f"re_table_{block['id']}",
                )  # fmt: skip
                strip = coloured_by(block)
                if (figure, table, strip) != (block.get("figure", True), held, block.get("strip", "")):
                    part = {"figure": figure, "table": table, "strip": strip}
                    draft.keep([{**b, **part} if b is block else b for b in blocks])
                    st.rerun()


def coloured_by(block: dict) -> str:
    """By which number the tokens of a result are coloured; empty: it has none, or they are left out."""
    rows = draft.result_of(block).tables.get("tokens", [])
    if not rows or "token" not in rows[0]:
        return str(block.get("strip", ""))
    numbers = ["", *(n for n in rows[0] if any(isinstance(row.get(n), float) for row in rows))]
    held = block.get("strip", "")
    return st.selectbox(
        "Tokens by", numbers, index=numbers.index(held) if held in numbers else 0, width=160,
        format_func=lambda n: n or "not shown", key=f"re_strip_{block['id']}",
    )  # fmt: skip


with frame.guard():
    entries = state.workspace().list("reports")
    wanted = focus().report
    entry = next((e for e in entries if e.name == wanted), None)
    frame.actions(as_python(entry.name if entry else ""))
    if wanted and entry is None:
        st.warning(frame.plain(f"The report {wanted} is not in this workspace."), icon=":material/link_off:")
    if entry is not None:
        opened(entry)
    else:
        tabs = st.tabs(["Reports", "Draft"], key="re_list", on_change="rerun", bind="query-params")
        if tabs[0].open:
            with tabs[0]:
                listing(entries)
        if tabs[1].open:
            with tabs[1], frame.guard():
                editor()
