"""write_report: the only door through which this room writes files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.core import ConfigError, Manifest, nearest, write_artifact

from .html import report_html
from .interactive import report_interactive
from .json import report_json
from .markdown import report_markdown
from .pdf import report_pdf
from .report import Report

FORMATS: dict[str, tuple[str, Callable[[Report], bytes]]] = {
    "html": ("report.html", lambda report: report_html(report).encode()),
    "interactive": ("interactive.html", lambda report: report_interactive(report).encode()),
    "json": ("report.json", report_json),
    "markdown": ("report.md", lambda report: report_markdown(report).encode()),
    "pdf": ("report.pdf", report_pdf),
}


def write_report(report: Report, folder: Path, formats: Sequence[str] = ("html", "json")) -> dict[str, Path]:
    """Write a report folder atomically: every rendering is there, or what was there before is untouched.

    Markdown brings its pictures in `assets/`.

    Returns:
        format -> file.

    Raises:
        ConfigError: unknown format, or no way to make a PDF. ArtifactError: the folder cannot be written.
    """
    folder = Path(folder)
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ConfigError(f"unknown report format {unknown[0]!r}", hint=nearest(unknown[0], FORMATS))
    files = {FORMATS[name][0]: FORMATS[name][1](report) for name in formats}
    if "markdown" in formats:
        files |= {f"assets/{asset.name}.svg": asset.text.encode() for asset in report.assets.values()}
    write_artifact(folder, _manifest(report, folder.name), files=files)
    return {name: folder / FORMATS[name][0] for name in formats}


def _manifest(report: Report, name: str) -> Manifest:
    told, header = report.block("reproduce"), report.block("header")
    values = {"created": header.created, "partial": header.partial} if header else {}
    if told is not None:
        parents = {"graph": told.graph_hash} if told.graph_hash else {}
        values |= {"model": told.model, "text": told.text, "parents": parents}
    details = {"title": header.title, "report_id": header.report_id} if header else {}
    return Manifest(kind="report", name=name, details=details, **values)
