from .exchange import (
    Exchanged as Exchanged,
    export as export,
    find_format as find_format,
    formats as formats,
    read_foreign as read_foreign,
)
from .format import Format as Format, ImportConfig as ImportConfig
from .source import Source as Source
from .weights import CoderWeights as CoderWeights, CrossLayerWeights as CrossLayerWeights
