"""The models of the codebook paper's automaton that are trained here; importing this loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config, get, names, register


class AutomatonRun(Config):
    """One model: the automaton it reads, its sizes, its codes, and how long it trains.

    Without codes it is a plain model. With them it goes on from the plain model of the same automaton, model and
    codes together; codes start as k-means centres of that model's activations.
    """

    name: str
    paper: bool = Field(description="the paper's automaton and model, or the scaled ones")
    attention: int = Field(default=0, ge=0, description="codes of each head; 0: none")
    mlp: int = Field(default=0, ge=0, description="codes of each MLP; 0: none")
    k: int = Field(default=1, ge=1, description="codes that stand for a vector")
    tokens: float = Field(gt=0, description="millions of tokens")
    lr: float = Field(default=1e-3, gt=0, description="largest learning rate")
    batch: int = Field(default=32, ge=1, description="sequences in a step")
    autocast: bool = Field(default=True, description="multiply in bfloat16")
    start: Literal["plain", "scratch"] = Field(default="plain", description="where a model with codes starts")
    published: str = Field(default="", description="the row of the paper's Table 1 that it is meant for")

    @property
    def plain(self) -> str:
        """The name of the plain model of the same automaton."""
        return "paper-plain" if self.paper else "scaled-plain"

    @property
    def is_plain(self) -> bool:
        return not self.attention and not self.mlp


def add(run: AutomatonRun) -> AutomatonRun:
    """Make a run known by its name."""
    return register("automaton run", run.name)(run)


def automaton_run(name: str) -> AutomatonRun:
    """The run of that name.

    Raises:
        ConfigError: no such run; the nearest names are offered.
    """
    return get("automaton run", name)


def automaton_runs() -> tuple[AutomatonRun, ...]:
    """Every run, the scaled ones first, plain models before those with codes."""
    found = [automaton_run(name) for name in names("automaton run")]
    return tuple(sorted(found, key=lambda run: (run.paper, not run.is_plain, bool(run.mlp), run.k)))


add(AutomatonRun(name="scaled-plain", paper=False, tokens=6, lr=2e-3))
add(AutomatonRun(name="scaled-attn-k1", paper=False, attention=300, tokens=1))
add(AutomatonRun(name="scaled-both-k1", paper=False, attention=300, mlp=600, k=1, tokens=1))
add(AutomatonRun(name="scaled-both-k4", paper=False, attention=300, mlp=600, k=4, tokens=1))
add(AutomatonRun(name="scaled-both-k16", paper=False, attention=300, mlp=600, k=16, tokens=1))
add(AutomatonRun(name="paper-plain", paper=True, tokens=32, lr=1.5e-3, published="no codebook"))
add(AutomatonRun(name="paper-attn-k1", paper=True, attention=2000, tokens=5, published="attn only, k=1, C=2k"))
add(
    AutomatonRun(name="paper-both-k1", paper=True, attention=2000, mlp=2000, tokens=5, published="attn+MLP, k=1, C=10k")
)
add(
    AutomatonRun(
        name="paper-both-k4", paper=True, attention=2000, mlp=2000, k=4, tokens=5, published="attn+MLP, k=4, C=20k"
    )
)
