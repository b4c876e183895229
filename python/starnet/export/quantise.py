"""Weights and activations of eight bits, calibrated on tiles of sky."""

from __future__ import annotations

import ast
import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from starnet.export.onnx_files import SCOPES

Inputs = dict[str, NDArray[Any]]

#: Layers with weights.
LAYERS = ("Conv", "MatMul", "Gemm")
#: What lies between them, so that a chain stays in eight bits: going back to float after each costs more than it saves.
BETWEEN = ("Add", "Relu", "Resize")


def quantise(source: Path, target: Path, samples: Sequence[Inputs], fine: Sequence[str] | None = None) -> None:
    """Writes a graph again whose layers multiply int8 by uint8, each channel of the weights with its own scale.

    ONNX's QDQ form: quantise and dequantise around each layer, which every provider of ONNX Runtime can fuse.

    Parameters
    ----------
    source, target : Path
        The graph in float32, and where to write the other.
    samples : sequence of dict
        Its inputs, by name, for tiles of sky: activations get the range that they have there.
    fine : sequence of str, optional
        Submodules that stay in float, and with them the first and the last layers: those see the pixels, whose range
        is that of the brightest source, and these make what objects' borders are drawn by. By default no layer does.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(samples)

        def get_next(self) -> Inputs | None:
            return next(self.rest, None)

    graph = onnx.load(source, load_external_data=False).graph
    with _quiet():
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*LAYERS, *BETWEEN],
            per_channel=True,
            # Seven bits of weights: processors without VNNI add two products in 16 bits, which eight bits overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=returned(graph) if fine is None else end_nodes(graph) + nodes_of(graph, fine),
            use_external_data_format=source.with_name(f"{source.name}.data").exists(),
            extra_options={"MatMulConstBOnly": True},
        )


def returned(graph: Any) -> list[str]:
    """Names of the nodes without weights that make an output: in float anyway, so that eight bits would save nothing.

    In `tiny`, the sum that its head sees: it alone is worth a twentieth of the objects' mean IoU.
    """
    outputs = {one.name for one in graph.output}
    return [node.name for node in graph.node if node.op_type in BETWEEN and outputs & set(node.output)]


def end_nodes(graph: Any) -> list[str]:
    """Names of the layers that an input reaches, or that reach an output, without a layer between, and of that way."""
    weights = {one.name for one in graph.initializer}

    def passed(nodes: Iterable[Any], open_values: set[str], *, forward: bool) -> Iterator[str]:
        for node in nodes:
            before, after = (node.input, node.output) if forward else (node.output, node.input)
            if open_values & set(before):
                yield node.name
                if node.op_type not in LAYERS or not weights & set(node.input):
                    open_values |= set(after)

    found = set(passed(graph.node, {one.name for one in graph.input}, forward=True))
    return sorted(found.union(passed(reversed(graph.node), {one.name for one in graph.output}, forward=False)))


def nodes_of(graph: Any, modules: Sequence[str]) -> list[str]:
    """Names of the nodes that were traced in these submodules."""

    def scopes(node: Any) -> list[str]:
        texts = [one.value for one in node.metadata_props if one.key == SCOPES]
        return [str(scope) for text in texts for scope in ast.literal_eval(text)]

    return [node.name for node in graph.node if not set(modules).isdisjoint(scopes(node))]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
