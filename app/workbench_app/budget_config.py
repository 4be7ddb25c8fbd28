"""What `workbench bench app` measures and against what; importing it loads neither torch nor Streamlit."""

from dataclasses import dataclass

from pydantic import Field, field_validator

from workbench.core import Config, nearest

SECTIONS = ("start", "visits", "pages", "prompt", "lens", "attention", "graph", "long", "cancel", "sessions")


class AppBenchConfig(Config):
    """How the app is measured: a served app of its own, a headless Chromium, medians of repeated interactions."""

    model: str = Field(default="smollm2-135m-instruct-q4", description="model that is loaded")
    only: str = Field(default="", description=f"some of {','.join(SECTIONS)}; empty for all")
    repeats: int = Field(default=5, ge=1, description="times that each interaction is made")
    nodes: tuple[int, ...] = Field(default=(500, 1000, 2000), description="sizes of the graphs that are drawn")
    tokens: int = Field(default=1024, ge=64, description="tokens of the long prompt")
    seconds: float = Field(default=30, gt=0, description="longest wait for any one thing")

    @field_validator("only")
    @classmethod
    def known(cls, value: str) -> str:
        """Only sections that there are."""
        for name in filter(None, value.split(",")):
            if name not in SECTIONS:
                raise ValueError(f"no section {name!r}; {nearest(name, SECTIONS)}")
        return value

    def sections(self) -> tuple[str, ...]:
        """The sections to measure, in their order."""
        wanted = set(filter(None, self.only.split(",")))
        return tuple(name for name in SECTIONS if not wanted or name in wanted)


@dataclass(frozen=True)
class Budget:
    """One row of the budget: in which section it is measured, what, in which unit, how much 95 of 100 may be."""

    section: str
    name: str
    unit: str
    target: float


BUDGETS = (
    Budget("start", "server start to health", "s", 3.0),
    Budget("start", "command to first readable page, no model", "s", 4.0),
    Budget("visits", "first visit, cold: title", "s", 2.5),
    Budget("visits", "first visit, cold: tokens", "s", 4.0),
    Budget("visits", "first visit, cold: first plotly chart", "s", 6.5),
    Budget("visits", "reload, warm", "s", 1.5),
    Budget("pages", "page switch, warm", "s", 1.0),
    Budget("pages", "page switch, warm: slowest page", "s", 1.0),
    Budget("prompt", "prompt Enter to tokens, seen before", "s", 0.6),
    Budget("prompt", "prompt Enter to tokens and prediction, 64 new tokens", "s", 1.5),
    Budget("prompt", "token click to page", "s", 0.5),
    Budget("prompt", "received per token click", "kB", 20.0),
    Budget("prompt", "hover: tooltip", "ms", 16.0),
    Budget("prompt", "hover: messages to the server", "", 0.0),
    Budget("lens", "logit lens of 64 tokens, every layer, first time", "s", 3.0),
    Budget("lens", "logit lens tab, computed before", "s", 1.0),
    Budget("lens", "heat-cell click to page", "s", 0.6),
    Budget("attention", "attention maps: draw", "ms", 100.0),
    Budget("attention", "attention maps: click", "s", 0.5),
    Budget("graph", "graph draw, 500 nodes", "ms", 100.0),
    Budget("graph", "graph draw, 1000 nodes", "ms", 100.0),
    Budget("graph", "graph draw, 2000 nodes", "ms", 100.0),
    Budget("graph", "graph node click", "s", 0.5),
    Budget("graph", "received per node click", "kB", 20.0),
    Budget("long", "1,024 tokens: token click", "s", 0.6),
    Budget("cancel", "job cancelled", "s", 1.5),
    Budget("sessions", "memory of one more session", "MB", 200.0),
    Budget("sessions", "what one session shows of another", "", 0.0),
    Budget("sessions", "models in memory, two sessions", "", 1.0),
)
"""The table of the budget; a row is within it if 95 of 100 are (of few repeats: all but the slowest's last fifth)."""
