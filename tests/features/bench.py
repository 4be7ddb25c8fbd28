"""The planted model with an untrained transcoder spread over its text, one feature of which writes a known answer."""

from pathlib import Path

import torch

from workbench.core import MaskPolicy, Site
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import CoderConfig, DictionarySet, make_dictionary
from workbench.features import Bench, FeatureScan, ScanConfig, scan
from workbench.models import TokenBatch, build_places, load_model

ANSWER = "cap-north-korea"
PLANTED = 3


def planted_bench(folder: Path, layers: tuple[int, ...] = (0, 1)) -> tuple[Bench, FeatureScan]:
    model = load_model("planted-places")
    text = pack(open_text("synthetic-places:120"), model.tokenizer, PackConfig(sequence_length=24), MaskPolicy())
    coders = []
    for layer in layers:
        read, write = Site("mlp_in", layer), Site("mlp_out", layer)
        coder = make_dictionary(
            "topk-transcoder",
            CoderConfig(d_sae=24, k=3, start="random"),
            {read: 256},
            {write: 256},
            f"t/mlp_in.{layer}",
        )
        rows = model.capture(TokenBatch(text.ids, text.lengths), [read, write])
        coder.initialise({site: x.flatten(0, 1) for site, x in rows.items()}, layer)
        coders.append(coder.requires_grad_(False))
    with torch.no_grad():
        coders[-1].W_dec[PLANTED] = build_places().basis[f"say {ANSWER}"]
    members = DictionarySet(coders, "t")
    return Bench(model, members), scan(model, members, text, folder / "scan", ScanConfig(sequences=60))
