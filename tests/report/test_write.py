import shutil

import pytest

from workbench.core import ArtifactError, ConfigError, WorkbenchError, read_artifact
from workbench.report import pdf, read_report, report_markdown, write_report
from workbench.report.markdown import escaped


def test_a_folder_is_written_whole_and_reads_back(report, tmp_path):
    written = write_report(report, tmp_path / "mine", ("html", "json", "markdown"))
    assert set(written) == {"html", "json", "markdown"}
    artifact = read_artifact(tmp_path / "mine", "report")
    artifact.verify()
    assert artifact.manifest.created == report.block("header").created
    assert artifact.manifest.model.id == "smollm2-135m-instruct-q4"
    assert read_report(written["json"]) == report
    assert len(list((tmp_path / "mine" / "assets").glob("*.svg"))) == len(report.assets)


def test_what_was_there_stays_when_writing_fails(report, tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    write_report(report, folder)
    before = (folder / "report.html").read_bytes()
    monkeypatch.setattr("workbench.core.artifact.content_hash", lambda folder: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_report(report, folder, ("json",))
    assert (folder / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_unwritable_place_is_named(report, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="cannot write"):
        write_report(report, tmp_path / "file" / "mine")


def test_unknown_formats_offer_the_nearest(report, tmp_path):
    with pytest.raises(ConfigError, match="did you mean html"):
        write_report(report, tmp_path / "mine", ("htlm",))


def test_markdown_has_tables_pictures_and_no_markup_from_outside(report, make_report):
    text = report_markdown(report)
    assert "![group ablations](assets/group-ablations.svg)" in text
    assert "| trained features | 10 | 1.73 | 1.78 ✓ | 2.28 ✗ |" in text
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert min(widths) >= 3
    assert "<script>" not in text.replace("`", "").split("## Behaviour")[0]
    assert escaped("<b>|*x*[y](z)\n#") == "\\<b\\>\\|\\*x\\*\\[y\\]\\(z\\) \\#"


def test_without_any_printer_the_message_says_what_to_install(report, monkeypatch):
    monkeypatch.setattr(pdf, "find_browser", lambda: None)
    monkeypatch.setattr(pdf.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ConfigError, match="neither Chromium or Chrome on PATH nor the package weasyprint"):
        pdf.report_pdf(report)


def test_weasyprint_is_used_where_there_is_no_browser(report, monkeypatch):
    class HTML:
        def __init__(self, string):
            assert string.startswith("<!doctype html>")

        def write_pdf(self):
            return b"%PDF-from-weasyprint"

    monkeypatch.setattr(pdf, "find_browser", lambda: None)
    monkeypatch.setattr(pdf.importlib, "import_module", lambda name: type("weasyprint", (), {"HTML": HTML}))
    assert pdf.report_pdf(report) == b"%PDF-from-weasyprint"


def test_a_browser_that_fails_is_quoted(report, monkeypatch):
    monkeypatch.setattr(pdf, "find_browser", lambda: shutil.which("false"))
    with pytest.raises(WorkbenchError, match="cannot make a PDF"):
        pdf.report_pdf(report)


@pytest.mark.browser
def test_chromium_prints_the_report(report):
    if pdf.find_browser() is None:
        pytest.skip("no Chromium or Chrome on PATH")
    data = pdf.report_pdf(report)
    assert data.startswith(b"%PDF-")
    assert len(data) > 20_000


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 420)])
def test_the_page_opens_without_console_errors_requests_or_sideways_scrolling(report, tmp_path, browser, scheme, width):
    page_path = write_report(report, tmp_path / "mine", ("html",))["html"]
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_path.as_uri())
    page.hover(".wb-graph .node")
    shown = page.evaluate("getComputedStyle(document.querySelector('.wb-graph .edge')).opacity")
    overflow = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    assert said == []
    assert asked == [page_path.as_uri()]
    assert not overflow
    assert float(shown) in (0.06, 1.0)
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 30)")
