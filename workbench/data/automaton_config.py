"""Settings of the automaton; importing them loads no torch."""

from pydantic import Field, model_validator

from workbench.core import Config


class AutomatonConfig(Config):
    """TokFSM (Tamkin, Taufeeque, Goodman 2023): random walks on a graph, states written as two decimal digits."""

    states: int = Field(default=100, ge=2, le=100, description="states of the automaton")
    edges: int = Field(default=10, ge=1, description="distinct successors of each state, all equally likely")
    graph_seed: int = Field(default=42, ge=0, description="seed of the graph; 42 gives the released one")
    length: int = Field(default=128, ge=3, description="tokens of a sequence, the first of them <|endoftext|>")

    @model_validator(mode="after")
    def _edges_fit(self) -> "AutomatonConfig":
        if self.edges > self.states:
            raise ValueError(f"{self.states} states have no {self.edges} distinct successors")
        return self


PAPER_AUTOMATON = AutomatonConfig()
"""The paper's: 100 states with 10 successors each."""
SCALED_AUTOMATON = AutomatonConfig(states=30, edges=5)
"""Small enough to be trained in minutes."""
