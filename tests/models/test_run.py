"""Runs with edits: order, rows, codecs, early exit, clean-up, padding, replaced modules."""

from typing import Any

import pytest
import torch
import transformers

from workbench.core import CodeTweak, Edit, ModelError, ShapeError, Site, SiteError, TextError
from workbench.models import TokenBatch, wrap

from .codecs import linear_codec
from .families import FAMILIES, build_hooked, random_ids

IDS = random_ids()


@pytest.fixture(scope="module")
def llama():
    return build_hooked("llama", torch.float64)[0]


def hook_points(model):
    return [module for module in model._model.modules() if type(module).__name__ == "HookPoint"]


def test_edits_at_one_site_apply_in_order(llama):
    v = torch.arange(24.0)
    site = Site("resid_mid", 0)
    base = llama.capture(IDS, [site])[site]
    add, scale = Edit.add(site, v), Edit.scale(site, 2.0)
    assert torch.allclose(llama.capture(IDS, [site], [add, scale])[site], 2 * (base + v))
    assert torch.allclose(llama.capture(IDS, [site], [scale, add])[site], 2 * base + v)


def test_edits_touch_their_rows_and_heads_only(llama):
    site = Site("attn_z", 1)
    base = llama.capture(IDS, [site])[site]
    found = llama.capture(IDS, [site], [Edit.set("attn_z.1.h2", 5.0, rows=(3, 7))])[site]
    assert bool((found[:, [3, 7], 2] == 5).all())
    found[:, [3, 7], 2] = base[:, [3, 7], 2]
    assert torch.equal(found, base)
    assert torch.equal(llama.capture(IDS, ["attn_z.1.h2"])[Site("attn_z", 1, 2)], base[:, :, 2])


def test_patching_from_another_run_is_exact(llama):
    other = llama.capture(IDS.flip(1), ["resid_post.0"])[Site("resid_post", 0)]
    patched = llama.run(IDS, [Edit.set("resid_post.0", other)]).logits
    assert torch.allclose(patched, llama.run(IDS.flip(1)).logits, atol=1e-10)


def test_freeze_stops_the_gradient_and_keeps_the_value(llama):
    v = torch.zeros(24, dtype=torch.float64, requires_grad=True)
    for site in ("attn_out.0", "mlp_out.0", "resid_mid.0"):
        free = llama.run(IDS, [Edit.add("embed", v)])
        frozen = llama.run(IDS, [Edit.add("embed", v), Edit.freeze(site)])
        assert torch.allclose(free.logits, frozen.logits)
        grads = [torch.autograd.grad(run.logits[:, -1, 4].sum(), v)[0] for run in (free, frozen)]
        assert not torch.allclose(grads[0], grads[1])
    stopped = llama.run(IDS, [Edit.add("embed", v), Edit.freeze("resid_post.1", rows=(8,))]).logits
    assert not torch.autograd.grad(stopped[:, 8].sum(), v, retain_graph=True)[0].any()
    assert torch.autograd.grad(stopped[:, 7].sum(), v)[0].any()


@pytest.mark.parametrize("keep_error", [False, True])
def test_through_a_transcoder(llama, keep_error):
    codec = linear_codec(["mlp_in.1"], ["mlp_out.1"], 24, 24)
    sites = [Site("mlp_in", 1), Site("mlp_out", 1)]
    before = llama.capture(IDS, sites)
    tweak = CodeTweak((2, 5), "scale", 0.0)
    rows = (1, 4)
    run = llama.run(IDS, [Edit.through(codec, (tweak,), rows, keep_error)], sites=sites)
    x = before[sites[0]][:, list(rows)].flatten(0, 1)
    codes = codec.encode({sites[0]: x})
    wanted = codec.decode(tweak(codes))[sites[1]] + codec.bypass({sites[0]: x})[sites[1]]
    if keep_error:
        true = before[sites[1]][:, list(rows)].flatten(0, 1)
        wanted = wanted + true - codec.decode(codes)[sites[1]] - codec.bypass({sites[0]: x})[sites[1]]
    expected = before[sites[1]].clone()
    expected[:, list(rows)] = wanted.unflatten(0, (2, 2))
    assert torch.allclose(run.activations[sites[1]], expected)
    assert torch.allclose(run.codes["linear"].dense(), tweak(codes).dense())
    assert run.code_rows["linear"].nonzero()[:, 1].tolist() == [1, 4, 1, 4]


