//! Bindings of `starnet_core::tiling`.

use numpy::{PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use starnet_core::{ViewMut2, tiling};

use crate::arrays::{out_or_new, planes, to_py, view, view_mut, writable};
use crate::dtypes::{border, with_pixel};

/// Copies the windows that begin at `origins` into `out`, `(n, ny, nx)`.
#[pyfunction]
#[pyo3(signature = (a, origins, out, mode="constant", fill=0.0, threads=None))]
fn extract_tiles<'py>(
    a: &Bound<'py, PyUntypedArray>,
    origins: Vec<(isize, isize)>,
    out: &Bound<'py, PyAny>,
    mode: &str,
    fill: f64,
    threads: Option<usize>,
) -> PyResult<()> {
    let border = border(mode)?;
    with_pixel!(a, T => {
        let py = a.py();
        let a: PyReadonlyArray2<'py, T> = a.extract()?;
        let input = view(&a);
        let out = out.cast::<PyArray3<T>>()?;
        let mut borrowed = out
            .try_readwrite()
            .map_err(|_| PyValueError::new_err("out must be writable and must not overlap an input array"))?;
        let mut array = borrowed.as_array_mut();
        let (n, ny, nx) = array.dim();
        let strides = [array.strides()[0], array.strides()[1], array.strides()[2]];
        let apart = n * ny * nx == 0 || (strides[2] == 1 || nx <= 1)
            && (strides[1] >= nx as isize || ny <= 1)
            && (strides[0] >= (strides[1] * ny as isize).max(nx as isize) || n <= 1);
        if !apart {
            return Err(PyValueError::new_err("out: the pixels of a row must be contiguous (C order)"));
        }
        let pointer: *mut T = array.as_mut_ptr();
        let plane = |i: usize| pointer.wrapping_offset(i as isize * strides[0]);
        let tiles = (0..n)
            // SAFETY: `borrowed` is the only borrow of a live, writable array; that its rows are contiguous and that
            // neither they nor its planes overlap was just checked, unless there are no pixels at all.
            .map(|i| unsafe { ViewMut2::from_raw(plane(i), (ny, nx), strides[1].unsigned_abs()) })
            .collect();
        py.detach(|| tiling::extract_tiles(input, &origins, border, fill as T, tiles, threads)).map_err(to_py)
    })
}

/// Blends tiles, `(n, ny, nx)`, that begin at `origins` into an image.
#[pyfunction]
#[pyo3(signature = (tiles, origins, shape, weights=None, out=None, threads=None))]
fn stitch<'py>(
    py: Python<'py>,
    tiles: PyReadonlyArray3<'py, f32>,
    origins: Vec<(isize, isize)>,
    shape: (usize, usize),
    weights: Option<PyReadonlyArray2<'py, f32>>,
    out: Option<Bound<'py, PyArray2<f32>>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let out = out_or_new(py, out, shape)?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    let (planes, weights) = (planes(&tiles), weights.as_ref().map(view));
    py.detach(|| tiling::stitch(&planes, &origins, weights, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(extract_tiles, m)?)?;
    m.add_function(wrap_pyfunction!(stitch, m)?)
}
