from .codebook_features import read_codebook_features as read_codebook_features
from .delphi import LatentCache as LatentCache, cache_folder_name as cache_folder_name
from .exchange import (
    Exchanged as Exchanged,
    export as export,
    find_format as find_format,
    formats as formats,
    licence_of as licence_of,
    model_card as model_card,
    read_foreign as read_foreign,
)
from .format import Format as Format
from .graph import graph_formats as graph_formats, read_graph as read_graph, write_graph as write_graph
from .graph_extension import GraphFile as GraphFile
from .graph_json import graph_document as graph_document
from .graph_json_read import graph_from_document as graph_from_document
from .hub import HubRef as HubRef, fetch as fetch, upload as upload
from .import_config import ImportConfig as ImportConfig
from .saebench import write_saebench as write_saebench
from .source import Source as Source
from .weight_masks import read_weight_masks as read_weight_masks
from .weights import CoderWeights as CoderWeights, CrossLayerWeights as CrossLayerWeights
from .writing import write_folder as write_folder
