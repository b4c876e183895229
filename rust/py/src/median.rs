//! Bindings of `starnet_core::{median, rolling}`.

use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use starnet_core::{median, rolling};

use crate::arrays::{out_or_new, to_py, view, view_mut, writable};
use crate::dtypes::{border, kind, nan_policy, with_pixel};

/// The median of the window around each pixel.
#[pyfunction]
#[pyo3(signature = (a, size, mode="reflect", nan="ignore", out=None, threads=None))]
fn median_filter<'py>(
    a: &Bound<'py, PyUntypedArray>,
    size: (usize, usize),
    mode: &str,
    nan: &str,
    out: Option<&Bound<'py, PyAny>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let (border, nan) = (border(mode)?, nan_policy(nan)?);
    with_pixel!(a, T => filter::<T>(a, out, |input, target| {
        median::median_filter(input, size, border, nan, target, threads)
    }))
}

/// The median at every `step`-th pixel, interpolated between.
#[pyfunction]
#[pyo3(signature = (a, window, step=1, anchor=(0, 0), mode="reflect", nan="ignore", out=None, threads=None))]
#[allow(clippy::too_many_arguments)]
fn rolling_median<'py>(
    a: &Bound<'py, PyUntypedArray>,
    window: (usize, usize),
    step: usize,
    anchor: (i64, i64),
    mode: &str,
    nan: &str,
    out: Option<&Bound<'py, PyAny>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let (border, nan) = (border(mode)?, nan_policy(nan)?);
    macro_rules! run {
        ($t:ty) => {
            filter::<$t>(a, out, |input, target| {
                rolling::rolling_median(input, window, step, anchor, border, nan, target, threads)
            })
        };
    }
    match kind(a) {
        (b'f', 4) => run!(f32),
        (b'f', 8) => run!(f64),
        _ => Err(PyTypeError::new_err(format!("dtype {} is not supported: use float32 or float64", a.dtype()))),
    }
}

/// Runs a kernel from an image into `out`, of the same shape and type.
fn filter<'py, T: numpy::Element + Copy + Send + Sync>(
    a: &Bound<'py, PyUntypedArray>,
    out: Option<&Bound<'py, PyAny>>,
    kernel: impl FnOnce(starnet_core::View2<'_, T>, starnet_core::ViewMut2<'_, T>) -> starnet_core::Result<()> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let a: PyReadonlyArray2<'py, T> = a.extract()?;
    let out = out.map(|out| out.cast::<PyArray2<T>>().cloned()).transpose()?;
    let input = view(&a);
    let out = out_or_new(py, out, input.shape())?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| kernel(input, target)).map_err(to_py)?;
    drop(borrowed);
    Ok(out.into_any())
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(median_filter, m)?)?;
    m.add_function(wrap_pyfunction!(rolling_median, m)?)
}
