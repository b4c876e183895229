"""Graphs as ONNX files."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from onnx_ir.traversal import RecursiveGraphIterator

from starnet.bundle import runtime_opset
from starnet.errors import StarnetError
from starnet.export.graphs import Graph

#: ONNX's oldest opset that torch exports to without converting, and one that ONNX Runtime has known since 1.14.
OPSET = 18
#: A protocol buffer may hold 2 GiB: larger weights go into a file beside.
EXTERNAL = 3 * 2**29
#: What a node says of the submodules that it comes from.
SCOPES = "pkg.torch.onnx.name_scopes"


def check_opset(opset: int) -> None:
    """Whether torch writes this opset, and the installed ONNX Runtime reads it.

    Raises
    ------
    StarnetError
        If it does not.
    """
    newest = runtime_opset()
    if opset < OPSET or (newest is not None and opset > newest):
        raise StarnetError(f"opset {opset}: choose one from {OPSET} to {newest or 'what onnxruntime knows'}")


def write(graph: Graph, folder: Path, opset: int = OPSET) -> list[Path]:
    """Traces a graph into a file of its name, folded and with shapes; weights of gigabytes into one beside it.

    The file is the same wherever and however often it is written.
    """
    module = graph.module.eval()
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    path = folder / graph.file
    with _quiet():
        program: Any = torch.onnx.export(
            module,
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=tuple(graph.extents[name] for name in graph.inputs),
            optimize=True,
        )
        # Where in whose files each node was traced is nobody's business, and much of a small file.
        for node in RecursiveGraphIterator(program.model.graph):
            scopes = node.metadata_props.get(SCOPES)
            node.metadata_props.clear()
            if scopes is not None:
                node.metadata_props[SCOPES] = scopes
        program.save(path, external_data=size > EXTERNAL)
    return sorted(folder.glob(f"{graph.file}*"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its steps, and warns of its own workings."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), warnings.catch_warnings():  # noqa: PTH123
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
