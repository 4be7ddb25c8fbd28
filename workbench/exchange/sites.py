"""Where a foreign dictionary reads and writes: their hook names and module paths as Sites, and back."""

import re

from workbench.core import ArtifactError, Site, SiteError

_BLOCK = re.compile(r"(?:^|[./])(?:layers|h|blocks|block)[._](\d+)(?:[._](\w+))?$")
_PARTS = {
    "": "resid_post",
    "mlp": "mlp_out",
    "feed_forward": "mlp_out",
    "attn": "attn_out",
    "self_attn": "attn_out",
    "attention": "attn_out",
}
_LAYERS = (
    re.compile(r"(?:^|[^a-z0-9])layers?[_.\-/]?(\d{1,3})(?!\d)", re.IGNORECASE),
    re.compile(r"(?:^|[^a-z0-9])(?:blocks|h)\.(\d{1,3})(?!\d)"),
    re.compile(r"(?:^|[^a-z0-9])l(\d{1,3})(?![a-z0-9_])", re.IGNORECASE),  # `-l19`, not the L0 in `average_l0_82`
)


def hook_site(name: str | None, layer: int | None = None, head: int | None = None) -> Site | None:
    """The Site of a TransformerLens hook name; one without a layer (`hook_mlp_out`) takes `layer`.

    Raises:
        ArtifactError: a name that no Site has.
    """
    if not name:
        return None
    full = name if layer is None or name.startswith("blocks.") else f"blocks.{layer}.{name}"
    try:
        site = Site.parse(full)
        return site if head is None else Site(site.kind, site.layer, head)
    except SiteError as error:
        raise ArtifactError(f"the dictionary reads or writes {full[:80]!r}", str(error)[:160], "name --site") from None


def module_site(path: str, transcodes: bool) -> tuple[Site, Site] | None:
    """What a module path of a Hugging Face model (`layers.3.mlp`) means for an autoencoder or a transcoder.

    An autoencoder reads and writes the module's output; a transcoder reads its input.
    """
    if path.split(".")[-1] in ("embed_tokens", "wte", "embed_in"):
        return (Site("embed"), Site("embed"))
    match = _BLOCK.search(path)
    if not match or (match[2] or "") not in _PARTS:
        return None
    layer, kind = int(match[1]), _PARTS[match[2] or ""]
    write = Site(kind, layer)
    if not transcodes:
        return write, write
    return Site({"resid_post": "resid_pre", "mlp_out": "mlp_in", "attn_out": "attn_in"}[kind], layer), write


def module_path(read: Site, write: Site) -> str:
    """The module path that sparsify would train such a dictionary on.

    Raises:
        ArtifactError: no module has this input and output.
    """
    paths = {"resid_post": "layers.{}", "mlp_out": "layers.{}.mlp", "attn_out": "layers.{}.attn"}
    inputs = {"resid_post": "resid_pre", "mlp_out": "mlp_in", "attn_out": "attn_in"}
    if write == Site("embed") == read:
        return "embed_tokens"
    fits = write.kind in paths and (read == write or read == Site(inputs[write.kind], write.layer))
    if not fits or write.layer is None:
        raise ArtifactError(
            f"sparsify knows modules, and none turns {read} into {write}",
            hint=f"it can hold dictionaries on {', '.join(paths)}, or from a module's input to its output",
        )
    return paths[write.kind].format(write.layer)


def layer_in(*texts: str | None) -> int | None:
    """The layer that file and folder names give (`layer_12`, `blocks.3`, `l19`), None if none does."""
    for pattern in _LAYERS:
        for text in texts:
            if text and (found := pattern.findall(text)):
                return int(found[-1])
    return None
