import json

import pytest
import torch
from hypothesis import given, settings, strategies as st

from workbench.core import Codes, CodeTweak, ConfigError, Edit, RowContext, ShapeError, SlotTweak
from workbench.core.tweak import tweak_from_json

X = torch.arange(24.0).reshape(2, 3, 4)
CONTEXT = RowContext(torch.tensor([[0, 1, 2], [0, 1, -1]]), torch.tensor([2, 1]))


def changed(edit: Edit, x: torch.Tensor = X, context: RowContext = CONTEXT) -> list[list[bool]]:
    return (edit.apply(x, context) != x).flatten(2).any(-1).tolist()


@pytest.mark.parametrize(
    ("rows", "hit"),
    [
        ("all", [[True, True, True], [True, True, False]]),
        ("prompt", [[True, True, False], [True, False, False]]),
        ("generated", [[False, False, True], [False, True, False]]),
        ((1,), [[False, True, False], [False, True, False]]),
        (torch.tensor([False, True]), [[False, True, False], [False, True, False]]),
        (torch.tensor([[True, False, False], [False, True, True]]), [[True, False, False], [False, True, False]]),
    ],
)
def test_rows_are_absolute_positions_and_never_padding(rows, hit):
    assert changed(Edit.add("resid_post.0", torch.ones(4), rows)) == hit


def test_a_cached_step_sees_one_token_and_still_hits_the_right_one():
    step = RowContext(torch.tensor([[5], [7]]), torch.tensor([3, 3]))
    x = torch.zeros(2, 1, 4)
    assert changed(Edit.add("resid_post.0", torch.ones(4), (7,)), x, step) == [[False], [True]]
    by_position = torch.arange(8.0)[:, None].expand(8, 4)
    assert Edit.set("resid_post.0", by_position).apply(x, step)[:, 0, 0].tolist() == [5.0, 7.0]


def test_operations():
    only = {"rows": (0,)}
    value = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert Edit.set("resid_post.0", value, **only).apply(X, CONTEXT)[1, 0].tolist() == value.tolist()
    assert Edit.add("resid_post.0", value, factor=3.0, **only).apply(X, CONTEXT)[0, 0, 0] == 3.0
    assert Edit.scale("resid_post.0", 0.5, **only).apply(X, CONTEXT)[1, 0, 1] == 6.5
    assert Edit.project_out("resid_post.0", 5 * value, **only).apply(X, CONTEXT)[1, 0].tolist() == [0, 13, 14, 15]
    assert Edit.freeze("resid_post.0").apply(X.clone().requires_grad_(), CONTEXT).grad_fn is not None


def test_freeze_stops_the_gradient_on_its_rows_only():
    x = X.clone().requires_grad_()
    Edit.freeze("resid_post.0", (1,)).apply(x, CONTEXT).sum().backward()
    assert x.grad is not None
    assert x.grad[:, :, 0].tolist() == [[1, 0, 1], [1, 0, 1]]


def test_one_head():
    z = torch.zeros(1, 2, 3, 4)
    context = RowContext(torch.tensor([[0, 1]]), torch.tensor([2]))
    edited = Edit.set("attn_z.0.h2", 1.0, (1,)).apply(z, context)
    assert edited.sum() == 4
    assert edited[0, 1, 2].sum() == 4
    pattern = Edit.set("attn_pattern.0.h1", 0.0, (0,)).apply(torch.ones(1, 3, 2, 2), context)
    assert pattern.sum() == 10
    assert pattern[0, 1, 0].sum() == 0


def test_a_vector_of_all_heads_side_by_side():
    z, flat = torch.zeros(2, 4, 3, 5), torch.arange(15.0)
    context = RowContext(torch.arange(4).expand(2, -1), torch.tensor([4, 4]))
    found = Edit.set("attn_z.0", flat, rows=(1,)).apply(z, context)
    assert torch.equal(found[:, 1].flatten(1), flat.expand(2, -1))
    assert found[:, [0, 2, 3]].abs().sum() == 0


def test_a_value_that_does_not_fit_is_named():
    with pytest.raises(ShapeError, match=r"resid_post.0 wants a value that fits \(2, 3, 4\).*\(5,\)"):
        Edit.add("resid_post.0", torch.ones(5)).apply(X, CONTEXT)


def test_bad_rows_and_operations():
    with pytest.raises(ConfigError, match="absolute positions"):
        Edit.scale("resid_post.0", 0.0, rows=(-1,))
    with pytest.raises(ConfigError, match="unknown rows 'last'"):
        Edit.scale("resid_post.0", 0.0, rows="last")


@pytest.mark.parametrize("rows", ["all", (0, 3), torch.tensor([True, False])])
def test_json_round_trip(rows):
    edit = Edit.add("attn_z.1.h2", torch.randn(4), rows, factor=-2.0)
    back = Edit.from_json(edit.to_json())
    assert isinstance(back.value, torch.Tensor)
    torch.testing.assert_close(back.value, edit.value)
    assert (back.site, back.operation, back.factor) == (edit.site, "add", -2.0)
    x = torch.zeros(2, 3, 3, 4)
    assert torch.equal(back.apply(x, CONTEXT), edit.apply(x, CONTEXT))


def test_tweaks_scale_and_set():
    codes = Codes(torch.tensor([[0, 2], [1, 2]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 4)
    assert CodeTweak((2,))(codes).dense().tolist() == [[1, 0, 0, 0], [0, 3, 0, 0]]
    assert CodeTweak((2, 3), "set", 9.0)(codes).dense().tolist() == [[1, 0, 9, 9], [0, 3, 9, 9]]


@settings(deadline=None, max_examples=30)
@given(groups=st.integers(1, 4), k=st.integers(1, 5), size=st.integers(1, 6), data=st.data())
def test_slots_are_overwritten_from_the_weakest(groups, k, size, data):
    wanted = tuple(data.draw(st.lists(st.integers(0, groups * size - 1), max_size=4, unique=True)))
    draw = torch.Generator().manual_seed(0)
    index = torch.cat([g * size + torch.randint(size, (3, k), generator=draw) for g in range(groups)], 1)
    codes = Codes(index, torch.full(index.shape, 1 / k), groups * size)
    for slots in ("weakest", "all"):
        tweak = SlotTweak(wanted, groups, slots)
        found = tweak(codes)
        assert torch.equal(found.value, codes.value)
        for row, before in zip(found.index.tolist(), index.tolist(), strict=True):
            for g in range(groups):
                own = [code for code in wanted if code // size == g]
                slot, was = row[g * k : (g + 1) * k], before[g * k : (g + 1) * k]
                if not own:
                    assert slot == was
                elif slots == "all":
                    assert slot == [own[n % len(own)] for n in range(k)]
                else:
                    n = min(len(own), k)
                    assert (slot[: k - n], slot[k - n :]) == (was[: k - n], own[:n])
        assert tweak_from_json(json.loads(json.dumps(tweak.to_json()))) == tweak


def test_slots_refuse_rows_of_other_groups():
    codes = Codes(torch.zeros(1, 4, dtype=torch.long), torch.ones(1, 4), 8)
    with pytest.raises(ShapeError, match="3 equal groups"):
        SlotTweak((1,), 3)(codes)
    with pytest.raises(ConfigError, match="unknown slots"):
        SlotTweak((1,), 2, "strongest")
