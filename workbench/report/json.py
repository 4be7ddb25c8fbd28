"""report.json: the report itself, with sorted keys and full precision."""

import json
from pathlib import Path

from pydantic import ValidationError

from workbench.core import ArtifactError

from .report import SCHEMA, Report


def report_json(report: Report) -> bytes:
    """The same report always gives the same bytes."""
    data = report.model_dump(mode="json", by_alias=True)
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_report(path: Path) -> Report:
    """Read what `report_json` wrote.

    Raises:
        ArtifactError: no such file, not JSON, or another schema.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"no report at {path}", hint="give a report folder or its report.json") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read the report {path}", found=str(error)) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ArtifactError(f"wanted a report of schema {SCHEMA} at {path}", found=f"found {found}")
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"the report {path} is not valid", found=f"{place}: {first['msg']}") from None
