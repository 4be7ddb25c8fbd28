"""Settings of the rows that topics are told by; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class TopicRowsConfig(Config):
    """Windows of articles, each one row: a layer's states, averaged over the window."""

    layer: int = Field(default=15, ge=0, description="layer of the language model whose residual stream is averaged")
    window: int = Field(default=64, ge=8, description="tokens in a window, BOS included")
    windows_per_article: int = Field(default=24, ge=1, description="windows taken of one article, evenly spread")
    batch_windows: int = Field(default=16, ge=1, description="windows in one forward pass")
