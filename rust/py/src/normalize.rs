//! Bindings of `starnet_core::normalize`.

use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArray};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use starnet_core::normalize as core;

use crate::arrays::{FloatPixels, big_endian, out_or_new, to_py, view, view_mut, with_floats, writable};
use crate::dtypes::kind;

/// Clips and scales to [0, 1].
#[pyfunction]
#[pyo3(signature = (a, lo, hi, out=None, threads=None))]
fn normalize<'py>(
    py: Python<'py>,
    a: FloatPixels<'py>,
    lo: f32,
    hi: f32,
    out: Option<Bound<'py, PyArray2<f32>>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let shape = with_floats!(a, input => input.shape());
    let out = out_or_new(py, out, shape)?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    with_floats!(a, input => py.detach(|| core::normalize(input, lo, hi, target, threads))).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

/// Three bands in one byte order.
#[derive(FromPyObject)]
enum Bands<'py> {
    Native([PyReadonlyArray2<'py, f32>; 3]),
    BigEndian([PyReadonlyArray2<'py, u32>; 3]),
}

/// Normalises three bands into `out`, `(ny, 3 * nx)`, interleaved; float32 or uint8.
#[pyfunction]
#[pyo3(signature = (bands, lo, hi, out, threads=None))]
fn stack_rgb<'py>(
    bands: Bound<'py, PyAny>,
    lo: [f32; 3],
    hi: [f32; 3],
    out: &Bound<'py, PyUntypedArray>,
    threads: Option<usize>,
) -> PyResult<()> {
    fn run<T: core::Channel + numpy::Element>(
        bands: &Bands<'_>,
        lo: [f32; 3],
        hi: [f32; 3],
        out: &Bound<'_, PyUntypedArray>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let mut borrowed = writable(out.cast::<PyArray2<T>>()?)?;
        let target = view_mut(&mut borrowed)?;
        let py = out.py();
        match bands {
            Bands::Native([r, g, b]) => {
                let views = [view(r), view(g), view(b)];
                py.detach(|| core::stack_rgb(views, lo, hi, target, threads))
            }
            Bands::BigEndian([r, g, b]) => {
                let views = [big_endian(r), big_endian(g), big_endian(b)];
                py.detach(|| core::stack_rgb(views, lo, hi, target, threads))
            }
        }
        .map_err(to_py)
    }
    let bands: Bands<'py> = bands.extract()?;
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
