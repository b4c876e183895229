"""The network that a report begins with: whose weights, said plainly."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch

from starnet.errors import StarnetError
from starnet.networks import NETWORKS
from starnet.networks.checkpoints import load, save
from starnet.networks.network import Network, build
from starnet.reproduce.plan import Plan
from starnet.reproduce.start import prepare_start
from starnet.weights import KNOWN, Weights

RANDOM = Plan(model="vit_test", checkpoint="random", images=(1, 1, 1), tile=64)


def same(one: Network, other: Network) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def pth(path: Path) -> Network:
    """A network as Meta would publish it."""
    torch.manual_seed(5)
    network = build(NETWORKS["vit_test"]).eval()
    torch.save(network.state_dict(), path)
    return network


def test_random_weights_are_those_of_the_seed(tmp_path: Path) -> None:
    starts = [
        prepare_start(dataclasses.replace(RANDOM, seed=seed), tmp_path / name)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    networks = [load(start.path) for start in starts]
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])
    assert not starts[0].learned
    assert "learned nothing before" in starts[0].words
    assert networks[0].config == starts[0].config
    assert starts[0].config == dataclasses.replace(NETWORKS["vit_test"], recipe="seed", stretch=(0.0, 1.0))


def test_what_is_there_is_taken(tmp_path: Path) -> None:
    first = prepare_start(RANDOM, tmp_path)
    written = first.path.stat().st_mtime_ns
    assert prepare_start(RANDOM, tmp_path) == first
    assert first.path.stat().st_mtime_ns == written


def test_weights_for_pictures_get_the_reports_preprocessing(tmp_path: Path) -> None:
    network = pth(tmp_path / "vit_test.pth")
    plan = dataclasses.replace(RANDOM, checkpoint=str(tmp_path / "vit_test.pth"))
    start = prepare_start(plan, tmp_path / "start")
    assert same(load(start.path), network)
    assert (start.config.recipe, start.config.stretch, start.learned) == ("seed", (0.0, 1.0), True)
    assert load(start.path).config == start.config
    assert "vit_test.pth" in start.words
    assert "which are not Meta's" in start.words
    other = prepare_start(dataclasses.replace(plan, recipe="noise"), tmp_path / "noise")
    assert (other.config.recipe, other.config.stretch) == ("noise", NETWORKS["vit_test"].stretch)


def test_metas_weights_are_told_by_their_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pth(tmp_path / "renamed.pth")
    content = (tmp_path / "renamed.pth").read_bytes()
    known = Weights("https://h/x.pth", hashlib.sha256(content).hexdigest(), len(content), "Apache-2.0", "vit_test")
    monkeypatch.setitem(KNOWN, "sam-vit-test", known)
    start = prepare_start(dataclasses.replace(RANDOM, checkpoint=str(tmp_path / "renamed.pth")), tmp_path / "start")
    assert start.words.startswith("Meta's weights sam-vit-test (SHA-256 ")


@pytest.mark.parametrize("named", [True, False])
def test_our_weights_keep_the_preprocessing_of_their_training(tmp_path: Path, named: bool) -> None:
    network = build(NETWORKS["tiny"]).eval()
    file = tmp_path / "tiny.safetensors"
    save(network, file)
    plan = Plan(model="tiny" if named else str(file), checkpoint=str(file) if named else None, images=(1, 1, 1))
    start = prepare_start(plan, tmp_path / "start")
    assert start.config == NETWORKS["tiny"]
    assert same(load(start.path), network)


def test_a_file_whose_header_has_the_length_of_a_pickles_magic_number(tmp_path: Path) -> None:
    network = build(dataclasses.replace(NETWORKS["vit_test"], recipe="seed", stretch=(0.0, 1.0))).eval()
    for padding in range(0, 256, 8):
        save(network, tmp_path / "x.safetensors", {"padding": " " * padding})
        if (tmp_path / "x.safetensors").read_bytes()[0] == 0x80:
            break
    assert load(tmp_path / "x.safetensors").config == network.config
    assert (tmp_path / "x.safetensors").read_bytes()[0] == 0x80


def test_weights_that_are_missing_or_of_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARNET_CACHE", str(tmp_path))
    with pytest.raises(StarnetError, match="run `starnet fetch sam-vit-b`"):
        prepare_start(Plan(), tmp_path / "a")
    pth(tmp_path / "vit_test.pth")
    with pytest.raises(StarnetError, match="is not a checkpoint of tiny"):
        prepare_start(
            dataclasses.replace(RANDOM, model="tiny", checkpoint=str(tmp_path / "vit_test.pth")), tmp_path / "b"
        )
    with pytest.raises(StarnetError, match="network 'sam' is unknown"):
        prepare_start(dataclasses.replace(RANDOM, model="sam"), tmp_path / "c")
    with pytest.raises(StarnetError, match=r"sam.*could not be read"):
        prepare_start(Plan(model=str(tmp_path / "sam")), tmp_path / "d")
    assert not list(tmp_path.glob("*/start.*"))
