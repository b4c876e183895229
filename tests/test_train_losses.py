"""Losses and prompts from the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import sigmoid_focal_loss

from starnet.networks import NETWORKS
from starnet.networks.network import build
from starnet.train.asking import ask
from starnet.train.judging import Judge, form_objects
from starnet.train.losses import dice_loss, focal_loss, instance_losses, mask_iou
from starnet.train.prompting import choose, cut, draw_boxes, draw_corrections, draw_points
from starnet.train.targets import targets
from train_samples import Skies

SEEDS = st.integers(0, 2**32)


def masks(seed: int, n: int = 3, side: int = 9) -> torch.Tensor:
    found = torch.rand((n, side, side), generator=torch.Generator().manual_seed(seed)) < 0.2
    found[:, side // 2, side // 2] = True
    return found


def test_focal_loss_is_torchvisions() -> None:
    logits, truth = torch.randn(2, 3, 5, 5), masks(1, 2, 5)[:, None]
    theirs = sigmoid_focal_loss(logits, truth.expand_as(logits).float(), reduction="none").mean(dim=(-2, -1))
    torch.testing.assert_close(focal_loss(logits, truth, torch.ones_like(truth)), theirs)


@given(SEEDS)
def test_ignored_pixels_change_nothing(seed: int) -> None:
    torch.manual_seed(seed)
    logits, truth, valid = torch.randn(2, 3, 8, 8), targets(masks(seed, 1, 8)[0].long().numpy()), masks(seed + 1, 2, 8)
    goal = torch.from_numpy(truth)[None].repeat(2, 1, 1, 1)
    junk = torch.where(valid[:, None], 0, 50 * torch.randn(2, 3, 8, 8))
    for changed in ((logits + junk, goal), (logits, (goal + junk).clamp(0, 1))):
        for name, value in instance_losses(*changed, valid).items():
            torch.testing.assert_close(value, instance_losses(logits, goal, valid)[name])
    one, wanted = logits[:, 0], goal[:, 0] > 0
    for loss in (focal_loss, dice_loss, mask_iou):
        torch.testing.assert_close(loss(one + junk[:, 0], wanted, valid), loss(one, wanted, valid))


def test_losses_of_the_truth_itself() -> None:
    truth = masks(3)
    sure, every = torch.where(truth, 30.0, -30.0), torch.ones_like(truth)
    assert focal_loss(sure, truth, every).max() < 1e-6
    assert dice_loss(sure, truth, every).max() < 1e-6
    assert mask_iou(sure, truth, every).tolist() == [1, 1, 1]
    assert mask_iou(-sure, truth, every).tolist() == [0, 0, 0]


@given(SEEDS)
def test_prompts_lie_where_they_should(seed: int) -> None:
    torch.manual_seed(seed)
    truth, drawn = masks(seed), masks(seed + 1)
    which = torch.arange(len(truth))
    x, y = draw_points(truth).long().unbind(1)
    assert truth[which, y, x].all()
    for box, mask in zip(draw_boxes(truth, 0), truth.numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        assert box.tolist() == [columns.min(), rows.min(), columns.max(), rows.max()]
    points, labels = draw_corrections(drawn, truth, torch.ones_like(truth))
    x, y = points.long().unbind(1)
    wrong = drawn ^ truth
    assert (wrong[which, y, x] | ~wrong.any(dim=(1, 2))).all()
    assert torch.equal(labels, truth[which, y, x].long())


def test_faultless_masks_are_pointed_at_inside_and_nothing_nowhere() -> None:
    truth = masks(5)
    _points, labels = draw_corrections(truth, truth, torch.ones_like(truth))
    assert labels.tolist() == [1, 1, 1]
    empty = torch.zeros_like(truth)
    assert draw_corrections(empty, empty, torch.ones_like(truth))[1].tolist() == [-1, -1, -1]


def test_points_are_drawn_evenly() -> None:
    torch.manual_seed(1)
    mask = torch.zeros((4000, 4, 4), dtype=torch.bool)
    mask[:, 1:3, 1:3] = True
    _, counts = torch.unique(draw_points(mask), dim=0, return_counts=True)
    assert counts.tolist() == pytest.approx([1000] * 4, rel=0.1)


@given(SEEDS)
def test_chosen_objects_are_of_their_samples(seed: int) -> None:
    torch.manual_seed(seed)
    sky = [Skies(seed).sample(i, 64, 0) for i in range(2)]
    labels = torch.from_numpy(np.stack([one.labels for one in sky])).long()
    valid = torch.rand(labels.shape) < 0.9
    found = choose(labels, valid, most=3, least_area=5)
    assert torch.bincount(found.images, minlength=2).max() <= 3
    for image, mask in zip(found.images, found.masks, strict=True):
        number = labels[image][mask].unique()
        assert len(number) == 1
        assert mask.sum() >= 5
        assert torch.equal(mask, (labels[image] == number) & valid[image])
    assert len(choose(torch.zeros_like(labels), valid, 3, 5)) == 0


@given(SEEDS, st.integers(-12, 12), st.integers(-12, 12))
def test_cut(seed: int, y: int, x: int) -> None:
    planes = masks(seed, 2, 9).int() + 1
    padded = np.pad(planes.numpy(), ((0, 0), (20, 20), (20, 20)))
    expected = padded[:, 20 + y : 25 + y, 20 + x : 25 + x]
    assert (cut(planes, torch.tensor([[y, x]] * 2), 5).numpy() == expected).all()


@pytest.mark.parametrize("name", ["tiny", "vit_test"])
@pytest.mark.parametrize("box", [False, True])
def test_rounds_ask_for_the_same_objects_and_checkpointing_changes_nothing(name: str, box: bool) -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = build(NETWORKS[name]).eval()
    sky = [Skies(1, 192, 20).sample(i, 192, 0) for i in range(2)]
    labels = torch.from_numpy(np.stack([one.labels for one in sky])).long()
    objects = choose(labels, torch.ones_like(labels, dtype=torch.bool), 3, 5)
    embedding = network.encode(torch.from_numpy(np.stack([one.image for one in sky])))["embedding"].detach()
    gradients = []
    for checkpointing in (False, True):
        network.zero_grad()
        torch.manual_seed(2)
        total = torch.zeros(())
        for i, answer in enumerate(
            ask(network, embedding, objects, rounds=3, box=box, jitter=0.1, checkpointing=checkpointing)
        ):
            assert answer.logits.shape[1] == (3 if i == 0 and not box else 1)
            assert answer.logits.shape[-2:] == answer.truth.shape[-2:] == answer.valid.shape[-2:]
            assert answer.truth.any(dim=(1, 2)).all()  # the window is where the object is
            total = total + answer.logits.square().mean() + answer.predicted_iou.mean()
        total.backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for one, other in zip(*(g.values() for g in gradients), strict=True):
        torch.testing.assert_close(one, other)


def test_true_maps_make_true_objects() -> None:
    sky = [Skies(4).sample(i, 64, 0) for i in range(3)]
    judge = Judge()
    for one in sky:
        logits = torch.logit(torch.from_numpy(targets(one.labels))[None], eps=1e-4)
        labels = torch.from_numpy(one.labels)[None].long()
        judge.add_maps(logits, labels, torch.ones_like(labels, dtype=torch.bool))
    figures = judge.figures()
    assert figures["pq"] > 0.9
    assert figures["purity"] == 1
    assert form_objects(np.zeros((3, 8, 8), np.float32)).max() == 0
