"""A workspace with a small set of dictionaries of the planted model and its scan, for the pages about units."""

from pathlib import Path

from workbench.core import Manifest, ModelRef, Site
from workbench.data import PackConfig
from workbench.dictionaries import CoderConfig, DictionarySet, make_dictionary
from workbench.features import ScanConfig
from workbench.models import HookedModel, load_model
from workbench.recipes import scan_by_name
from workbench.workspace import Workspace

MODEL = "planted-places"


def fill_units(folder: Path, name: str = "mine", scanned: bool = True, ref: ModelRef | None = None) -> HookedModel:
    """Transcoders on both layers, one feature of the upper one of a known answer, and a scan of sixty sequences."""
    place, model = Workspace(folder), load_model(MODEL)
    coders = []
    for layer in (0, 1):
        read, write = Site("mlp_in", layer), Site("mlp_out", layer)
        coder = make_dictionary("topk-transcoder", CoderConfig(d_sae=24, k=3), {read: 256}, {write: 256})
        tokens = model.tokens("the man from north korea saw a big dog and said the capital")
        rows = model.capture(tokens, [read, write])
        coder.initialise({site: x.flatten(0, 1).repeat(3, 1) for site, x in rows.items()}, 0)
        coder.name = f"{name}/{read}"
        coders.append(coder)
    manifest = Manifest(kind="dictionary set", model=ref or model.ref, mask=model.policy)
    DictionarySet(coders, name).save(place.path_of("dictionaries", name), manifest)
    if scanned:
        scan_by_name(
            place, name, ScanConfig(sequences=60), text="synthetic-places:120", pack=PackConfig(sequence_length=24),
            split="all",
        )  # fmt: skip
    return model
