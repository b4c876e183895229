//! Binding of `starnet_core::watershed`.

use numpy::{PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::{out_or_new, to_py, view, view_mut, writable};

/// Floods a landscape from markers.
#[pyfunction]
#[pyo3(signature = (landscape, markers, mask=None, connectivity=1, out=None))]
fn watershed<'py>(
    py: Python<'py>,
    landscape: PyReadonlyArray2<'py, f32>,
    markers: PyReadonlyArray2<'py, i32>,
    mask: Option<PyReadonlyArray2<'py, u8>>,
    connectivity: u8,
    out: Option<Bound<'py, PyArray2<i32>>>,
) -> PyResult<Bound<'py, PyArray2<i32>>> {
    let (heights, seeds, mask) = (view(&landscape), view(&markers), mask.as_ref().map(view));
    let out = out_or_new(py, out, heights.shape())?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| starnet_core::watershed::watershed(heights, seeds, mask, connectivity, target)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(watershed, m)?)
}
