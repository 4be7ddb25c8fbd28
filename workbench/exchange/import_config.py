"""Settings of an import; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class ImportConfig(Config):
    """What a file does not say about itself."""

    site: str | None = Field(default=None, description="where it reads, e.g. resid_post.12; needed if no file says so")
    writes: str | None = Field(default=None, description="where it writes, if elsewhere, e.g. mlp_out.12")
    layer: int | None = Field(default=None, ge=0, description="its layer, where the format fixes the rest of the site")
    base_model: str | None = Field(default=None, description="the model it belongs to, if no file says so")
    licence: str | None = Field(default=None, description="its licence, if no model card says so")
