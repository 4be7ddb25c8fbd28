"""What the author of a report says and chooses; the rest comes from the results. Importing it loads no torch."""

from pydantic import Field

from workbench.core import Config


class Licence(Config):
    """Who may do what with a thing that the report shows or was made from."""

    of: str = Field(description="model, text, dictionaries, ...")
    name: str
    licence: str
    url: str = ""


class Group(Config):
    name: str
    members: tuple[str, ...] = Field(description="node ids")
    rationale: str = ""


class WordsConfig(Config):
    """The author's own words."""

    title: str = Field(default="", description="heading; empty: named after the metric and the prompt")
    author: str = Field(default="", description="who made the report")
    finding: str = Field(default="", description="one paragraph; empty: written from the group ablations")
    confidence: str = Field(default="", description="how sure the author is, in the author's words")
    notes: str = Field(default="", description="the author's own limits")


class ReportConfig(WordsConfig):
    """Words of the author and sizes of the rendering."""

    created: str = Field(default="", description="ISO time of the header; empty: now")
    device: str = "cpu"
    command: str = Field(default="", description="the command line that makes this report anew")
    python: str = Field(default="", description="the same as Python")
    groups: tuple[Group, ...] = ()
    licences: tuple[Licence, ...] = ()
    max_nodes: int = Field(default=60, ge=1, le=200, description="nodes drawn and listed")
    max_contexts: int = Field(default=3, ge=0, description="text windows shown a node")
    context_nodes: int = Field(default=40, ge=0, description="nodes that get text windows, most important first")
    single_tolerance: float = Field(default=0.5, gt=0, description="a single ablation passes within this share")
    exact_tolerance: float = Field(default=1e-3, gt=0, description="largest ratio where theory says equal")
    group_tolerance: float = Field(default=0.25, gt=0, description="a group ablation passes within this share")


class AgreeConfig(Config):
    """When two numbers are the same."""

    tolerance: float = Field(
        default=1e-3, ge=0, description="largest difference, as a share of the largest number of its column"
    )
