"""What an Edit `through` does inside one run: read, encode, tweak, decode, write."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Codes, Edit, ModelError, RowContext, Site, SiteError


class Passage:
    """One codec's way through one forward pass; a codec that reads many sites is fed as they appear."""

    def __init__(self, edit: Edit, context: RowContext) -> None:
        assert edit.codec is not None
        self.edit, self.codec = edit, edit.codec
        self.rows: Bool[Tensor, "b t"] = context.select(edit.rows)
        self._idle = not bool(self.rows.any())
        self.codes: Codes | None = None
        self.losses: dict[str, Tensor] = {}
        self._plain: Codes | None = None
        self._inputs: dict[Site, Tensor] = {}
        self._new: dict[Site, Tensor] = {}

    def read(self, site: Site, x: Tensor) -> None:
        """Take the rows that the codec reads at a site."""
        if not self._idle:
            self._inputs[site] = self._new[site] = take(x, site, self.rows)

    def write(self, site: Site, x: Tensor) -> Tensor:
        """The tensor at a site with the selected rows replaced by the reconstruction."""
        if self._idle:
            return x
        self.encode()
        if self.codes is None or self._plain is None:
            reads = ", ".join(map(str, self.codec.reads))
            raise SiteError(f"{self.codec.name} writes {site} before any of its reads", f"it reads {reads}")
        new = self._reconstruct(self.codes, site)
        if self.edit.keep_error:
            plain = self._reconstruct(self._plain, site) if self.edit.tweaks else new
            new = new + (take(x, site, self.rows) - plain)
        return put(x, site, self.rows, new)

    def encode(self) -> None:
        """Encode what was read since the last call, and apply the tweaks to everything encoded so far."""
        if not self._new:
            return
        codes = self.codec.encode(self._new)
        self._new = {}
        self._plain = codes if self._plain is None else _join(self._plain, codes)
        self.codes = self._plain
        for tweak in self.edit.tweaks:
            self.codes = tweak(self.codes)

    def finish(self) -> None:
        """Encode the reads that no write followed, and ask the codec for auxiliary losses if it has any."""
        self.encode()
        auxiliary = getattr(self.codec, "auxiliary_losses", None)
        if auxiliary is not None and self._plain is not None:
            self.losses = {
                f"{self.codec.name}.{key}": loss for key, loss in auxiliary(self._inputs, self._plain).items()
            }

    def _reconstruct(self, codes: Codes, site: Site) -> Tensor:
        """Decode and bypass at one site; a codec of many layers knows how without decoding into the others."""
        at = getattr(self.codec, "reconstruct_at", None)
        if at is not None:
            return at(codes, self._inputs, site)
        return self._part(self.codec.decode(codes), site) + self._part(self.codec.bypass(self._inputs), site)

    def _part(self, parts: dict[Site, Tensor], site: Site) -> Tensor:
        if site not in parts:
            raise ModelError(
                f"{self.codec.name} decodes nothing for {site}", f"it decodes {', '.join(map(str, parts))}"
            )
        return parts[site]


def _join(first: Codes, second: Codes) -> Codes:
    first, second = first.padded(), second.padded()
    index = torch.cat([first.index, second.index], 1)
    return Codes(index, torch.cat([first.value, second.value], 1), first.width)


def take(x: Float[Tensor, "b t ..."], site: Site, rows: Bool[Tensor, "b t"]) -> Float[Tensor, "n d"]:
    """The selected rows of a tensor at a site; heads lie side by side unless the site names one."""
    picked = x[rows]
    if site.head is not None:
        picked = picked[:, site.head]
    return picked.flatten(1)


def put(x: Tensor, site: Site, rows: Bool[Tensor, "b t"], values: Float[Tensor, "n d"]) -> Tensor:
    """A copy of `x` with the selected rows replaced, in the dtype of `x`."""
    picked = x[rows]
    if site.head is None:
        new = values.reshape(picked.shape)
    else:
        new = picked.index_copy(1, torch.tensor([site.head], device=x.device), values[:, None].to(x.dtype))
    return x.index_put((rows,), new.to(x.dtype))


def check_codec_sites(codec: Any) -> None:
    """Codecs work position by position.

    Raises:
        SiteError: a codec reads or writes scores or patterns.
    """
    for site in (*codec.reads, *codec.writes):
        if site.position_axis != 1:
            raise SiteError(f"{codec.name} cannot work at {site}", "this site has two position axes")
