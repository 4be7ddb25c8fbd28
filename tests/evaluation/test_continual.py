import copy

import numpy as np
import pytest
import torch
from scipy import stats

from workbench.core import Codes, ConfigError
from workbench.data import LabelledRows, digits
from workbench.dictionaries import KeyValueConfig
from workbench.evaluation import ContinualConfig, continual
from workbench.evaluation.continual import interval
from workbench.evaluation.learners import SCORES, Bottleneck, NearestMean, NearestNeighbours, new_bottleneck

SMALL = KeyValueConfig(heads=12, keys=24, key_size=3, key_passes=4, key_batch=64)


def blobs(classes: int = 6, each: int = 30, size: int = 8, seed: int = 0) -> LabelledRows:
    """Well separated clusters, one a class."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.arange(classes * each) % classes
    rows = 6 * torch.randn(classes, size, generator=draw)[label] + torch.randn(len(label), size, generator=draw)
    return LabelledRows(rows, label, torch.arange(len(label)), tuple("abcdefgh"[:classes]))


def test_the_written_step_is_sgd_on_the_cross_entropy():
    data = blobs()
    for pool in ("mean", "sum"):
        module = new_bottleneck(data.rows, 6, SMALL.model_copy(update={"pool": pool}), 0)
        learner, lr = Bottleneck(module, 0.7), 0.7
        seen = learner.see(data.rows)
        share = 1 / seen.shape[1] if pool == "mean" else 1.0
        plain = copy.deepcopy(module)
        optimiser = torch.optim.SGD([plain.values], lr / (seen.shape[1] * share**2))
        for part in torch.arange(len(seen)).split(16):
            learner.step(seen[part], data.label[part])
            codes = Codes(seen[part], torch.full(seen[part].shape, share), plain.width)
            torch.nn.functional.cross_entropy(plain.decode(codes)[SCORES], data.label[part]).backward()
            optimiser.step()
            optimiser.zero_grad()
        torch.testing.assert_close(learner.module.values, plain.values, rtol=1e-4, atol=1e-5)


def test_one_row_moves_its_own_logits_by_the_step():
    data = blobs()
    learner = Bottleneck(new_bottleneck(data.rows, 6, SMALL, 0), 0.5)
    seen = learner.see(data.rows[:1])
    learner.step(seen, data.label[:1])
    wanted = 0.5 * (torch.eye(6)[data.label[0]] - 1 / 6)
    torch.testing.assert_close(learner.scores(seen)[0].detach(), wanted)


def circle(classes: int = 6, each: int = 40) -> LabelledRows:
    """Clusters on a circle: scores that are linear in two coordinates meet in every one of them."""
    label = torch.arange(classes * each) % classes
    angle = 2 * torch.pi * label / classes
    noise = 0.4 * torch.randn(len(label), 2, generator=torch.Generator().manual_seed(0))
    rows = 6 * torch.stack([angle.cos(), angle.sin()], 1) + noise
    return LabelledRows(rows, label, torch.arange(len(label)), tuple("abcdef"))


def test_the_bottleneck_keeps_what_the_probe_forgets():
    """Clusters that share no key lose nothing whatever the order of the classes; a linear probe forgets."""
    config = ContinualConfig(tasks=3, epochs=25, seeds=2, probe_lr=0.5)
    result = continual(circle(), config, SMALL.model_copy(update={"key_size": 2}))
    rows = {row["method"]: row for row in result.tables["final"]}
    bottleneck, probe = rows["key-value bottleneck"], rows["linear probe"]
    assert bottleneck["accuracy"] > 0.95
    assert abs(bottleneck["gap"]) < 0.05
    assert probe["iid"] > 0.95
    assert probe["accuracy"] < bottleneck["accuracy"] - 0.05
    assert probe["forgetting"] > bottleneck["forgetting"]
    for name in ("nearest neighbours", "nearest class mean"):
        assert rows[name]["gap"] == pytest.approx(0, abs=1e-6)
        assert rows[name]["accuracy"] > 0.95
    after = [row for row in result.tables["tasks"] if row["method"] == "linear probe"]
    assert [[row[f"task_{n}"] is None for n in (1, 2, 3)] for row in after] == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    assert after[0]["task_1"] > after[-1]["task_1"]


def test_neighbours_and_means_against_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

    data = blobs(seed=3)
    noisy = data.rows + 4 * torch.randn(data.rows.shape, generator=torch.Generator().manual_seed(0))
    neighbours, means = NearestNeighbours(6, 1), NearestMean(8, 6)
    for part in torch.arange(len(noisy)).split(50):
        neighbours.step(noisy[part], data.label[part])
        means.step(noisy[part], data.label[part])
    test = noisy + 1.0
    wanted = KNeighborsClassifier(1).fit(noisy.numpy(), data.label.numpy()).predict(test.numpy())
    assert (neighbours.scores(test).argmax(1).numpy() == wanted).all()
    wanted = NearestCentroid().fit(noisy.numpy(), data.label.numpy()).predict(test.numpy())
    assert (means.scores(test).argmax(1).numpy() == wanted).all()


def test_splits_keep_groups_and_classes_whole():
    data = digits()
    train, test = data.split(0.3, 1)
    assert len(train) + len(test) == len(data.label) == 1797
    assert not set(train.tolist()) & set(test.tolist())
    assert (torch.bincount(data.label[test]) / torch.bincount(data.label)).sub(0.3).abs().max() < 0.01
    grouped = LabelledRows(data.rows, data.label, data.label * 4 + torch.arange(1797) % 4, data.classes)
    train, test = grouped.split(0.3, 1)
    assert not set(grouped.group[train].tolist()) & set(grouped.group[test].tolist())
    with pytest.raises(ConfigError, match="cannot be split"):
        LabelledRows(data.rows, data.label, data.label, data.classes).split(0.3, 0)


def test_the_interval_is_students():
    values = np.array([0.3, 0.5, 0.45, 0.61])
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert interval(values, 0.9) == pytest.approx((wanted.low, wanted.high))


def test_more_tasks_than_classes_are_refused():
    with pytest.raises(ConfigError, match="dealt out to 7 tasks"):
        continual(blobs(), ContinualConfig(tasks=7))
