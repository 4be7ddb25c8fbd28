"""Report: the one truth behind every rendering, schema `workbench.report/1`."""

import hashlib
import json
from typing import Any, Literal
from xml.etree import ElementTree

from pydantic import Field, field_validator

from workbench.core import Config

from .blocks import Block

SCHEMA = "workbench.report/1"
SVG_ELEMENTS = frozenset(
    (
        *("svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"),
        *("title", "desc", "style", "defs", "use", "clipPath", "a", "marker"),
    )
)


class Asset(Config):
    """A picture, addressed by the sha256 of its text; pages inline it, so only harmless SVG is accepted."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    media_type: Literal["image/svg+xml"] = "image/svg+xml"
    text: str

    @field_validator("text")
    @classmethod
    def _harmless(cls, text: str) -> str:
        check_svg(text)
        return text


class Report(Config):
    """Ordered blocks, the pictures that they point at by hash, and the environment that made them."""

    schema_name: Literal["workbench.report/1"] = Field(default=SCHEMA, alias="schema")
    blocks: tuple[Block, ...]
    assets: dict[str, Asset] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)

    def block(self, kind: str) -> Any:
        """The first block of a kind, None where there is none."""
        return next((block for block in self.blocks if block.kind == kind), None)

    def picture(self, sha: str) -> str:
        """The text of an asset, empty for none."""
        return self.assets[sha].text if sha else ""

    def __repr__(self) -> str:
        header = self.block("header")
        return (
            f"Report({header.title!r}, {len(self.blocks)} blocks)" if header else f"Report({len(self.blocks)} blocks)"
        )


def check_svg(text: str) -> None:
    """Refuse what is no drawing: scripts, event handlers, foreign content, addresses outside the page.

    Raises:
        ValueError: with the first thing found.
    """
    if "<!" in text or "<?" in text:
        raise ValueError("an SVG asset holds no declarations or entities")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"an SVG asset must be well-formed: {error}") from None
    for element in root.iter():
        tag = str(element.tag).rsplit("}")[-1]
        if tag not in SVG_ELEMENTS:
            raise ValueError(f"an SVG asset holds no <{tag}>")
        for name, value in element.attrib.items():
            name = name.rsplit("}")[-1].lower()
            if name.startswith("on") or (name in ("href", "src") and not value.startswith("#")):
                raise ValueError(f"an SVG asset holds no attribute {name}={value[:40]!r}")
        if tag == "style" and any(word in (element.text or "").lower() for word in ("@import", "url(", "expression(")):
            raise ValueError("an SVG asset's style loads nothing")


def add_picture(assets: dict[str, Asset], name: str, text: str) -> str:
    """Put a picture among the assets; returns its hash."""
    sha = hashlib.sha256(text.encode()).hexdigest()
    assets[sha] = Asset(name=name, text=text)
    return sha


def report_id(blocks: tuple[Block, ...]) -> str:
    """12 hex digits over every block; the header counts without its time and without the id itself."""
    data = [block.model_dump(mode="json", exclude={"created", "report_id"}) for block in blocks]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def report_schema() -> dict[str, Any]:
    """The JSON schema of report.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema(by_alias=True)}
