"""A model seen as components: what each writes, the gradient at what each reads, and runs along chosen edges."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Site, SiteError
from workbench.models import HookedModel, TokenBatch

from .components import Components
from .contrast import Contrast, Readout

Activations = Mapping[Site, Tensor]
Function = tuple[Site, Callable[[Tensor], Tensor | None]]
EMBED, FINAL = Site("resid_pre", 0), Site("final_norm")


class ComponentModel:
    """One model's components with the matrices by which heads write.

    The output of a source is what it adds to the residual stream; all outputs and the (constant) output biases of
    attention add up to the stream. Where attention's output is normed before it is added (sandwich norms), a
    head's output is its part of the normed one, with the scale of the run that it was read in.
    """

    def __init__(self, model: HookedModel) -> None:
        self.model = model
        self.components = Components.of(model.shape)
        self.readout = Readout.of(model)
        self._params = model.params()
        self._write = [self._write_matrix(layer) for layer in range(model.shape.n_layers)]

    def _write_matrix(self, layer: int) -> Float[Tensor, "h e d"]:
        matrix = self._params[f"blocks.{layer}.attn.W_O"]
        if not self.model.shape.sandwich:
            return matrix
        matrix = matrix - matrix.mean(-1, keepdim=True) if self.model.shape.norm == "layer" else matrix
        return matrix * self._params[f"blocks.{layer}.ln1_post.w"]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where sources are read: the embedding, every layer's heads (attn_z) and MLP."""
        layers = range(self.components.n_layers)
        return (EMBED, *(Site(kind, layer) for layer in layers for kind in ("attn_z", "mlp_out")))

    def check_edges(self) -> None:
        """Refuse a family whose heads cannot be given inputs of their own.

        Raises:
            SiteError: so it is.
        """
        if "attn_q_input" not in self.model.site_kinds() or "mlp_input" not in self.model.site_kinds():
            found = f"{self.model.shape.family} computes queries, keys and values in one piece"
            raise SiteError("edges need a model whose heads read separately", found, "use a method at node level")

    @torch.no_grad()
    def activations(self, tokens: TokenBatch) -> dict[Site, Tensor]:
        """What sources hold in a plain run, and the scales of sandwich norms."""
        scales = [Site("ln1_post_scale", layer) for layer in range(self.components.n_layers)]
        return self.model.capture(tokens, [*self.sites, *(scales if self.model.shape.sandwich else [])])

    def outputs(self, activations: Activations) -> Float[Tensor, "sources n d"]:
        """What sources write, positions of all prompts in a row."""
        embed = activations[EMBED].flatten(0, 1)
        written = embed.new_empty(len(self.components.sources), *embed.shape)
        written[0] = embed
        for layer in range(self.components.n_layers):
            scale = activations.get(Site("ln1_post_scale", layer))
            self.write_heads(layer, activations[Site("attn_z", layer)], scale, written[self.components.heads(layer)])
            written[self.components.mlp(layer)] = activations[Site("mlp_out", layer)].flatten(0, 1)
        return written

    def write_heads(self, layer: int, z: Tensor, scale: Tensor | None, out: Float[Tensor, "h n d"]) -> None:
        """Put what the heads of a layer write into `out`, given z [b t h e] and the scale of a norm behind them."""
        z = z if scale is None else z / scale[..., None]
        torch.bmm(z.flatten(0, 1).transpose(0, 1), self._write[layer], out=out)

    def value(self, batch: Contrast, functions: Sequence[Function] = (), corrupted: bool = False) -> Tensor:
        """The metric of every prompt [b] in a run with functions; of the corrupted prompts if asked."""
        tokens = batch.corrupted_batch if corrupted else batch.clean_batch
        run = self.model.intervene(tokens, functions, sites=[FINAL], logits=False)
        return self.readout.metric(run.activations[FINAL], batch)

    @torch.no_grad()
    def run_edges(
        self, batch: Contrast, ablated: Float[Tensor, "sources n d"], keep: Float[Tensor, "readers sources"]
    ) -> Float[Tensor, " b"]:
        """The metric of a run in which every reader gets, of every source, `keep` parts of what the source writes in
        this very run and 1 - keep parts of its ablated output."""
        return self.value(batch, EdgeRun(self, batch.clean.shape, ablated, keep).functions())

    @torch.enable_grad()
    def site_gradients(
        self, batch: Contrast, sites: Sequence[Site], functions: Sequence[Function] = ()
    ) -> tuple[dict[Site, Tensor | None], Float[Tensor, " b"]]:
        """The gradient of each prompt's metric at sites (None where nothing depends on them), and the metrics."""
        seen: dict[Site, Tensor] = {}

        def tap(site: Site) -> Function:
            def function(x: Tensor) -> Tensor:
                seen[site] = x.clone() if x.requires_grad else x.detach().requires_grad_()
                return seen[site]

            return site, function

        value = self.value(batch, [*functions, (EMBED, _leaf), *(tap(site) for site in sites)])
        found = torch.autograd.grad(value.sum(), list(seen.values()), allow_unused=True)
        return dict(zip(seen, found, strict=True)), value.detach()

    def gradients(
        self, batch: Contrast, functions: Sequence[Function] = ()
    ) -> tuple[Float[Tensor, "readers n d"], Float[Tensor, " b"]]:
        """The gradient of each prompt's metric at what every reader reads, and the metrics."""
        reading = [part for layer in range(self.components.n_layers) for part in self.components.reading(layer).items()]
        readers = len(self.components.readers)
        reading.append((self.components.last_site, slice(readers - 1, readers)))
        grads, value = self.site_gradients(batch, [site for site, _ in reading], functions)
        gathered = value.new_zeros(readers, batch.clean.numel(), self.model.shape.d_model)
        for site, own in reading:
            grad = grads[site]
            if grad is not None:
                gathered[own] = _readers_first(grad)
        return gathered, value


