//! Binding of `starnet_core::normalize`.

use numpy::{PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::{out_or_new, to_py, view, view_mut, writable};

#[pyfunction]
#[pyo3(signature = (a, lo, hi, out=None, threads=None))]
fn normalize<'py>(
    py: Python<'py>,
    a: PyReadonlyArray2<'py, f32>,
    lo: f32,
    hi: f32,
    out: Option<Bound<'py, PyArray2<f32>>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let input = view(&a);
    let out = out_or_new(py, out, input.shape())?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| starnet_core::normalize::normalize(input, lo, hi, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(normalize, m)?)
}
