"""A stand-in for a model that knows the automaton; its answer hangs on one site. And codes that name labels."""

from types import SimpleNamespace

import torch

from workbench.core import Codes, Site
from workbench.data import Automaton, AutomatonConfig
from workbench.dictionaries import Dictionary
from workbench.dictionaries.coder import CoderConfig
from workbench.evaluation import AutomatonSubject
from workbench.models import Generation, TokenBatch

AUTOMATON = Automaton(AutomatonConfig(states=12, edges=3, graph_seed=7, length=40))
USED, IDLE = Site("mlp_out", 0), Site("attn_z", 0)
LABELS = 11 * 12 + 1


def labels(ids):
    states, pairs = AUTOMATON.states_of(ids), AUTOMATON.trigrams_of(ids)
    found = torch.where((states >= 0) & (states < 12), states, torch.full_like(ids, LABELS - 1))
    return torch.where((pairs >= 0) & (pairs < 120), 12 + pairs, found)


class LabelCodes(Dictionary):
    """A vector's largest coordinate is its code; with `merged`, pairs of states share one."""

    family, config_class = "label codes", CoderConfig

    def __init__(self, site, merged=False):
        self.merged = merged
        super().__init__(CoderConfig(d_sae=LABELS, k=1), {site: LABELS}, {site: LABELS}, str(site))

    @property
    def width(self):
        return LABELS

    def encode(self, inputs):
        index = inputs[self.reads[0]].argmax(1, keepdim=True)
        if self.merged:
            index = torch.where(index < 12, index // 2 * 2, index)
        return Codes(index, torch.ones(index.shape), LABELS)

    def decode(self, codes):
        return {self.writes[0]: codes.dense()}

    def bypass(self, inputs):
        return {self.writes[0]: torch.zeros_like(inputs[self.reads[0]])}


class Knowing:
    """The true next-token distribution, read from one-hot labels at USED after the edits there; IDLE does nothing."""

    shape = SimpleNamespace(n_layers=1)

    def __init__(self, mix=0.0):
        self.mix = mix

    def run(self, tokens, edits=(), sites=(), logits=True):
        ids = tokens.ids if isinstance(tokens, TokenBatch) else tokens
        batch = TokenBatch(ids, torch.full((len(ids),), ids.shape[1]))
        hot = torch.nn.functional.one_hot(labels(ids), LABELS).float()
        values, codes = {USED: hot, IDLE: hot.clone()}, {}
        for edit in edits:
            x = values[edit.site]
            if edit.codec is None:
                values[edit.site] = edit.apply(x, batch.context())
                continue
            own = edit.codec.encode({edit.site: x.flatten(0, 1)})
            codes[edit.codec.name] = own
            values[edit.site] = edit.codec.decode(own)[edit.site].reshape(x.shape)
        truth = self._answers(ids, values[USED])
        uniform = torch.full((*ids.shape, 11), 1 / 11, dtype=torch.float64)
        mixed = (1 - self.mix) * truth + self.mix * uniform
        return SimpleNamespace(
            logits=mixed.clamp_min(1e-30).log(), activations={site: values[site] for site in sites}, codes=codes
        )

    def _answers(self, ids, x):
        label, found = x.argmax(2), torch.zeros(*ids.shape, 11, dtype=torch.float64)
        found[..., :10] = AUTOMATON.next_tokens(ids)
        states, pairs = label < 12, (label >= 12) & (label < LABELS - 1)
        found[..., :10][states] = AUTOMATON.first_digits[label[states]]
        pair = label[pairs] - 12
        found[..., :10][pairs] = AUTOMATON.second_digits[pair // 10, pair % 10]
        return found

    def generate(self, tokens, max_new_tokens, edits=(), sampling=None, seed=0):
        ids, draw = tokens, torch.Generator().manual_seed(seed)
        for _ in range(max_new_tokens):
            digits = ids.clamp_max(9).clone()
            digits[:, 0] = 10
            chances = self.run(digits, edits).logits[:, -1].exp()
            ids = torch.cat([ids, chances.multinomial(1, generator=draw)], 1)
        lengths = torch.full((len(ids),), ids.shape[1])
        return Generation(ids, lengths, torch.ones_like(lengths))


def subject(mix=0.0, codecs=()):
    return AutomatonSubject(AUTOMATON, Knowing(mix), tuple(codecs))