def test_through_with_its_own_error_changes_nothing(llama):
    for codec in (
        linear_codec(["resid_post.0"], ["resid_post.0"], 24, 24),
        linear_codec(["resid_mid.1"], ["resid_mid.1"], 24, 24),
        linear_codec(["attn_z.1.h2"], ["attn_z.1.h2"], 8, 8),
        linear_codec(["attn_z.0"], ["attn_z.0"], 32, 32),
        linear_codec(["mlp_in.0", "mlp_in.1"], ["mlp_out.0", "mlp_out.1"], 24, 24),
    ):
        kept = llama.run(IDS, [Edit.through(codec, keep_error=True)]).logits
        assert torch.allclose(kept, llama.run(IDS).logits, atol=1e-9)
        assert not torch.allclose(llama.run(IDS, [Edit.through(codec)]).logits, kept, atol=1e-3)


def test_through_reads_the_edited_run(llama):
    codec = linear_codec(["resid_post.0"], ["resid_post.0"], 24, 24)
    v = torch.randn(24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    site = Site("resid_post", 0)
    base = llama.capture(IDS, [site])[site]
    codes = llama.run(IDS, [Edit.add(site, v), Edit.through(codec)], logits=False).codes["linear"]
    assert torch.allclose(codes.dense(), codec.encode({site: (base + v).flatten(0, 1)}).dense())
    after = llama.run(IDS, [Edit.through(codec), Edit.add(site, v)], sites=[site])
    assert torch.allclose(after.codes["linear"].dense(), codec.encode({site: base.flatten(0, 1)}).dense())


def test_a_cross_layer_codec_streams_through_one_pass(llama):
    codec = linear_codec(["mlp_in.0", "mlp_in.1"], ["mlp_out.0", "mlp_out.1"], 24, 24)
    ins, outs = codec.reads, codec.writes
    run = llama.run(IDS, [Edit.through(codec)], sites=[*ins, *outs])
    assert codec.calls == [(ins[0],), (ins[1],)]
    inputs = {site: run.activations[site].flatten(0, 1) for site in ins}
    codes = codec.encode(inputs)
    assert torch.allclose(run.codes["linear"].dense(), codes.dense())
    bypass = codec.bypass(inputs)
    for site in outs:
        found = run.activations[site].flatten(0, 1)
        assert torch.allclose(found, codec.decode(codes)[site] + bypass[site])


def test_codes_need_no_logits_and_gradients_reach_the_codec(llama):
    codec = linear_codec(["mlp_in.0"], ["mlp_out.0"], 24, 24)
    codec.decoders = {site: decoder.requires_grad_() for site, decoder in codec.decoders.items()}
    codec.auxiliary_losses = lambda inputs, codes: {"l1": codes.value.abs().mean()}
    run = llama.run(IDS, [Edit.through(codec)], logits=False)
    assert run.logits is None
    assert len(run.codes["linear"]) == IDS.numel()
    assert float(run.losses["linear.l1"]) == pytest.approx(float(run.codes["linear"].value.mean()))
    llama.run(IDS, [Edit.through(codec)]).logits[:, -1, 3].sum().backward()
    grad = codec.decoders[codec.writes[0]].grad
    assert grad is not None
    assert grad.any()


def test_a_codec_that_writes_before_it_reads_is_refused(llama):
    codec = linear_codec(["mlp_in.0"], ["mlp_out.0"], 24, 24)
    codec.writes = (Site("attn_out", 0),)
    with pytest.raises(SiteError, match="writes attn_out.0 before any of its reads"):
        llama.run(IDS, [Edit.through(codec)])
    codec.reads = (Site("attn_pattern", 0),)
    with pytest.raises(SiteError, match="two position axes"):
        llama.run(IDS, [Edit.through(codec)])


def test_capture_stops_after_the_last_site(llama):
    ran = []
    handles = [point.register_forward_hook(lambda module, *_: ran.append(module.name)) for point in hook_points(llama)]
    try:
        llama.capture(IDS, ["mlp_in.0", "attn_out.0"])
        assert ran[-1] == "blocks.0.mlp.hook_in"
        assert not [name for name in ran if "unembed" in name or "blocks.1" in name]
        ran.clear()
        assert llama.capture(IDS, []) == {}
        assert ran == []
        llama.run(IDS, sites=["final_norm"], logits=False)
        assert "unembed.hook_out" not in ran
        assert "ln_final.hook_out" in ran
    finally:
        for handle in handles:
            handle.remove()


def test_hooks_are_removed_even_after_errors(llama):
    llama.run(IDS, [Edit.add("mlp_out.0", torch.ones(24))], sites=["attn_pattern.0", "attn_result.1"])
    llama.capture(IDS, ["resid_mid.0"])
    llama.grads(IDS, lambda logits: logits.sum(), ["attn_q_input.1"])
    with pytest.raises(ShapeError, match="edit at mlp_out.0 wants a value"):
        llama.run(IDS, [Edit.add("mlp_out.0", torch.ones(7))], sites=["attn_q_input.0"])
    assert not any(point.fwd_hooks or point.bwd_hooks or point._forward_hooks for point in hook_points(llama))
    assert not llama._bridge.cfg.use_attn_result
    assert not llama._bridge.cfg.use_split_qkv_input
    assert not llama._shortcuts.fusing


def test_patterns_are_computed_only_when_asked_for(llama):
    seen = []
    point = llama._bridge.blocks[0].attn.hook_pattern
    handle = point.register_forward_hook(lambda *_: seen.append(1))
    try:
        fused = llama.run(IDS, [Edit.scale("attn_z.0.h1", 0.0)], sites=["attn_v.1", "mlp_post.1"])
        assert not seen
        stepwise = llama.run(IDS, [Edit.scale("attn_z.0.h1", 0.0)], sites=["attn_v.1", "mlp_post.1", "attn_scores.0"])
        assert seen
    finally:
        handle.remove()
    assert torch.allclose(fused.logits, stepwise.logits, atol=1e-10)
    for site, x in fused.activations.items():
        assert torch.allclose(x, stepwise.activations[site], atol=1e-10)


def test_edits_that_would_be_bypassed_are_refused(llama):
    with pytest.raises(SiteError, match="would not reach attention"):
        llama.run(IDS, [Edit.scale("attn_in.0", 0.0)], sites=["attn_q_input.0"])


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family):
    model = build_hooked(family)[0]
    ids, lengths = random_ids(3, 9), torch.tensor([9, 5, 7])
    ids[1, 5:], ids[2, 7:] = 0, 33
    edits = [
        Edit.add(
            "resid_mid.0" if not model.shape.parallel else "resid_pre.0", torch.ones(model.shape.d_model), rows=(2, 8)
        )
    ]
    sites = ["resid_post.1", "attn_z.0"]
    together = model.run(TokenBatch(ids, lengths), edits, sites=sites)
    for row, length in enumerate(lengths.tolist()):
        alone = model.run(ids[row, :length], edits, sites=sites)
        assert together.logits is not None
        assert alone.logits is not None
        assert torch.allclose(together.logits[row, :length], alone.logits[0], atol=1e-5)
        for site, x in alone.activations.items():
            assert torch.allclose(together.activations[site][row, :length], x[0], atol=1e-5)


