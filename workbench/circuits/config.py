"""Settings of the circuits room and the target of a graph; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class Target(Config):
    """A logit difference, the logits of named tokens, or the most probable tokens, at one position.

    Logits are taken before any soft-cap. Single tokens and top tokens are measured against the mean logit of the
    vocabulary, so that what raises every logit counts for nothing (Ameisen et al. 2025).
    """

    kind: Literal["difference", "tokens", "top"] = "top"
    tokens: tuple[int, ...] = Field(default=(), description="token ids; for a difference (target, foil)")
    position: int = Field(default=-1, description="absolute position, negative from the end")
    coverage: float = Field(default=0.95, gt=0, le=1, description="top: probability that the tokens must reach")
    at_most: int = Field(default=10, ge=1, description="top: number of tokens at most")

    @model_validator(mode="after")
    def _tokens_fit(self) -> "Target":
        wanted = {"difference": len(self.tokens) == 2, "tokens": len(self.tokens) >= 1, "top": not self.tokens}
        if not wanted[self.kind]:
            raise ValueError(f"a target of kind {self.kind!r} does not take {len(self.tokens)} tokens")
        return self

    @classmethod
    def difference(cls, target: int, foil: int, position: int = -1) -> "Target":
        """The logit of `target` minus the logit of `foil`."""
        return cls(kind="difference", tokens=(target, foil), position=position)

    @classmethod
    def of(cls, *tokens: int, position: int = -1) -> "Target":
        """The mean of some tokens' logits, each against the vocabulary's mean logit."""
        return cls(kind="tokens", tokens=tokens, position=position)


class TraceConfig(Config):
    """Settings of a trace."""

    max_edges: int = Field(
        default=300_000, ge=1, description="edges kept, by edge influence; those into targets come on top"
    )
    rows_per_block: int = Field(
        default=1024, ge=1, description="targets swept together: more is faster, less is smaller"
    )
    max_feature_nodes: int | None = Field(
        default=None, ge=1, description="features expanded at most, in order of influence; none: every active one"
    )
    expand_per_step: int = Field(
        default=512, ge=1, description="with a bound: features expanded between two rankings by influence"
    )
    influence: bool = Field(
        default=True, description="off: nodes and total effects only, no edges (a hundred times faster)"
    )
    interventions: bool = Field(
        default=True, description="remove groups of features from the model and score what that changes"
    )


class PruneConfig(Config):
    """What is kept. Tokens and targets always are."""

    node_share: float = Field(default=0.8, gt=0, le=1, description="nodes are kept up to this share of all influence")
    edge_share: float = Field(default=0.98, gt=0, le=1, description="then edges, up to this share of edge influence")
    max_features: int | None = Field(
        default=50, ge=1, description="features, neurons or other units kept at most, by |effect|; none: no cap"
    )
    max_errors: int | None = Field(default=10, ge=0, description="error nodes kept at most, by |effect|; none: no cap")


class SumConfig(Config):
    """Which nodes are checked."""

    largest: int = Field(default=50, ge=0, description="features with the largest |total effect|")
    drawn: int = Field(default=50, ge=0, description="further features, drawn by seed")
    seed: int = Field(default=0, ge=0, description="seed of the random draws")


class PathConfig(Config):
    """How far the greedy search for paths goes."""

    branches: int = Field(default=15, ge=1, description="paths that go on to the next step back")
    rounds: int = Field(default=4, ge=1, description="steps back")
    count: int = Field(default=40, ge=1, description="paths reported, largest |value| first")


class ValidateConfig(Config):
    """What is removed and measured."""

    singles: int = Field(
        default=60, ge=0, description="features removed one by one, the largest |total effect| of each set"
    )
    exact: int = Field(default=50, ge=0, description="features of the largest |total effect| measured direct and total")
    exact_drawn: int = Field(default=50, ge=0, description="further features, drawn by seed, measured likewise")
    sizes: tuple[int, ...] = Field(default=(10, 30, 100), description="sizes of the groups removed at once")
    random_groups: int = Field(default=5, ge=0, description="random groups of active features per size")
    batch: int = Field(default=32, ge=1, description="copies of the prompt that run together")
    seed: int = Field(default=0, ge=0, description="seed of the random draws")
