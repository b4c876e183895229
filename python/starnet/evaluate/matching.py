"""The assignment: which prediction stands for which true object."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import StarnetError
from starnet.masks.runs import Ints

#: Largest matrix, in elements, for which a dense solver is faster than the sparse one.
_DENSE = 1 << 16


def assign(t: Ints, p: Ints, iou: NDArray[np.float64]) -> Ints:
    """One-to-one assignment of true and predicted objects with the largest sum of IoU.

    It is found for each connected component of the overlap graph on its own, which is exact: no pair lies across.

    Parameters
    ----------
    t, p : ndarray of int64
        Indices of the true and the predicted object of each pair that overlaps.
    iou : ndarray of float64
        IoU of each pair, greater than 0.

    Returns
    -------
    chosen : ndarray of int64
        Indices of the pairs that are assigned, ascending. Where several assignments have the largest sum it is one of
        them, always the same for the same input.

    Raises
    ------
    StarnetError
        If SciPy is not installed.

    References
    ----------
    Crouse 2016, IEEE Trans. Aerosp. Electron. Syst. 52, 1679 (small components); Jonker & Volgenant 1987, Computing 38,
    325, for sparse matrices (large ones); both as in SciPy.
    """
    if not len(t):
        return np.empty(0, np.int64)
    check_scipy()
    csgraph: Any = import_module("scipy.sparse.csgraph")
    sparse: Any = import_module("scipy.sparse")
    n_truth, n_pred = int(t.max()) + 1, int(p.max()) + 1
    nodes = n_truth + n_pred
    graph = sparse.coo_array((np.ones(len(t), np.int8), (t, n_truth + p)), shape=(nodes, nodes))
    count, component = csgraph.connected_components(graph, directed=False)
    some_truths = np.bincount(component[:n_truth], minlength=count)
    some_preds = np.bincount(component[n_truth:], minlength=count)

    # Where one object of a side is alone, its best pair is the assignment.
    of_pair = component[t]
    order = np.lexsort((-iou, of_pair))
    first = np.flatnonzero(np.append(True, np.diff(of_pair[order]) > 0))
    last = np.append(first[1:], len(order))
    of_group = of_pair[order[first]]
    alone = np.minimum(some_truths, some_preds)[of_group] == 1
    chosen = [order[first[alone]]]
    for begin, end in zip(first[~alone].tolist(), last[~alone].tolist(), strict=True):
        pairs = np.sort(order[begin:end])
        chosen.append(pairs[_solve(t[pairs], p[pairs], iou[pairs])])
    return np.sort(np.concatenate(chosen))


def _solve(t: Ints, p: Ints, iou: NDArray[np.float64]) -> Ints:
    """Positions of the assigned pairs of one component."""
    rows, row = np.unique(t, return_inverse=True)
    columns, column = np.unique(p, return_inverse=True)
    if len(rows) * len(columns) > _DENSE:
        return _solve_sparse(row, column, iou, len(rows), len(columns))
    optimize: Any = import_module("scipy.optimize")
    values = np.zeros((len(rows), len(columns)))
    values[row, column] = iou
    position = np.full(values.shape, -1)
    position[row, column] = np.arange(len(iou))
    # Pairs that do not overlap, of value 0, stand for none.
    found: Ints = position[optimize.linear_sum_assignment(values, maximize=True)]
    return found[found >= 0]


def _solve_sparse(row: Ints, column: Ints, iou: NDArray[np.float64], rows: int, columns: int) -> Ints:
    csgraph: Any = import_module("scipy.sparse.csgraph")
    sparse: Any = import_module("scipy.sparse")
    # The solver finds a partner for every row: a column of its own, of value 0, stands for none. It takes 0 for no
    # edge, hence 1 on all; each row has one partner, so that this adds the same to all assignments.
    edges = (
        np.append(iou, np.zeros(rows)) + 1,
        (np.append(row, np.arange(rows)), np.append(column, columns + np.arange(rows))),
    )
    matrix = sparse.csr_array(edges, shape=(rows, columns + rows))
    i, j = csgraph.min_weight_full_bipartite_matching(matrix, maximize=True)
    real = j < columns
    keys = row * columns + column  # ascending, as the pairs are
    return np.searchsorted(keys, np.sort(i[real].astype(np.int64) * columns + j[real]))


def check_scipy() -> None:
    """Say how to install what the assignment needs.

    Raises
    ------
    StarnetError
        If SciPy is not installed.
    """
    try:
        import_module("scipy.optimize")
    except ImportError as error:
        raise StarnetError(
            "the assignment needs SciPy, which is not installed: pip install 'starnet[evaluate]'"
        ) from error