def test_another_mlp_can_stand_in(llama):
    site = Site("mlp_out", 1)
    base = llama.run(IDS).logits
    with llama.with_mlp(1, torch.nn.Linear(24, 24, dtype=torch.float64)) as model:
        found = model.capture(IDS, ["mlp_in.1", site])
        assert torch.allclose(found[site], model._bridge.blocks[1].mlp.original_component(found[Site("mlp_in", 1)]))
        with pytest.raises(SiteError, match="nothing arrived at mlp_post.1"):
            model.capture(IDS, ["mlp_post.1"])
        with pytest.raises(SiteError, match="nothing arrived at mlp_pre.1"):
            model.run(IDS, [Edit.scale("mlp_pre.1", 0.0)])
    assert torch.equal(llama.run(IDS).logits, base)
    with pytest.raises(SiteError, match="layers run from 0 to 1"), llama.with_mlp(2, torch.nn.Identity()):
        pass


def test_attention_that_cannot_be_opened_says_so():
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "ffn_dim": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 50,
    }
    config = transformers.OPTConfig(**sizes, max_position_embeddings=64, word_embed_proj_dim=32)
    model = wrap(transformers.OPTForCausalLM(config))
    assert "attn_z" in model.site_kinds()
    with pytest.raises(SiteError, match="this opt model has no site attn_pattern"):
        model.run(IDS, [Edit.scale("attn_pattern.0", 0.0)])


