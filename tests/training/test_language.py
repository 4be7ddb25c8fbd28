"""A language model, with dictionaries in it, in the one training loop."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.core import ConfigError, ModelError, Silent, Site
from workbench.dictionaries import CodebookConfig, CoderConfig, make_dictionary
from workbench.models import assign, hugging_face_state, new_tiny, wrap
from workbench.training import (
    LanguageConfig,
    LanguageLearner,
    LanguageModule,
    StreamRows,
    TrainingError,
    fit_language,
    train,
)
from workbench.training.language_rows import LENGTHS, TOKENS

SITE = Site("resid_post", 0)


def draw(number):
    return torch.randint(1, 12, (8, 9), generator=torch.Generator().manual_seed(number))


def rows(chunks=6):
    return StreamRows(draw, 8, chunks, {"draw": "uniform"})


def tied_model():
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def batch(lengths=(9, 4, 7, 2, 9, 9, 3, 5)):
    return {TOKENS: draw(0), LENGTHS: torch.tensor(lengths)[:, None]}


def sae(name="codes"):
    made = make_dictionary("topk-sae", CoderConfig(d_sae=32, k=4), {SITE: 64}, {SITE: 64}, name)
    made.initialise({SITE: torch.randn(64, 64, generator=torch.Generator().manual_seed(0))}, seed=1)
    return made


def plain_loss(model, inputs):
    logits, real = model(input_ids=inputs[TOKENS]).logits[:, :-1], torch.arange(1, 9) < inputs[LENGTHS]
    return cross_entropy(logits[real], inputs[TOKENS][:, 1:][real])


def test_loss_and_gradients_are_those_of_the_plain_model():
    plain, module = new_tiny(12, seed=0), LanguageModule(wrap(new_tiny(12, seed=0)))
    expected = plain_loss(plain, batch())
    expected.backward()
    found = module.loss(batch())["loss"]
    found.backward()
    torch.testing.assert_close(found, expected)
    gradients = {name: weight.grad for name, weight in plain.named_parameters()}
    mine = {name.removeprefix("own."): weight.grad for name, weight in module.named_parameters()}
    torch.testing.assert_close(mine["blocks/1/mlp/W_in"].T, gradients["model.layers.1.mlp.up_proj.weight"])
    torch.testing.assert_close(mine["embed/W_E"], gradients["model.embed_tokens.weight"])
    projected = mine["blocks/0/attn/W_K"].permute(0, 2, 1).flatten(0, 1)
    torch.testing.assert_close(projected, gradients["model.layers.0.self_attn.k_proj.weight"])


def test_the_model_itself_stays_as_it_was_and_tied_embeddings_stay_tied(tmp_path):
    hooked = wrap(tied_model())
    before = {name: weight.clone() for name, weight in hooked.params().items()}
    trained = fit_language(LanguageModule(hooked), rows(2), tmp_path, LanguageConfig(batch_sequences=4))
    assert all(torch.equal(weight, before[name]) for name, weight in hooked.params().items())
    weights = trained.weights
    assert weights.keys() == before.keys()
    assert not torch.equal(weights["embed.W_E"], before["embed.W_E"])
    assert torch.equal(weights["unembed.W_U"], weights["embed.W_E"].T)


def test_a_step_with_tied_embeddings_is_the_plain_models():
    plain, module = tied_model(), LanguageModule(wrap(tied_model()))
    plain_loss(plain, batch()).backward()
    module.loss(batch())["loss"].backward()
    torch.testing.assert_close(module.own["embed/W_E"].grad, plain.model.embed_tokens.weight.grad)


@pytest.mark.parametrize("trains", ["model", "codes", "both"])
def test_what_trains_moves_and_nothing_else(tmp_path, trains):
    hooked, codec = wrap(new_tiny(12, seed=0)), sae()
    before = {name: weight.clone() for name, weight in codec.named_parameters()}
    module = LanguageModule(hooked, [codec], trains=trains)
    fit_language(module, rows(2), tmp_path, LanguageConfig(trains=trains, batch_sequences=4))
    moved = [name for name, weight in codec.named_parameters() if not torch.equal(weight, before[name])]
    assert bool(moved) == (trains != "model")
    start = hooked.params()
    changed = [name for name, weight in module.weights().items() if not torch.equal(weight, start[name])]
    assert bool(changed) == (trains != "codes")


def test_steps_are_those_of_a_plain_adamw():
    plain, module = new_tiny(12, seed=0), LanguageModule(wrap(new_tiny(12, seed=0)))
    config = LanguageConfig(batch_sequences=8, warm_up=0, decay_share=0, clip=None, weight_decay=0)
    learner = LanguageLearner("x", module, config, 10)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=config.lr, weight_decay=0, fused=False, foreach=False)
    for _ in range(3):
        learner.optimise(batch())
        plain_loss(plain, batch()).backward()
        optimiser.step()
        optimiser.zero_grad()
    state = hugging_face_state(module.model, module.weights())
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(state[name], weight.detach(), rtol=1e-3, atol=1e-5, msg=name)


def test_what_a_dictionary_asks_for_is_added_to_the_loss():
    codec = sae()
    codec.auxiliary_losses = lambda inputs, codes: {"loss": 3 * inputs[SITE].square().mean(), "mse": torch.tensor(7.0)}
    module = LanguageModule(wrap(new_tiny(12, seed=0)), [codec])
    found = module.loss(batch())
    run = module.model.run(batch()[TOKENS], module.edits, sites=[SITE], weights=module.weights())
    assert run.losses.keys() == {"codes.loss", "codes.mse"}
    assert float(found["mse"]) == 7.0
    real = torch.arange(9) < batch()[LENGTHS]
    expected = 3 * wrap(new_tiny(12, seed=0)).capture(batch()[TOKENS], [SITE])[SITE][real].square().mean()
    assert float((found["loss"] - found["cross_entropy"]).detach()) == pytest.approx(float(expected), rel=1e-3)


def test_the_parts_of_a_batch_add_up_to_the_whole():
    steps = []
    for size in (None, 3):
        module = LanguageModule(wrap(new_tiny(12, seed=0)))
        config = LanguageConfig(batch_sequences=8, forward_sequences=size, warm_up=0, clip=None)
        learner = LanguageLearner("x", module, config, 4)
        found = learner.optimise(batch())
        steps.append((found["loss"], module.weights()["blocks.0.mlp.W_in"].detach()))
    torch.testing.assert_close(steps[0][0], steps[1][0])
    torch.testing.assert_close(steps[0][1], steps[1][1], rtol=1e-3, atol=1e-5)


class StopsAfter:
    """A progress that cancels after some chunks."""

    def __init__(self, chunks):
        self.left = chunks

    def phase(self, name, total=None, unit=""): ...
    def advance(self, amount=1): ...
    def partial(self, value):
        self.left -= 1

    def cancelled(self):
        return self.left <= 0


def test_a_run_that_was_cut_short_ends_in_the_same_weights(tmp_path):
    def start():
        return LanguageModule(wrap(new_tiny(12, seed=0)), [sae()])

    config = LanguageConfig(batch_sequences=4, checkpoint_every_chunks=2)
    whole = fit_language(start(), rows(), tmp_path / "whole", config)
    cut = fit_language(start(), rows(), tmp_path / "cut", config, StopsAfter(3))
    assert cut.partial
    assert len(cut.metrics) == 3
    again = fit_language(start(), rows(), tmp_path / "cut", config)
    assert not again.partial
    for name, weight in whole.module.state_dict().items():
        assert torch.equal(weight, again.module.state_dict()[name]), name
    untimed = [[{**r, "tokens_per_second": 0} for r in run.metrics] for run in (whole, again)]
    assert untimed[0] == untimed[1]
    finished = fit_language(start(), rows(), tmp_path / "cut", config)
    assert all(torch.equal(weight, whole.weights[name]) for name, weight in finished.weights.items())
    assert json.loads((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()[-1])["tokens"] == 6 * 8 * 9


def test_a_folder_of_another_start_is_refused(tmp_path):
    fit_language(LanguageModule(wrap(new_tiny(12, seed=0))), rows(1), tmp_path)
    with pytest.raises(ConfigError, match="start"):
        fit_language(LanguageModule(wrap(new_tiny(12, seed=1))), rows(1), tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    hooked = wrap(new_tiny(12, seed=0))
    weights = {"ln_final.w": torch.full((64,), float("nan"))}
    with pytest.raises(TrainingError, match="diverged"):
        fit_language(LanguageModule(hooked, weights=weights), rows(1), tmp_path)


def test_the_loop_stops_where_the_steps_end_and_a_probe_is_recorded(tmp_path):
    config = LanguageConfig(steps=3, batch_sequences=4, probe_every_chunks=1)
    module = LanguageModule(wrap(new_tiny(12, seed=0)))
    found = fit_language(module, rows(), tmp_path, config, probe=lambda module: {"seen": 1.0})
    assert [record["step"] for record in found.metrics] == [2, 3]
    assert all(record["seen"] == 1.0 for record in found.metrics)


def test_bfloat16_products_change_the_loss_by_rounding_only():
    losses = [LanguageModule(wrap(new_tiny(12, seed=0)), autocast=on).loss(batch())["loss"] for on in (False, True)]
    assert losses[1].dtype == torch.float32
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-2)
    assert not torch.equal(*losses)


def test_learners_of_another_kind_share_the_loop():
    records = []
    learner = LanguageLearner("x", LanguageModule(wrap(new_tiny(12, seed=0))), LanguageConfig(batch_sequences=8), 2)
    reached, partial = train([learner], rows(5), 0, lambda chunk, found: records.extend(found), Silent())
    assert (reached, partial, len(records)) == (2, False, 2)


def test_codes_alone_need_codes():
    with pytest.raises(ConfigError, match="no codes"):
        LanguageModule(wrap(new_tiny(12, seed=0)), trains="codes")


def test_weights_written_into_a_model_are_what_it_runs_on(tmp_path):
    hooked, ids = wrap(new_tiny(12, seed=0)), draw(0)
    trained = fit_language(LanguageModule(hooked), rows(2), tmp_path, LanguageConfig(batch_sequences=4))
    with torch.no_grad():
        expected = hooked.run(ids, weights=trained.weights).logits
        plain = new_tiny(12, seed=5)
        plain.load_state_dict(hugging_face_state(hooked, trained.weights))
        torch.testing.assert_close(plain(input_ids=ids).logits, expected)
        torch.testing.assert_close(assign(hooked, trained.weights).run(ids).logits, expected)
    with pytest.raises(ModelError, match="no parameter"):
        assign(hooked, {"blocks.9.mlp.W_in": torch.zeros(1)})


def test_what_a_codebook_anneals_ends_with_the_warm_up():
    config = CodebookConfig(codes=16, k=2, k_start=4, layer_norm=False)
    book = make_dictionary("codebook", config, {SITE: 64}, {SITE: 64}, "book")
    book.randomise_(0)
    module = LanguageModule(wrap(new_tiny(12, seed=0)), [book], trains="codes")
    learner, seen = LanguageLearner("codes", module, LanguageConfig(trains="codes", warm_up=4), 8), []
    original = module.loss

    def noting(inputs):
        seen.append(book.k)
        return original(inputs)

    module.loss = noting
    for step in range(6):
        learner.optimise(batch())
        learner.step = step + 1
    assert seen == [6, 5, 4, 2, 2, 2]