def _leaf(x: Tensor) -> Tensor:
    return x if x.requires_grad else x.detach().requires_grad_()


def _readers_first(grad: Tensor) -> Float[Tensor, "r n d"]:
    """[b t d] or [b t r d] -> [r n d]."""
    grad = grad[:, :, None] if grad.ndim == 3 else grad
    return grad.flatten(0, 1).transpose(0, 1)


class EdgeRun:
    """The functions of one run in which every reader has an input of its own.

    `gone` holds, for every source met so far, its ablated output minus what it wrote in this run.
    """

    def __init__(self, parts: ComponentModel, shape: torch.Size, ablated: Tensor, keep: Tensor) -> None:
        self.parts, self.components, self.shape = parts, parts.components, (*shape, ablated.shape[-1])
        self.ablated, self.dropped = ablated, (1 - keep.to(ablated.dtype)).to(ablated.device)
        self.gone = torch.empty_like(ablated)
        self._shifts: dict[int, Tensor] = {}
        self._z: Tensor | None = None

    def functions(self) -> list[Function]:
        """What must happen at which sites, in the order of computation."""
        found: list[Function] = [(EMBED, self._embed)]
        for layer in range(self.components.n_layers):
            first = layer * self.components.readers_per_layer
            for site, readers in self.components.reading(layer).items():
                own = slice(readers.start - first, readers.stop - first)
                found.append((site, self._mlp_reader(layer) if site.kind == "mlp_input" else self._reader(layer, own)))
                if site.kind == "attn_v_input":
                    found += self._attention(layer)
            found.append((Site("mlp_out", layer), self._mlp(layer)))
        return [*found, (self.components.last_site, self._logits)]

    def _embed(self, x: Tensor) -> None:
        torch.sub(self.ablated[0], x.flatten(0, 1), out=self.gone[0])

    def _shift(self, layer: int) -> Float[Tensor, "r b t d"]:
        """What the sources of earlier layers change for every reader of this one."""
        if layer not in self._shifts:
            size, seen = self.components.readers_per_layer, self.components.visible(layer)
            weights = self.dropped[layer * size : (layer + 1) * size, :seen]
            self._shifts = {layer: (weights @ self.gone[:seen].flatten(1)).view(size, *self.shape)}
        return self._shifts[layer]

    def _reader(self, layer: int, own: slice) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            return x + self._shift(layer)[own].permute(1, 2, 0, 3)

        return function

    def _mlp_reader(self, layer: int) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            shift = self._shift(layer)[-1]
            if not self.components.parallel:
                heads = self.components.heads(layer)
                reader = (layer + 1) * self.components.readers_per_layer - 1
                shift = shift + (self.dropped[reader, heads] @ self.gone[heads].flatten(1)).view(self.shape)
            return x + shift

        return function

    def _attention(self, layer: int) -> list[Function]:
        if self.parts.model.shape.sandwich:
            return [(Site("attn_z", layer), self._remember), (Site("ln1_post_scale", layer), self._normed(layer))]
        return [(Site("attn_z", layer), lambda z: self._heads(layer, z, None))]

    def _remember(self, z: Tensor) -> None:
        self._z = z

    def _normed(self, layer: int) -> Callable[[Tensor], None]:
        def function(scale: Tensor) -> None:
            assert self._z is not None
            self._heads(layer, self._z, scale)

        return function

    def _heads(self, layer: int, z: Tensor, scale: Tensor | None) -> None:
        heads = self.components.heads(layer)
        self.parts.write_heads(layer, z, scale, self.gone[heads])
        torch.sub(self.ablated[heads], self.gone[heads], out=self.gone[heads])

    def _mlp(self, layer: int) -> Callable[[Tensor], None]:
        def function(x: Tensor) -> None:
            number = self.components.mlp(layer)
            torch.sub(self.ablated[number], x.flatten(0, 1), out=self.gone[number])

        return function

    def _logits(self, x: Tensor) -> Tensor:
        return x + (self.dropped[-1] @ self.gone.flatten(1)).view(self.shape)