def test_other_architectures_are_refused():
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(ModelError, match="cannot hook a BertForMaskedLM. it is no decoder-only language model"):
        wrap(transformers.BertForMaskedLM(config))


def test_rows_that_select_nothing_skip_the_codec(llama):
    codec = linear_codec(["mlp_in.0"], ["mlp_out.0"], 24, 24)
    run = llama.run(IDS, [Edit.through(codec, rows="generated")])
    assert codec.calls == []
    assert run.codes == {}
    assert torch.equal(run.logits, llama.run(IDS).logits)


def test_clear_errors_for_tokens_and_weights(llama):
    with pytest.raises(TextError, match="longer than the model's context of 64"):
        llama.run(torch.zeros(1, 65, dtype=torch.long))
    with pytest.raises(TextError, match="at least one token"):
        llama.run(torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(TextError, match="from 0 to 49. found 50"):
        llama.run([1, 50])
    with pytest.raises(TextError, match="whole numbers"):
        llama.run(torch.rand(1, 4))
    with pytest.raises(ModelError, match="no parameter 'blocks.0.mlp.W_im'. did you mean blocks.0.mlp.W_in"):
        llama.run(IDS, weights={"blocks.0.mlp.W_im": torch.zeros(1)})
    with pytest.raises(ShapeError, match=r"blocks.0.mlp.W_in wants shape \(24, 40\)"):
        llama.run(IDS, weights={"blocks.0.mlp.W_in": torch.zeros(40, 24)})


def test_out_of_memory_is_a_clear_error(llama):
    def exhausted(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = llama._bridge.blocks[1].mlp.hook_in.register_forward_hook(exhausted)
    try:
        with pytest.raises(ModelError, match="out of memory.*use a smaller batch"):
            llama.run(IDS)
    finally:
        handle.remove()


def test_prompts_become_padded_tokens():
    model = build_hooked("llama")[0]
    batch = model.tokens(["abc", "a"])
    assert batch.ids.tolist() == [[1, 2, 3, 4], [1, 2, 0, 0]]
    assert batch.lengths.tolist() == [4, 2]
    assert model.tokens("#", prepend_bos=False).ids.tolist() == [[2]]
    assert model.tokens("_a").ids.tolist() == [[1, 2, 2]]
    with pytest.raises(TextError, match="prompt is empty"):
        model.tokens(["abc", ""])
    with pytest.raises(TextError, match="no prompt"):
        model.tokens([])
    with pytest.raises(TextError, match="found 71 tokens"):
        model.tokens("a" * 70)


def test_functions_see_and_replace_tensors_in_order(llama):
    seen = {}

    def look(x):
        seen["before"] = x

    def double(x):
        return x * 2

    run = llama.intervene(IDS, [("attn_z.0", look), ("attn_z.0", double)], sites=["attn_z.0"])
    wanted = llama.run(IDS, [Edit.scale("attn_z.0", 2.0)])
    assert torch.equal(run.activations[Site("attn_z", 0)], 2 * seen["before"])
    assert torch.equal(run.logits, wanted.logits)
    stopped = llama.intervene(IDS, [("mlp_out.1", look)], logits=False)
    assert stopped.logits is None
    assert torch.equal(seen["before"], llama.capture(IDS, ["mlp_out.1"])[Site("mlp_out", 1)])


def test_a_function_where_split_heads_do_not_read_is_refused(llama):
    functions = [("attn_in.0", lambda x: x), ("attn_q_input.0", lambda x: x)]
    with pytest.raises(SiteError, match="would not reach attention"):
        llama.intervene(IDS, functions)
