import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

import workbench.report
from workbench.core import ArtifactError
from workbench.report import SCHEMA, Report, read_report, report_json, report_schema
from workbench.report.report import Asset

STORED = Path(workbench.report.__file__).parent / "report.schema.json"


def test_the_stored_schema_is_that_of_the_model():
    assert json.loads(STORED.read_text()) == report_schema()


def test_a_report_is_valid_against_the_stored_schema(report):
    schema = json.loads(STORED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(report_json(report))
    jsonschema.validate(data, schema)
    assert data["schema"] == SCHEMA
    data["blocks"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)


def test_json_reads_back_as_the_same_report(report, tmp_path):
    (tmp_path / "report.json").write_bytes(report_json(report))
    assert read_report(tmp_path) == report


def test_the_same_study_gives_the_same_bytes(report, make_report):
    assert report_json(make_report()) == report_json(report)


def test_only_the_header_knows_the_time(report, make_report, config):
    later = make_report(config.model_copy(update={"created": "2030-01-01T00:00:00+00:00"}))
    assert later.block("header").report_id == report.block("header").report_id
    assert later.blocks[1:] == report.blocks[1:]
    assert later.assets == report.assets


def test_every_block_is_there_once_and_pictures_are_found(report):
    kinds = [block.kind for block in report.blocks]
    wanted = {"header", "behaviour", "validation", "prompts", "graph", "nodes", "evaluation", "limits"}
    assert set(kinds) == wanted | {"reproduce", "appendix"}
    assert len(kinds) == len(set(kinds))
    assert report.picture(report.block("graph").picture).startswith("<svg")
    assert report.picture("") == ""
    assert report.block("nothing") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "no <script>"),
        ("<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", "no attribute onload"),
        ("<svg xmlns='http://www.w3.org/2000/svg'><a href='http://x'/></svg>", "no attribute href"),
        ("<svg xmlns='http://www.w3.org/2000/svg'><foreignObject/></svg>", "no <foreignObject>"),
        ("<svg xmlns='http://www.w3.org/2000/svg'><style>@import 'x'</style></svg>", "loads nothing"),
        ("<!DOCTYPE svg><svg/>", "no declarations"),
        ("<svg>", "well-formed"),
    ],
)
def test_assets_that_could_do_harm_are_refused(text, said):
    with pytest.raises(ValidationError, match=said):
        Asset(name="x", text=text)


def test_asset_names_cannot_leave_their_folder():
    with pytest.raises(ValidationError):
        Asset(name="../x", text="<svg/>")


def test_files_that_are_no_report_are_named(report, tmp_path):
    with pytest.raises(ArtifactError, match="no report at"):
        read_report(tmp_path)
    path = tmp_path / "report.json"
    path.write_text("{")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_report(path)
    path.write_text('{"schema": "workbench.report/9"}')
    with pytest.raises(ArtifactError, match="found workbench.report/9"):
        read_report(path)
    data = json.loads(report_json(report))
    data["blocks"][0]["title"] = 3
    path.write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="blocks.0"):
        read_report(path)


def test_an_empty_report_is_possible():
    assert Report(blocks=()).block("header") is None
