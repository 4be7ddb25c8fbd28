"""The blocks of a report: small frozen records that hold numbers in full precision and texts as they are."""

from typing import Annotated, Any, Literal

from pydantic import Field

from workbench.core import Config, ModelRef, TextRef

from .config import Group, Licence

Number = float | None


class Headline(Config):
    """One large number of the header."""

    name: str
    value: Number
    note: str = ""


class HeaderBlock(Config):
    """What was asked and what came out."""

    kind: Literal["header"] = "header"
    title: str
    author: str = ""
    created: str = Field(description="the only wall-clock time of a report")
    report_id: str = Field(default="", description="hash over everything but this block's time")
    tool_version: str
    finding: str
    confidence: str = ""
    headlines: tuple[Headline, ...] = ()
    partial: bool = False


class DictionaryUse(Config):
    """A set of dictionaries that the graph was made with."""

    name: str
    content_hash: str = ""
    family: str = ""
    reads: str = ""
    width: int | None = None
    k: int | None = Field(default=None, description="features active per token, where the gate fixes it")


class ReproduceBlock(Config):
    """Everything that decides the numbers."""

    kind: Literal["reproduce"] = "reproduce"
    prompt: str
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    model: ModelRef | None = None
    device: str = ""
    text: TextRef | None = None
    mask: str = ""
    dictionaries: tuple[DictionaryUse, ...] = ()
    graph_hash: str = ""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict, description="verb -> its settings")
    edits: tuple[dict[str, Any], ...] = ()
    seeds: dict[str, int] = Field(default_factory=dict)
    threads: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    python: str = ""


class NextToken(Config):
    token: str
    token_id: int | None = None
    probability: Number = None
    logit: Number = None


class BehaviourBlock(Config):
    """What the model does on the prompt, and what each token contributes in the graph."""

    kind: Literal["behaviour"] = "behaviour"
    tokens: tuple[str, ...]
    effects: tuple[Number, ...] = Field(default=(), description="total linear effect of each embedding on the metric")
    metric: str
    value: Number
    next_tokens: tuple[NextToken, ...] = ()


class Counts(Config):
    """How many nodes of each kind, and how many edges, at one stage."""

    stage: str
    nodes: dict[str, int]
    edges: int | None = None


class ScoreRow(Config):
    """Graph scores of one set of dictionaries: the one in use or a control."""

    set: str
    scores: dict[str, Number]


class DrawnEdge(Config):
    source: str
    target: str
    weight: float
    share: float = Field(description="|weight| over the sum of |weights| into the target, within the pruned graph")


