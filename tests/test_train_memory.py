"""The arithmetic of memory, against what a step really takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from starnet.networks.network import build
from starnet.train.config import TrainConfig
from starnet.train.memory import estimate_memory
from starnet.train.module import prepare

SCRIPT = """
import json, sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
from train_samples import Skies, small
from starnet.train.memory import estimate_memory
from starnet.train.module import Training, prepare
from starnet.train.training import feeds, start
from starnet.memory import peak_memory
vit = dict(name="vit_test", instance_head=True, prompt=dict(),
           encoder=dict(width=192, depth=8, heads=6, global_blocks=[3, 7], image_size=512, attention_window=7))
size, batch = (512, 1) if {vit} else (256, 4)
network = vit if {vit} else dict(encoder=dict(), prompt=dict())
config = small(network=network, data=dict(size=size, validation_samples=1), checkpointing={checkpointing}, batch=batch,
               learning=dict(encoder={encoder!r}), prompting=dict(objects={objects}, rounds=3))
sky = Skies(1, size, 12)
module = Training(prepare(start(config.network), config.learning, checkpointing={checkpointing}), config,
                  *feeds(config, (sky, sky)))
batch = next(module._feed())
optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad])
before = peak_memory()
for _ in range(2):
    module._losses(module._features(batch), batch)["loss"].backward()
    optimiser.step()
    optimiser.zero_grad()
memory = estimate_memory(module.network, config)
print(json.dumps([peak_memory() - before, memory.total - memory.base - memory.weights - memory.average]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vit", "checkpointing", "encoder", "objects"),
    [
        (True, False, "full", 0),
        (True, True, "full", 0),
        (True, True, "full", 8),
        (True, False, "lora", 8),
        (True, False, "frozen", 8),
        (False, False, "full", 0),
        (False, False, "full", 8),
    ],
)
def test_estimated_is_about_measured(vit: bool, checkpointing: bool, encoder: str, objects: int) -> None:
    tests = str(Path(__file__).parent)
    script = SCRIPT.format(tests=tests, vit=vit, checkpointing=checkpointing, encoder=encoder, objects=objects)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    measured, estimated = json.loads(done.stdout.splitlines()[-1])
    print(f"measured {measured / 2**20:.0f} MiB, estimated {estimated / 2**20:.0f} MiB")
    assert estimated / 1.5 < measured < 1.5 * estimated


@pytest.mark.parametrize("name", ["vit_b-decoder", "vit_b-lora", "vit_b-full"])
def test_the_shipped_ones_fit_into_8_gb(name: str) -> None:
    config = TrainConfig.load(Path(__file__).parent.parent / "configs" / "train" / f"{name}.yaml")
    with torch.device("meta"):
        network = prepare(build(config.network.network()), config.learning, checkpointing=config.checkpointing)
    assert estimate_memory(network, config, half=True).total < 8e9
