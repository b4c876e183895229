"""Files of networks: they hold what was saved, and wrong ones are said to be so in a sentence."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from network_samples import meta_file, network, official_sam
from starnet.errors import StarnetError
from starnet.networks import NETWORKS, NetworkConfig, TinyEncoder, VitEncoder, checkpoints, lora
from starnet.networks.network import Network

SMALL = replace(NETWORKS["tiny"], encoder=TinyEncoder((8, 12, 16), (1, 1, 1)), bands=("F160W", "F814W"))
VIT = NETWORKS["vit_test"]


def assert_equal(one: Network, other: Network) -> None:
    assert one.config == other.config
    theirs = other.state_dict()
    assert list(one.state_dict()) == list(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("config", [SMALL, replace(VIT, instance_head=True), VIT])
def test_a_saved_network_is_the_same(tmp_path: Path, config: NetworkConfig) -> None:
    net = network(config)
    path = tmp_path / "ours.safetensors"
    checkpoints.save(net, path, {"trained on": ["candels-deep"], "steps": 3})
    loaded = checkpoints.load(path)
    assert_equal(loaded, net)
    assert not loaded.training
    assert checkpoints.read(path).metadata == {"trained on": ["candels-deep"], "steps": 3}
    assert checkpoints.fingerprint(loaded) == checkpoints.fingerprint(net)
    assert [file.name for file in tmp_path.iterdir()] == ["ours.safetensors"]


def test_a_saved_network_may_be_read_as_other_files(tmp_path: Path) -> None:
    checkpoints.save(network(SMALL), tmp_path / "net.safetensors")
    (tmp_path / "other").touch()
    assert (tmp_path / "net.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_lora_is_saved_within_the_weights(tmp_path: Path) -> None:
    net = lora.add(network(VIT))
    for parameter in net.image_encoder.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0, 0.05)
    checkpoints.save(net, tmp_path / "ours.safetensors")
    assert lora.has_lora(net)
    pixels = torch.randn((1, 3, 64, 64))
    with torch.inference_mode():
        ours, loaded = (
            one.encode(pixels)["embedding"] for one in (net, checkpoints.load(tmp_path / "ours.safetensors"))
        )
    torch.testing.assert_close(loaded, ours, atol=1e-5, rtol=0)


def test_the_fingerprint_knows_weights_and_configuration() -> None:
    net = network(SMALL)
    before = checkpoints.fingerprint(net)
    assert checkpoints.fingerprint(network(replace(SMALL, recipe="seed"))) != before
    with torch.no_grad():
        net.mask_decoder.iou_token.weight[0, 0] += 1e-6
    assert checkpoints.fingerprint(net) != before


def test_metas_files_are_recognised(tmp_path: Path) -> None:
    path = meta_file(tmp_path, VIT)
    by_name, by_file = checkpoints.load("vit_test", checkpoint=path), checkpoints.load(path)
    assert_equal(by_name, by_file)
    theirs = official_sam(VIT).state_dict()
    assert set(by_name.state_dict()) == set(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in by_name.state_dict().items())
    # The same tensors as others hand them on.
    save_file(theirs, tmp_path / "handed_on.safetensors")
    assert_equal(checkpoints.load("vit_test", checkpoint=tmp_path / "handed_on.safetensors"), by_name)


@pytest.mark.parametrize("ours", [False, True])
def test_a_head_and_an_adapter_start_afresh_on_weights_without(tmp_path: Path, ours: bool) -> None:
    path = meta_file(tmp_path, VIT)
    if ours:
        checkpoints.save(checkpoints.load(path), tmp_path / "ours.safetensors")
        path = tmp_path / "ours.safetensors"
    wanted = replace(VIT, instance_head=True, bands=("F160W", "F814W", "F606W", "F435W"))
    net = checkpoints.load("vit_test", checkpoint=path, config=wanted)
    assert net.config == wanted
    assert net.instance_head is not None
    theirs = official_sam(VIT).state_dict()
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in theirs.items())
    checkpoints.save(net, tmp_path / "more.safetensors")
    # Other bands: the adapter starts afresh, the head stays.
    other = checkpoints.load(tmp_path / "more.safetensors", config=replace(wanted, bands=("H",)))
    assert other.adapter.bands == 1
    assert torch.equal(other.instance_head.out.weight, net.instance_head.out.weight)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _more_than_weights(path: Path) -> None:
    path.write_bytes(pickle.dumps({"call": Path}, protocol=2))


def _reshape(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["mask_decoder.iou_token.weight"] = torch.zeros((1, 3))
    torch.save(state, path)


def _lose(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save({key: value for key, value in state.items() if not key.startswith("image_encoder.neck")}, path)


def _add(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "image_encoder.hf_adapter": torch.zeros(3)}, path)


def _other_vit(path: Path) -> None:
    wide = replace(NETWORKS["vit_b"], encoder=VitEncoder(768, 12, 12, (), image_size=32))
    torch.save(official_sam(wide).state_dict(), path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Path.unlink, r"could not be read \(No such file or directory\): give a \.safetensors file of starnet or"),
        (lambda p: p.write_text("<html>404 not found</html>"), "is not a checkpoint: give"),
        (lambda p: p.write_bytes(b""), "is not a checkpoint: give"),
        (_truncate, "is truncated: fetch it again"),
        (_more_than_weights, "holds more than weights, and is not opened since it could run code"),
        (lambda p: torch.save([1, 2], p), "does not hold weights by name"),
        (lambda p: torch.save({"epoch": 3}, p), "does not hold weights by name"),
        (lambda p: p.write_bytes(b"\x80\x02}q\x00"), "is damaged or not a checkpoint"),
        (_reshape, r"has, in another shape, 1 tensors that are not of vit_test, mask_decoder\.iou_token\.weight"),
        (_lose, r"lacks 6 tensors of vit_test, image_encoder\.neck\.0\.weight for one"),
        (_add, r"has 1 tensors that are not of vit_test, image_encoder\.hf_adapter for one"),
        (_other_vit, "is not a checkpoint of vit_test, but seems to be of vit_b: use --model vit_b, or"),
        (lambda p: torch.save({"conv.weight": torch.zeros(3)}, p), "not a checkpoint of vit_test, but is of none"),
    ],
)
def test_wrong_files_are_one_clear_sentence(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    path = meta_file(tmp_path, VIT)
    harm(path)
    with pytest.raises(StarnetError, match=said) as caught:
        checkpoints.load("vit_test", checkpoint=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _header(content: object) -> Callable[[Path], object]:
    text = json.dumps(content).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_truncate, "is truncated: fetch or copy it again"),
        (lambda p: p.write_bytes(p.read_bytes()[:100]), "is truncated: fetch or copy it again"),
        (_header({"a": 1}), "is not a checkpoint"),
        (_header({"__metadata__": {"starnet": '{"format": 99}'}}), "another version of starnet, in format 99"),
        (_header({"__metadata__": {"starnet": "{"}}), "is not a checkpoint of this version"),
        (_header({"__metadata__": {"starnet": '{"format": 1, "config": {}}'}}), "is not a checkpoint of this version"),
        (_header({}), "does not hold a network of tiny, vit_b"),
    ],
)
def test_wrong_files_of_ours_too(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    path = tmp_path / "ours.safetensors"
    checkpoints.save(network(SMALL), path)
    harm(path)
    with pytest.raises(StarnetError, match=said) as caught:
        checkpoints.load(path)
    assert str(path) in str(caught.value)


def test_a_name_needs_its_weights_and_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match="vit_b needs its weights: give their file as --checkpoint"):
        checkpoints.load("vit_b")
    with pytest.raises(StarnetError, match="network 'vit_x' is unknown: choose tiny, vit_b"):
        checkpoints.load("vit_x")
    checkpoints.save(network(SMALL), tmp_path / "ours.safetensors")
    with pytest.raises(StarnetError, match="is not a checkpoint of vit_b, but seems to be of tiny: use --model tiny"):
        checkpoints.load("vit_b", checkpoint=tmp_path / "ours.safetensors")


def test_the_mean_of_several_files(tmp_path: Path) -> None:
    nets = [network(SMALL, seed=seed) for seed in (1, 2, 3)]
    for k, net in enumerate(nets):
        # One of them in 16 bits, as they are shipped.
        checkpoints.save(net, tmp_path / f"{k}.safetensors", half=k == 2)
    paths = [tmp_path / f"{k}.safetensors" for k in range(3)]
    mean = checkpoints.fit(checkpoints.average(dict(zip(paths, (2.0, 1.0, 1.0), strict=True))))
    states = [checkpoints.load(path).state_dict() for path in paths]
    for name, tensor in mean.state_dict().items():
        expected = 0.5 * states[0][name] + 0.25 * states[1][name] + 0.25 * states[2][name]
        torch.testing.assert_close(tensor, expected.to(tensor.dtype))
    alone = checkpoints.fit(checkpoints.average({paths[0]: 0.3}))
    assert checkpoints.fingerprint(alone) == checkpoints.fingerprint(nets[0])
    checkpoints.save(network(replace(SMALL, recipe="seed")), tmp_path / "other.safetensors")
    with pytest.raises(StarnetError, match=r"other.safetensors is of another make than .*0.safetensors: average"):
        checkpoints.average({paths[0]: 1.0, tmp_path / "other.safetensors": 1.0})
