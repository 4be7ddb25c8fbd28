"""HookedModel: the one door to a language model."""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import (
    Edit,
    MaskPolicy,
    ModelError,
    ModelRef,
    Progress,
    RowContext,
    ShapeError,
    Silent,
    Site,
    SiteError,
)

from .addresses import Addresses, at_head
from .generate import Generation, generate
from .packed import ModelMemory, memory, pack_linears, unpack_linears
from .parameters import Parameters
from .precision import keep_double
from .products import Product, products_in_force
from .run import Plan, Run
from .sampling import Sampling
from .shape import ModelShape, read_shape
from .shortcuts import Shortcuts
from .tokens import TokenBatch, as_batch, encode_prompts

Tokens = TokenBatch | Tensor | Sequence[int]


class HookedModel:
    """A decoder-only language model whose tensors can be read and edited at Sites.

    It runs in evaluation mode with its own weights frozen; gradients flow to edits and to `weights=` overrides.
    With `packed` its linear layers run on packed weights where that is the faster product (see `pack`).
    Threads that share it take turns, pass by pass: the hooks of a pass hang on the modules that all of them run.
    """

    def __init__(self, bridge: Any, tokenizer: Any, ref: ModelRef, policy: MaskPolicy, packed: bool = True) -> None:
        self._bridge, self._model = bridge, bridge.original_model
        self._model.eval().requires_grad_(False)
        self.tokenizer, self.ref, self.policy = tokenizer, ref, policy
        self.shape: ModelShape = read_shape(bridge)
        self._addresses = Addresses(bridge, self.shape)
        self._shortcuts = Shortcuts(bridge, self.shape)
        if self.dtype == torch.float64:
            keep_double(bridge)
        self._parameters: Parameters | None = None
        self._turn = threading.RLock()
        if packed:
            self.pack()

    @property
    def device(self) -> torch.device:
        return next(self._model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self._model.parameters()).dtype

    def under(self, policy: MaskPolicy) -> "HookedModel":
        """The same model, weights and all, under another mask policy."""
        other = copy.copy(self)
        other.policy = policy
        return other

    def site_kinds(self) -> tuple[str, ...]:
        """The kinds of Site that this family has."""
        return self._addresses.kinds()

    def tokens(self, text: str | Sequence[str], prepend_bos: bool | None = None) -> TokenBatch:
        """Prompts as right-padded tokens; BOS as the policy says unless told otherwise.

        Raises:
            TextError: an empty prompt, or one longer than the context.
        """
        if self.tokenizer is None:
            raise ModelError("this model has no tokenizer", hint="give token ids instead of text")
        ids, lengths = encode_prompts(text, self.tokenizer, self.policy, self.shape, prepend_bos)
        return TokenBatch(ids.to(self.device), lengths.to(self.device))

    def run(
        self,
        tokens: Tokens,
        edits: Sequence[Edit] = (),
        *,
        sites: Sequence[Site | str] = (),
        logits: bool = True,
        weights: Mapping[str, Tensor] | None = None,
    ) -> Run:
        """One forward pass under the caller's grad mode; without `logits` it ends after the last site needed.

        `weights` replaces parameters by canonical name for this run only (tied matrices are replaced one by
        one); gradients flow to them.

        Raises:
            SiteError, TextError, ShapeError: see the arguments. ModelError: out of memory.
        """
        batch = as_batch(tokens, self.shape, self.device)
        plan = Plan(self._addresses, edits, sites)
        return self._execute(plan, batch.ids, batch.context(), logits, weights)

    @torch.no_grad()
    def capture(self, tokens: Tokens, sites: Sequence[Site | str], edits: Sequence[Edit] = ()) -> dict[Site, Tensor]:
        """Activations at sites, in the model's dtype, without gradients; stops after the last layer needed."""
        return self.run(tokens, edits, sites=sites, logits=False).activations

    def intervene(
        self,
        tokens: Tokens,
        functions: Sequence[tuple[Site | str, Callable[[Tensor], Tensor | None]]],
        *,
        sites: Sequence[Site | str] = (),
        logits: bool = True,
    ) -> Run:
        """One forward pass in which each function sees the tensor at its site and may return another in its place.

        For interventions that an Edit cannot say, because what is written depends on what this very run computed
        before. Functions see all heads of a site; those at one site act in the order given, all before any capture.
        Gradients flow as the caller's grad mode says.
        """
        batch = as_batch(tokens, self.shape, self.device)
        plan = Plan(self._addresses, (), sites)
        for site, function in functions:
            plan.add_function(site, function)
        return self._execute(plan, batch.ids, batch.context(), logits)

    @torch.enable_grad()
    def grads(
        self,
        tokens: Tokens,
        metric: Callable[[Float[Tensor, "b t v"]], Tensor],
        sites: Sequence[Site | str],
        edits: Sequence[Edit] = (),
    ) -> dict[Site, Tensor]:
        """The gradient of a scalar metric of the logits with respect to the tensors at sites."""
        batch = as_batch(tokens, self.shape, self.device)
        plan, deltas = Plan(self._addresses, edits), {}
        for site in sites:
            plan.add_probe(site, deltas)
        run = self._execute(plan, batch.ids, batch.context())
        assert run.logits is not None
        value = metric(run.logits)
        if value.numel() != 1:
            raise ShapeError("a metric gives one number", f"found shape {tuple(value.shape)}")
        found = torch.autograd.grad(value, list(deltas.values()), allow_unused=True)
        grads = {}
        for (site, delta), grad in zip(deltas.items(), found, strict=True):
            grads[site] = at_head(torch.zeros_like(delta) if grad is None else grad, site)
        return grads

    def generate(
        self,
        tokens: Tokens,
        max_new_tokens: int = 20,
        edits: Sequence[Edit] = (),
        sampling: Sampling | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        sites: Sequence[Site | str] = (),
        weights: Mapping[str, Tensor] | None = None,
    ) -> Generation:
        """Continue prompts with a key/value cache; Edits apply at absolute positions, `weights` are those of `run`.

        Raises:
            TextError: prompt and new tokens exceed the context.
        """
        batch = as_batch(tokens, self.shape, self.device)
        plan = Plan(self._addresses, edits, sites)

        def step(ids: Tensor, context: RowContext, inputs: dict[str, Any]) -> Run:
            return self._execute(plan, ids, context, weights=weights, inputs=inputs)

        sampling, progress = sampling or Sampling(), progress or Silent()
        return generate(step, plan, batch, max_new_tokens, sampling, seed, progress, self.shape, self.tokenizer)

    def params(self) -> dict[str, Tensor]:
        """Weights by canonical name and orientation: views or copies, for reading and for `weights=`."""
        return self._canonical.canonical()

    def pack(self, force: bool = False) -> bool:
        """Run the linear layers on weights packed once for this processor; whether they do.

        Nothing is packed where that is not the faster product (on a GPU, in float64, in float32 on Intel's
        processors), or where the copies could take more than a quarter of the memory; `force` packs wherever oneDNN
        can. A copy is made when a layer first runs and takes as much memory again as its weight: see `memory`.
        Results differ in the last bits. Weights that are overridden or train always run unpacked.
        """
        return pack_linears(self._model, force)

    def unpack(self) -> None:
        """Undo `pack`, and give its memory back."""
        unpack_linears(self._model)

    def memory(self) -> ModelMemory:
        """Bytes of the weights, and of the packed copies made so far."""
        return memory(self._model)

    @contextmanager
    def with_mlp(self, layer: int, module: nn.Module) -> Iterator["HookedModel"]:
        """Inside, `module` ([b t d] -> [b t d]) computes the MLP of a layer; mlp_in and mlp_out still work."""
        self._addresses.point(Site("mlp_out", layer))
        mlp = self._bridge.blocks[layer].mlp
        original = mlp.original_component
        mlp.add_module("_original_component", module)
        try:
            yield self
        finally:
            mlp.add_module("_original_component", original)

    def matrices(self) -> tuple[str, ...]:
        """Canonical names of the matrices of attention and MLPs: everything but embeddings, biases and norms."""
        return self._canonical.matrices()

    def as_linear(self, name: str, tensor: Tensor) -> Float[Tensor, "out in"]:
        """A tensor in a matrix's canonical form as [out, in]: a view if it has the strides of `params()[name]`."""
        return self._canonical.as_linear(name, tensor)

    @contextmanager
    def with_products(self, products: Mapping[str, Product]) -> Iterator["HookedModel"]:
        """Inside, the named matrices are multiplied by these functions: (input, weight [out, in], bias) -> output.

        Raises:
            ModelError: there is no such matrix.
        """
        layers = {}
        for name, product in products.items():
            linear, is_in_out = self._canonical.linear(name)
            layers[linear] = product, is_in_out
        with products_in_force(layers):
            yield self

    @contextmanager
    def watch_neurons(self, watchers: Mapping[int, Callable[[Float[Tensor, "n f"]], None]]) -> Iterator[None]:
        """Inside, each function sees what `mlp_post` of its layer holds in every run, without changing it.

        It is given some rows at a time, batch and position flattened, in their order; it may not keep them. Cheaper
        than a Site that is captured: the hidden layer need not be held whole.
        """
        handles = []
        try:
            for layer, watch in watchers.items():
                self._addresses.point(Site("mlp_post", layer))
                last = dict(self._bridge.blocks[layer].mlp.named_children())["out"].original_component
                handles.append(last.register_forward_pre_hook(_seen_by(watch)))
            with self._shortcuts.watched(watchers):
                yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def _canonical(self) -> Parameters:
        if self._parameters is None:
            self._parameters = Parameters(self._bridge, self.shape)
        return self._parameters

    def _execute(
        self,
        plan: Plan,
        ids: Int[Tensor, "b t"],
        context: RowContext,
        logits: bool = True,
        weights: Mapping[str, Tensor] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Run:
        overrides = self._canonical.overrides(weights) if weights else None
        # Right padding needs no mask: a causal model never looks ahead at it.
        kwargs = {"input_ids": ids, "use_cache": False, **(inputs or {})}

        def forward() -> Tensor:
            if overrides is None:
                return self._model(**kwargs).logits
            return torch.func.functional_call(self._model, overrides, (), kwargs, tie_weights=False).logits

        with self._turn, self._switched(plan), self._memory_errors(ids):
            return plan.execute(forward, context, logits)

    @contextmanager
    def _switched(self, plan: Plan) -> Iterator[None]:
        """Turn on what the plan's sites need inside attention, and off again."""
        setters = [getattr(self._bridge, f"set_{switch}") for switch in plan.switches]
        try:
            for setter in setters:
                setter(True)
            with self._shortcuts.fused(not plan.stepwise):
                yield
        except NotImplementedError as error:
            raise SiteError("this model cannot split its attention as asked", str(error)) from None
        finally:
            for setter in setters:
                setter(False)

    @contextmanager
    def _memory_errors(self, ids: Tensor) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or any(
                words in str(error) for words in ("can't allocate memory", "out of memory")
            ):
                found = f"a batch of {tuple(ids.shape)} tokens did not fit into memory on {self.device}"
                raise ModelError(
                    "out of memory", found, "use a smaller batch, shorter prompts or fewer sites"
                ) from None
            raise


def _seen_by(watch: Callable[[Tensor], None]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        watch(inputs[0].flatten(0, -2))

    return look
