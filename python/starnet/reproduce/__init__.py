"""The report that StarNet began with, done again: SAM as it is on a whole mosaic, on its tiles, and fine-tuned.

In the order in which they are built upon each other: `plan` (what is asked for), `parts` (images for training,
validation and test), `start` (the network before training), `tuning` (the training), `methods` (what finds the
objects), `figures` (how good they are, and whether the report's finding holds), `pictures`, `page`, `reproducing` (all
of it).
"""

from starnet.reproduce.plan import Plan
from starnet.reproduce.reproducing import Reproduction, reproduce

__all__ = ["Plan", "Reproduction", "reproduce"]
