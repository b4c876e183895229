//! Bindings of `starnet_core::normalize`.

use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArray};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use starnet_core::normalize as core;

use crate::arrays::{out_or_new, to_py, view, view_mut, writable};
use crate::dtypes::kind;

/// Clips and scales to [0, 1].
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
    py.detach(|| core::normalize(input, lo, hi, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

/// Normalises three bands into `out`, `(ny, 3 * nx)`, interleaved; float32 or uint8.
#[pyfunction]
#[pyo3(signature = (bands, lo, hi, out, threads=None))]
fn stack_rgb<'py>(
    bands: [PyReadonlyArray2<'py, f32>; 3],
    lo: [f32; 3],
    hi: [f32; 3],
    out: &Bound<'py, PyUntypedArray>,
    threads: Option<usize>,
) -> PyResult<()> {
    fn run<T: core::Channel + numpy::Element>(
        bands: &[PyReadonlyArray2<'_, f32>; 3],
        lo: [f32; 3],
        hi: [f32; 3],
        out: &Bound<'_, PyUntypedArray>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let [r, g, b] = bands;
        let views = [view(r), view(g), view(b)];
        let mut borrowed = writable(out.cast::<PyArray2<T>>()?)?;
        let target = view_mut(&mut borrowed)?;
        out.py().detach(|| core::stack_rgb(views, lo, hi, target, threads)).map_err(to_py)
    }
    match kind(out) {
        (b'f', 4) => run::<f32>(&bands, lo, hi, out, threads),
        (b'u', 1) => run::<u8>(&bands, lo, hi, out, threads),
        _ => Err(PyTypeError::new_err("out: must be float32 or uint8")),
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(normalize, m)?)?;
    m.add_function(wrap_pyfunction!(stack_rgb, m)?)
}