class GraphBlock(Config):
    """The pruned graph: picture, counts, scores beside controls, and the drawn part in numbers."""

    kind: Literal["graph"] = "graph"
    metric: str
    picture: str = Field(default="", description="sha256 of an asset")
    counts: tuple[Counts, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    drawn_nodes: tuple[str, ...] = ()
    drawn_edges: tuple[DrawnEdge, ...] = ()
    document: dict[str, Any] = Field(default_factory=dict, description="the pruned graph as circuit-tracer's JSON")


class Context(Config):
    """A text window in which a unit is active."""

    rank: int
    activation: Number
    document: str
    tokens: tuple[str, ...]
    values: tuple[Number, ...]
    peak: int
    licence: str = ""


class Checked(Config):
    """Predicted and measured change of the metric when one node is removed."""

    predicted: Number = None
    frozen: Number = None
    free: Number = None
    passed_frozen: bool | None = None
    passed_free: bool | None = None


class NodeRow(Config):
    """One node of the table; `rank` is its number in the picture."""

    rank: int
    id: str
    kind: str
    unit: str = ""
    label: str = ""
    label_source: str = ""
    layer: int
    position: int
    token: str
    activation: Number = None
    influence: Number = None
    effect: Number = None
    density: Number = Field(default=None, description="share of tokens on which the unit is active")
    promoted: tuple[tuple[str, float], ...] = ()
    suppressed: tuple[tuple[str, float], ...] = ()
    contexts: tuple[Context, ...] = ()
    checked: Checked | None = None


class NodesBlock(Config):
    """The drawn nodes, most important first, with what is known of each."""

    kind: Literal["nodes"] = "nodes"
    nodes: tuple[NodeRow, ...]
    contexts_from: str = ""
    licence: str = ""
    licence_url: str = ""
    notes: tuple[str, ...] = ()


class GroupEdge(Config):
    """What one group (or a single node outside every group) hands to another."""

    source: str
    target: str
    weight: float = Field(description="signed share of all edge influence in the pruned graph")


class GroupsBlock(Config):
    """Nodes that the author reads as one thing, and why."""

    kind: Literal["groups"] = "groups"
    groups: tuple[Group, ...] = ()
    edges: tuple[GroupEdge, ...] = ()


class GroupAblation(Config):
    """A group of n features removed: the metric afterwards, mean over seeds."""

    set: str
    n: int
    predicted: Number
    frozen: Number
    free: Number
    sd_frozen: Number = None
    sd_free: Number = None
    seeds: int = 1
    passed_frozen: bool | None = None
    passed_free: bool | None = None


class SingleAblation(Config):
    """One feature removed: predicted and measured change of the metric."""

    set: str
    node: str
    layer: int | None = None
    position: int | None = None
    checked: Checked


class Agreement(Config):
    """How single predictions and measurements agree in one set (and layer band)."""

    set: str
    band: str = Field(default="all", description="layers")
    n: int
    values: dict[str, Number]


class SizeRow(Config):
    """Mean |change of the metric| in one set of single removals."""

    set: str
    n: int
    predicted: Number = None
    frozen: Number = None
    free: Number = None


class ExactCheck(Config):
    """A check where theory says that two numbers must agree."""

    name: str
    n: int | None = None
    largest: Number = Field(default=None, description="largest deviation, relative as the note says")
    tolerance: Number = None
    passed: bool | None = None
    note: str = ""


class ValidationBlock(Config):
    """Interventions: predicted against measured, failures kept, controls beside."""

    kind: Literal["validation"] = "validation"
    metric: str
    baseline: Number
    rule: str
    groups: tuple[GroupAblation, ...] = ()
    singles: tuple[SingleAblation, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    sizes: tuple[SizeRow, ...] = ()
    exact: tuple[ExactCheck, ...] = ()
    group_picture: str = ""
    single_picture: str = ""
    notes: tuple[str, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)


class PromptRow(Config):
    """One prompt of the study at one group size."""

    prompt: str
    metric: str
    baseline: Number
    n: int | None = None
    predicted: Number = None
    frozen: Number = None
    free: Number = None
    untrained_frozen: Number = None
    random_frozen: Number = None
    token_ids: tuple[int, ...] = ()
    target: dict[str, Any] = Field(default_factory=dict, description="what was explained, by token ids")
    passed: bool | None = Field(default=None, description="measured frozen within a quarter of the predicted change")
    beats_untrained: bool | None = Field(default=None, description="measured change at least twice the untrained one")
    note: str = ""


class PromptsBlock(Config):
    """The same test on every prompt of the study."""

    kind: Literal["prompts"] = "prompts"
    rows: tuple[PromptRow, ...]


class EvaluationBlock(Config):
    """How well the dictionaries rebuild what they replace, on held-out text."""

    kind: Literal["evaluation"] = "evaluation"
    scalars: dict[str, Number]
    layers: tuple[dict[str, Any], ...] = ()
    splice: tuple[dict[str, Any], ...] = Field(default=(), description="cross-entropy and KL with layers replaced")
    picture: str = ""
    notes: tuple[str, ...] = ()


class Limit(Config):
    title: str
    text: str


class LimitsBlock(Config):
    """What the numbers do not show."""

    kind: Literal["limits"] = "limits"
    limits: tuple[Limit, ...]
    author_notes: str = ""


class AppendixBlock(Config):
    """Licences, raw tables, history."""

    kind: Literal["appendix"] = "appendix"
    licences: tuple[Licence, ...] = ()
    tables: dict[str, tuple[dict[str, Any], ...]] = Field(default_factory=dict)
    changes: tuple[str, ...] = ()


Cell = str | float | bool | None


class NoteBlock(Config):
    """One thing that an author put into a report: words, a picture, tokens, a table, where it came from."""

    kind: Literal["note"] = "note"
    title: str = ""
    text: str = ""
    picture: str = Field(default="", description="hash of an asset")
    tokens: tuple[str, ...] = ()
    values: tuple[Number, ...] = Field(default=(), description="one a token, or none at all")
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    left_out: int = Field(default=0, description="rows of the table that are not shown")
    notes: tuple[str, ...] = ()
    partial: bool = False
    address: str = Field(default="", description="of the page of the app that it was added from")
    python: str = ""
    source: str = Field(default="", description="content hash of the result or graph that it shows")


Block = Annotated[
    HeaderBlock
    | NoteBlock
    | BehaviourBlock
    | ValidationBlock
    | PromptsBlock
    | GraphBlock
    | NodesBlock
    | GroupsBlock
    | EvaluationBlock
    | LimitsBlock
    | ReproduceBlock
    | AppendixBlock,
    Field(discriminator="kind"),
]
