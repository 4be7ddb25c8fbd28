"""A language model in the one training loop: next-token cross-entropy while dictionaries stand in it as Edits."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import ConfigError, Edit, Site
from workbench.dictionaries import Dictionary
from workbench.models import HookedModel, TokenBatch, hash_tensors

from .errors import TrainingError
from .feed import Buffers, Feed
from .language_config import LanguageConfig, Trains
from .language_rows import LENGTHS, TOKENS
from .optimiser import clip_gradients_
from .schedule import lr_factor, steps_in_chunk

TokenRow = Mapping[Site, Int[Tensor, "n _"]]


class LanguageModule(nn.Module):
    """A model's weights by canonical name, and the dictionaries that its activations pass through, as one module.

    The model itself stays as it is: what trains are copies, given to each run as `weights=`. Matrices that share
    memory (tied embeddings) stay tied.

    Args:
        codecs: every one stands in the model as `Edit.through`; trained in place.
        edits: in force besides, before them.
        weights: where the model starts, by canonical name, instead of its own.
        autocast: multiply in bfloat16.
    """

    def __init__(
        self,
        model: HookedModel,
        codecs: Sequence[Dictionary] = (),
        *,
        edits: Sequence[Edit] = (),
        weights: Mapping[str, Tensor] | None = None,
        trains: Trains = "both",
        autocast: bool = False,
    ) -> None:
        super().__init__()
        if trains == "codes" and not codecs:
            raise ConfigError("there are no codes to train", hint="give dictionaries, or train the model")
        self.model, self.autocast = model, autocast
        self._codecs = tuple(codecs)
        self.codecs = nn.ModuleList(codecs).requires_grad_(trains != "model")
        self.edits = [*edits, *(Edit.through(codec) for codec in codecs)]
        self._given, self._tied = dict(weights or {}), {}
        self.own = nn.ParameterDict()
        if trains != "codes":
            self._take(model.params() | self._given)
        self.start_hash = hash_tensors(self.state_dict() | {f"given/{key}": w for key, w in self._given.items()})
        """Over everything that a run starts from, so that a checkpoint of another start is noticed."""

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        met: dict[tuple[int, int], str] = {}
        for name, weight in weights.items():
            key = weight.data_ptr(), weight.numel()
            if key in met:
                self._tied[name] = met[key], weight.shape != weights[met[key]].shape
                continue
            met[key] = name
            # A clone keeps the strides, so that the run's turn back to the module's own orientation costs no copy.
            self.own[_key(name)] = nn.Parameter(weight.detach().clone())

    def weights(self) -> dict[str, Tensor]:
        """What `run(weights=)` takes: the trained weights, or the ones that were given; tied ones twice."""
        if not self.own:
            return self._given
        found: dict[str, Tensor] = {_name(key): weight for key, weight in self.own.items()}
        for name, (source, turned) in self._tied.items():
            found[name] = found[source].T if turned else found[source]
        return found

    def logits(self, tokens: TokenBatch) -> Float[Tensor, "n t v"]:
        """The model's answer with everything in force."""
        return self._run(tokens)[0]

    def loss(self, inputs: TokenRow) -> dict[str, Float[Tensor, ""]]:
        """Scalars of one batch: `loss` is optimised, `cross_entropy` (nats a token) is the language model's share.

        What the dictionaries ask to be added is their `loss`; their other losses are reported as means over them.
        """
        ids, lengths = inputs[TOKENS], inputs[LENGTHS][:, 0]
        logits, extra = self._run(TokenBatch(ids, lengths))
        entropy = next_token_losses(logits, ids, lengths).mean()
        found = {"loss": entropy, "cross_entropy": entropy}
        for name, value in extra.items():
            key = name.rpartition(".")[2]
            if key == "loss":
                found["loss"] = found["loss"] + value
            else:
                found[key] = found.get(key, 0.0) + value / len(self.codecs)
        return found

    def _run(self, tokens: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with self._precision():
            run = self.model.run(tokens, self.edits, weights=self.weights())
        assert run.logits is not None
        return run.logits, run.losses

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.autocast)

    def before_step(self, share: float) -> None:
        for codec in self.dictionaries():
            codec.before_step(share)

    def after_backward(self) -> None:
        for codec in self.dictionaries():
            codec.after_backward()

    def after_step(self) -> None:
        for codec in self.dictionaries():
            codec.after_step()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices of the model, its vectors (no decay), and the dictionaries (no decay)."""
        own = list(self.own.values())
        matrices = [weight for key, weight in self.own.items() if ".b_" not in _name(key) and weight.ndim > 1]
        chosen = {id(weight) for weight in matrices}
        vectors = [weight for weight in own if id(weight) not in chosen]
        codes = [weight for weight in self.codecs.parameters() if weight.requires_grad]
        groups = (("matrices", matrices), ("vectors", vectors), ("codes", codes))
        return [{"params": found, "role": role} for role, found in groups if found]

    def dictionaries(self) -> tuple[Dictionary, ...]:
        """The dictionaries that stand in the model."""
        return self._codecs


def next_token_losses(
    logits: Float[Tensor, "n t v"], ids: Int[Tensor, "n t"], lengths: Int[Tensor, " n"]
) -> Float[Tensor, " m"]:
    """Cross-entropy in nats of every real token that has one before it, row after row."""
    places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    real = (places < lengths[:, None]).flatten()
    # All positions in one piece: choosing rows of the logits first would copy the largest tensor of the run twice.
    targets = ids.roll(-1, 1).flatten().masked_fill(~real, -100)
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets, reduction="none")[real]


class LanguageLearner:
    """Trains a LanguageModule; a chunk is cut into steps of `batch_sequences` sequences."""

    def __init__(self, name: str, module: LanguageModule, config: LanguageConfig, total_steps: int) -> None:
        self.name, self.module, self.config, self.total_steps = name, module, config, total_steps
        self.feed = Feed({}, {})
        self.step, self.tokens_seen, self.first_loss = 0, 0, math.nan
        rates = {"codes": config.codes_lr or config.lr}
        groups = [
            {
                "params": group["params"],
                "lr": rates.get(group["role"], config.lr),
                "top": rates.get(group["role"], config.lr),
                "weight_decay": config.weight_decay if group["role"] == "matrices" else 0.0,
            }
            for group in module.parameter_groups()
        ]
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(groups, betas=config.betas, fused=True)

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    def train_chunk(self, inputs: TokenRow, number: int, buffers: Buffers) -> dict[str, Any]:
        """Go through a chunk; returns the record of it for the metrics.

        Raises:
            TrainingError: the loss is no number.
        """
        began, seen, losses = time.perf_counter(), self.tokens_seen, []
        device = self.module.model.device
        rows = len(inputs[TOKENS])
        for part in torch.arange(rows).tensor_split(steps_in_chunk(rows, self.config.batch_sequences)):
            if self.finished:
                break
            losses.append(self.optimise({site: tensor[part].to(device) for site, tensor in inputs.items()}))
            self.step += 1
            self.tokens_seen += int(inputs[LENGTHS][part].sum())
        return {
            "dictionary": self.name,
            "chunk": number,
            "step": self.step,
            "tokens": self.tokens_seen,
            **self._means(losses),
            "lr": self.config.lr * self._factor(max(self.step - 1, 0)),
            "tokens_per_second": (self.tokens_seen - seen) / max(time.perf_counter() - began, 1e-9),
        }

    def optimise(self, batch: TokenRow) -> dict[str, Tensor]:
        """One step; the gradients of the parts of a batch add up to those of the whole.

        What a dictionary anneals (k of a codebook) reaches its end with the warm-up.
        """
        self.module.before_step(min(1.0, (self.step + 1) / max(self.config.warm_up, 1)))
        found: dict[str, Tensor] = {}
        for share, part in self._parts(batch):
            losses = self.module.loss(part)
            (losses["loss"] * share).backward()
            for key, value in losses.items():
                found[key] = found.get(key, 0.0) + value.detach() * share
        self.module.after_backward()
        factor = self._factor(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["top"] * factor
        if self.config.clip is not None:
            # Apart, because the squared errors of many codes would drown the language model's gradient.
            clip_gradients_(self.module.own.parameters(), self.config.clip)
            clip_gradients_(self.module.codecs.parameters(), self.config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.module.after_step()
        return found

    def counters(self) -> dict[str, Any]:
        """What a checkpoint keeps beside weights and averages."""
        return {"step": self.step, "tokens_seen": self.tokens_seen}

    def go_on(self, counters: Mapping[str, Any]) -> None:
        """Stand where a checkpoint's counters say."""
        self.step, self.tokens_seen = counters["step"], counters["tokens_seen"]

    def _factor(self, step: int) -> float:
        return lr_factor(step, self.total_steps, self.config.warm_up, self.config.decay_share)

    def _parts(self, batch: TokenRow) -> Iterator[tuple[float, TokenRow]]:
        """Shares of a batch's predicted tokens, each with the rows that it is."""
        size = self.config.forward_sequences or len(batch[TOKENS])
        targets = (batch[LENGTHS] - 1).sum()
        for start in range(0, len(batch[TOKENS]), size):
            part = {site: tensor[start : start + size] for site, tensor in batch.items()}
            yield float((part[LENGTHS] - 1).sum() / targets), part

    def _means(self, losses: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        if not losses:
            return {}
        means = {key: float(torch.stack([found[key] for found in losses]).mean()) for key in losses[0]}
        if not math.isfinite(means["loss"]):
            raise TrainingError(
                f"training of {self.name} diverged before step {self.step}",
                found=f"loss {means['loss']}",
                hint="the last checkpoint is kept; try a lower lr or a longer warm-up",
            )
        return means


def _key(name: str) -> str:
    """A parameter's name may hold no dot."""
    return name.replace(".", "/")


def _name(key: str) -> str:
    return key.replace("/", ".")
