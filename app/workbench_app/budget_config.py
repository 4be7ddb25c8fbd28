"""What `workbench bench app` measures and against what; importing it loads neither torch nor Streamlit."""

from dataclasses import dataclass

from pydantic import Field

from workbench.core import Config


class AppBenchConfig(Config):
    """How the app is measured: a served app of its own, a headless Chromium, medians of repeated interactions."""

    model: str = Field(default="smollm2-135m-instruct-q4", description="model that is loaded")
    repeats: int = Field(default=5, ge=1, description="times that each interaction is made; the median counts")
    nodes: tuple[int, ...] = Field(default=(500, 1000, 2000), description="sizes of the graphs that are drawn")
    tokens: int = Field(default=1000, ge=64, description="tokens of the long prompt")
    seconds: float = Field(default=30, gt=0, description="longest wait for any one thing")


@dataclass(frozen=True)
class Budget:
    """One row of the budget: what, in which unit, and how much it may be."""

    name: str
    unit: str
    target: float


BUDGETS = (
    Budget("server start to health", "s", 3.0),
    Budget("first visit, cold: title", "s", 2.5),
    Budget("first visit, cold: tokens", "s", 4.0),
    Budget("first visit, cold: first plotly chart", "s", 6.5),
    Budget("reload, warm", "s", 1.5),
    Budget("page switch, warm: median", "s", 1.0),
    Budget("page switch, warm: slowest page", "s", 2.3),
    Budget("prompt Enter to tokens, seen before", "s", 0.6),
    Budget("prompt Enter to tokens, 64 new tokens", "s", 1.5),
    Budget("logit lens tab, computed before", "s", 1.0),
    Budget("token click to page", "s", 0.5),
    Budget("heat-cell click to page", "s", 0.6),
    Budget("hover: messages to the server", "", 0.0),
    Budget("hover: tooltip", "ms", 16.0),
    Budget("graph draw", "ms", 100.0),
    Budget("graph node click", "s", 0.5),
    Budget("attention maps: draw", "ms", 100.0),
    Budget("attention maps: click", "s", 0.5),
    Budget("long prompt: token click", "s", 0.6),
    Budget("job cancelled", "s", 1.5),
    Budget("received per token click", "kB", 20.0),
    Budget("received per node click", "kB", 20.0),
    Budget("memory of one more session", "MB", 200.0),
)
