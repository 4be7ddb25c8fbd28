"""Run: one forward pass with Edits applied and activations captured."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Codes, Edit, RowContext, Site, SiteError

from .addresses import Addresses, Point, at_head
from .through import Passage, check_codec_sites


@dataclass(frozen=True)
class Run:
    """What a forward pass gave.

    Attributes:
        logits: the model's output, after any soft-cap; None when not asked for.
        activations: per asked site the tensor that flows on, after the edits at that site; a site with a head
            has no head axis.
        codes: per codec of a `through` edit the codes that were decoded (tweaks applied), one row per selected
            position in row-major order of `code_rows`; a codec whose rows select nothing is absent.
        losses: auxiliary losses that codecs reported, named `codec.loss`.
    """

    logits: Float[Tensor, "b t v"] | None
    activations: dict[Site, Tensor] = field(default_factory=dict)
    codes: dict[str, Codes] = field(default_factory=dict)
    code_rows: dict[str, Bool[Tensor, "b t"]] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)


class Finished(Exception):
    """Raised inside a forward pass when nothing more of it is needed."""


Action = Callable[[Tensor, "State"], Tensor]
Function = Callable[[Tensor], Tensor | None]


class Plan:
    """Edits and sites checked against a model once, and laid out per hook point; it can run many times.

    At a hook point: the edits of the site that lives there, in the order given, then reads and captures, then
    the edits of resid_mid (they are added to attn_out, which has been read by then).
    """

    def __init__(self, addresses: Addresses, edits: Sequence[Edit] = (), sites: Sequence[Site | str] = ()) -> None:
        self.edits = tuple(edits)
        self.sites = tuple(dict.fromkeys(Site.parse(site) for site in sites))
        self._points: dict[str, Point] = {}
        self._sites: dict[str, Site] = {}
        self._edit: dict[str, list[Action]] = {}
        self._read: dict[str, list[Action]] = {}
        self._late: dict[str, list[Action]] = {}
        self._written = [edit.site for edit in self.edits]
        self.needed: set[str] = set()
        self._addresses = addresses
        for number, edit in enumerate(self.edits):
            self._add_edit(number, edit)
        for site in self.sites:
            self._add_read(site, _capture(site))
        self.kinds = {site.kind for site in self.sites} | {edit.site.kind for edit in self.edits}

    @property
    def switches(self) -> tuple[str, ...]:
        """What the bridge must turn on for these sites."""
        return tuple(sorted({point.switch for point in self._points.values() if point.switch}))

    @property
    def stepwise(self) -> bool:
        """Whether attention must run step by step."""
        return any(point.stepwise for point in self._points.values())

    def _refuse_bypassed_edits(self) -> None:
        """With separate inputs per head, queries, keys and values no longer read the shared norm output."""
        shared = [str(site) for site in self._written if site.kind in ("attn_in", "ln1_scale")]
        if shared and "use_split_qkv_input" in self.switches:
            raise SiteError(
                f"an edit at {shared[0]} would not reach attention while attn_q/k/v_input are used",
                hint="edit attn_q_input, attn_k_input and attn_v_input instead, or resid_pre",
            )

    def _add_edit(self, number: int, edit: Edit) -> None:
        if edit.codec is None:
            self._add_write(edit.site, lambda x, state: edit.apply(x, state.context))
            return
        check_codec_sites(edit.codec)
        for site in edit.codec.reads:
            if site not in edit.codec.writes:
                self._add_read(site, _feed(number, site))
        for site in edit.codec.writes:
            self._add_write(site, _pass(number, site, site in edit.codec.reads))
            self.needed.add(self._addresses.write_point(site).name)

    def _add_read(self, site: Site, action: Action) -> None:
        point = self._use(self._addresses.point(site), site)
        self._read.setdefault(point.name, []).append(action)
        self.needed.add(point.name)

    def _add_write(self, site: Site, action: Action) -> None:
        point = self._use(self._addresses.write_point(site), site)
        if site.kind != "resid_mid":
            self._edit.setdefault(point.name, []).append(action)
            return
        assert site.layer is not None
        before = self._use(self._addresses.point(Site("resid_pre", site.layer)), site)
        self._read.setdefault(before.name, []).append(_remember(site.layer))
        self._late.setdefault(point.name, []).append(_shift(site.layer, action))

    def _use(self, point: Point, site: Site) -> Point:
        self._sites.setdefault(point.name, site)
        return self._points.setdefault(point.name, point)

    def add_probe(self, site: Site | str, deltas: dict[Site, Tensor]) -> None:
        """Add zeros at a site and leave them in `deltas`: their gradient is the gradient at that site."""
        site = Site.parse(site)

        def action(x: Tensor, state: State) -> Tensor:
            deltas[site] = torch.zeros_like(x).requires_grad_()
            return x + deltas[site]

        self._add_write(site, action)

    def add_function(self, site: Site | str, function: Function) -> None:
        """Let a function see the tensor at a site (all heads) and, unless it returns None, replace it."""
        site = Site.parse(site)

        def action(x: Tensor, state: State) -> Tensor:
            changed = function(x)
            return x if changed is None else changed

        self._add_write(site, action)
        self._written.append(site)
        self.needed.add(self._addresses.write_point(site).name)

    def execute(self, forward: Callable[[], Tensor], context: RowContext, want_logits: bool = True) -> Run:
        """Run `forward` (which returns logits) once under this plan.

        Raises:
            SiteError: a captured or edited site lies in a part of the model that did not run.
        """
        self._refuse_bypassed_edits()
        state = State(self, context, want_logits)
        logits = None
        if want_logits or self.needed:
            with self._hooked(state), warnings.catch_warnings():
                # Edits of norm scales make the bridge announce its slower path; that path is what we want.
                warnings.filterwarnings("ignore", message=".*hook_scale/hook_normalized.*")
                try:
                    logits = forward()
                    self._check_reached(state)
                except Finished:
                    logits = None
        return state.result(logits if want_logits else None)

    def _check_reached(self, state: "State") -> None:
        missing = [str(self._sites[name]) for name in self._points if name not in state.reached]
        if missing:
            raise SiteError(f"nothing arrived at {', '.join(missing)}", "that part of the model did not run")

    @contextmanager
    def _hooked(self, state: "State") -> Iterator[None]:
        handles: list[tuple[Any, Any]] = []
        try:
            for name, point in self._points.items():
                handles.append((point.hook, point.hook.add_hook(self._hook(name, state))))
            yield
        finally:
            for hook_point, handle in handles:
                handle.hook.remove()
                hook_point.fwd_hooks.remove(handle)

    def _hook(self, name: str, state: "State") -> Callable[..., Tensor | None]:
        edits, reads, late = self._edit.get(name, ()), self._read.get(name, ()), self._late.get(name, ())

        def act(x: Tensor, hook: Any) -> Tensor | None:
            given = x
            for action in edits:
                x = action(x, state)
            for action in reads:
                action(x, state)
            for action in late:
                x = action(x, state)
            state.passed(name)
            return None if x is given else x

        return act


class State:
    """What one execution of a Plan has gathered so far."""

    def __init__(self, plan: Plan, context: RowContext, want_logits: bool) -> None:
        self.context = context
        self.reached: set[str] = set()
        self.activations: dict[Site, Tensor] = {}
        self.resid_pre: dict[int, Tensor] = {}
        self.passages = {n: Passage(edit, context) for n, edit in enumerate(plan.edits) if edit.codec is not None}
        self._pending = set(plan.needed)
        self._stops = not want_logits

    def passed(self, name: str) -> None:
        """Note that a hook point was reached; stop the pass after the last one that is needed."""
        self.reached.add(name)
        self._pending.discard(name)
        if self._stops and not self._pending:
            raise Finished

    def result(self, logits: Tensor | None) -> Run:
        codes, rows, losses = {}, {}, {}
        for passage in self.passages.values():
            passage.finish()
            if passage.codes is not None:
                codes[passage.codec.name], rows[passage.codec.name] = passage.codes, passage.rows
            losses.update(passage.losses)
        return Run(logits, self.activations, codes, rows, losses)


def _capture(site: Site) -> Action:
    def action(x: Tensor, state: State) -> Tensor:
        state.activations[site] = at_head(x, site)
        return x

    return action


def _remember(layer: int) -> Action:
    def action(x: Tensor, state: State) -> Tensor:
        state.resid_pre[layer] = x
        return x

    return action


def _shift(layer: int, change: Action) -> Action:
    """A change of resid_mid, carried by attn_out."""

    def action(attn_out: Tensor, state: State) -> Tensor:
        resid_mid = state.resid_pre[layer] + attn_out
        return attn_out + (change(resid_mid, state) - resid_mid)

    return action


def _feed(number: int, site: Site) -> Action:
    def action(x: Tensor, state: State) -> Tensor:
        state.passages[number].read(site, x)
        return x

    return action


def _pass(number: int, site: Site, read_first: bool) -> Action:
    def action(x: Tensor, state: State) -> Tensor:
        passage = state.passages[number]
        if read_first:
            passage.read(site, x)
        return passage.write(site, x)

    return action
