"""Settings of the search for codes; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class CodeSearchConfig(Config):
    """How text is read and which codes are shown."""

    spliced: bool = Field(default=True, description="read the codes while all of them stand in the model")
    tokens: Literal["last", "first", "all"] = Field(
        default="last", description="which tokens of a captured group are targets"
    )
    least_recall: float = Field(default=0.01, ge=0, le=1, description="leave out codes that hit fewer of the targets")
    least_precision: float = Field(default=0.0, ge=0, le=1, description="leave out codes that are right less often")
    least_count: int = Field(default=5, ge=1, description="leave out codes that are active on fewer tokens")
    share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="a code is a candidate for a window's topic if active on more of its tokens",
    )
    least_z: float = Field(
        default=2.0, ge=0, description="leave out codes of a topic whose windows differ from the others by less"
    )
    neurons: int = Field(
        default=0, ge=0, description="set the best neuron of the model beside so many of the codes found"
    )
    rows: int = Field(default=30, ge=1, description="codes in a table, best first")
    sequences: int | None = Field(default=None, ge=1, description="sequences of the text that are read; none: all")
    batch_sequences: int = Field(default=16, ge=1, description="sequences in one forward pass")
