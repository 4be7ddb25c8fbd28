"""The models that the server holds, one lock for all of their passes. No user interface, no torch until asked."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from workbench import core

from . import comfort
from .analysis import HELD_TOKENS, LogitRows, Pass, check_length
from .inside import check_model
from .settle import unsettle


class Shelf:
    """Loads models and runs prompts; passes take turns."""

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}
        self.lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """The loaded models, the latest used last."""
        return tuple(self._models)

    def load(self, name: str, progress: core.Progress) -> str:
        """Load a model and keep it; returns its name.

        Raises:
            ModelError: unknown, or a path outside the workspace that the app was not started with.
        """
        from workbench.models import load_model

        if name not in self._models:
            check_model(name)
            model = load_model(name, progress=progress)
            with self.lock:
                self._models[name] = model
            self.trim()
        return name

    def trim(self) -> None:
        """Let models go that are more than the settings allow, the one used longest ago first."""
        with self.lock:
            while len(self._models) > comfort.chosen().models:
                self._models.pop(next(iter(self._models)))
                unsettle()

    def loader(self, name: str, *, dtype: str = "float32", policy: core.MaskPolicy | None = None, **more: Any) -> Any:
        """`load_model` for verbs that load by name: hands out the model that is held, so that there is one in memory.

        Another dtype than that of the shelf is loaded for the caller alone.
        """
        from workbench.models import load_model

        policy = policy or core.MaskPolicy()
        if dtype != "float32":
            return load_model(name, dtype=dtype, policy=policy, **more)
        self.load(name, more.get("progress") or core.Silent())
        held = self.get(name)
        return held if held.policy == policy else held.under(policy)

    def unload(self, name: str) -> None:
        """Let a model go."""
        with self.lock:
            self._models.pop(name, None)
            unsettle()

    def get(self, name: str) -> Any:
        """A loaded model.

        Raises:
            ModelError: it is not loaded (any more).
        """
        if name not in self._models:
            raise core.ModelError(f"{name} is not loaded", hint="load it in the sidebar")
        self._models[name] = self._models.pop(name)
        return self._models[name]

    def encode(self, name: str, text: str, bos: bool | None) -> tuple[int, ...]:
        """Token ids of a text; no pass is made."""
        model = self.get(name)
        return tuple(model.tokens(text, prepend_bos=bos).ids[0].tolist())

    def run(self, name: str, ids: tuple[int, ...]) -> Pass:
        """One pass, logits at every position; those of a long prompt are read out when they are looked at."""
        import torch

        model = self.get(name)
        check_length(len(ids), model.shape.n_ctx)
        with self.lock, torch.inference_mode():
            if len(ids) > HELD_TOKENS:
                logits = _rows(model, torch.tensor([ids]))
            else:
                logits = model.run(torch.tensor([ids])).logits[0].float().cpu().numpy()
        special = set(model.tokenizer.special_ids)
        texts = tuple(model.tokenizer.strings(list(ids)))
        return Pass(ids, texts, tuple(token in special for token in ids), logits)

    def lens(self, name: str, ids: tuple[int, ...], target: int | None) -> core.Result:
        """The logit lens at the embedding and after every block."""
        import torch

        from workbench_probes import prompt_lens

        model = self.get(name)
        check_length(len(ids), model.shape.n_ctx, HELD_TOKENS, "the logit lens")
        with self.lock:
            return prompt_lens(model, torch.tensor(ids), target=target, top=10)

    def attention(self, name: str, ids: tuple[int, ...]) -> tuple[np.ndarray, core.Result]:
        """Patterns [l h t t] of a prompt and the scores of the heads."""
        import torch

        from workbench_probes import prompt_heads

        model = self.get(name)
        check_length(len(ids), model.shape.n_ctx, HELD_TOKENS, "the attention grid")
        with self.lock:
            result = prompt_heads(model, torch.tensor(ids))
        return result.arrays["patterns"], result

    def effects(self, name: str, ids: tuple[int, ...], at: int, target: int, foil: int) -> core.Result:
        """What every component writes into the logit difference of two tokens."""
        import torch

        from workbench.circuits import direct_effects

        model = self.get(name)
        check_length(len(ids), model.shape.n_ctx, HELD_TOKENS, "the residual stream")
        with self.lock:
            return direct_effects(model, torch.tensor(ids), target, foil, position=at)


def _rows(model: Any, tokens: Any) -> LogitRows:
    from workbench_probes import readout

    last = core.Site("resid_post", model.shape.n_layers - 1)
    stream, read = model.capture(tokens, [last])[last][0], readout(model)

    def logits(rows: slice) -> np.ndarray:
        return read(stream[rows]).float().cpu().numpy()

    return LogitRows(logits, len(stream))
