//! Binding of `starnet_core::noise`.

use numpy::{PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;
use starnet_core::noise::{self as core, Noise, NoiseUnits};

use crate::arrays::{out_or_new, to_py, view, view_mut, writable};

type Plane<'py, T> = Bound<'py, PyArray2<T>>;

/// Pixels in units of their noise, and their asinh: `flux` holds the sky level, `sigma` the noise unless `ivar` is given.
#[pyfunction]
#[pyo3(signature = (data, flux, sigma, snr, image, valid, softening, ivar=None, factor=1.0, threads=None))]
#[allow(clippy::too_many_arguments)]
fn noise_units(
    py: Python<'_>,
    data: PyReadonlyArray2<'_, f32>,
    flux: Plane<'_, f32>,
    sigma: Plane<'_, f32>,
    snr: Plane<'_, f32>,
    image: Plane<'_, f32>,
    valid: Plane<'_, bool>,
    softening: f32,
    ivar: Option<PyReadonlyArray2<'_, f32>>,
    factor: f32,
    threads: Option<usize>,
) -> PyResult<()> {
    let data = view(&data);
    let noise = ivar.as_ref().map_or(Noise::Known, |ivar| Noise::Weight { ivar: view(ivar), factor });
    let (mut flux, mut sigma, mut snr, mut image) =
        (writable(&flux)?, writable(&sigma)?, writable(&snr)?, writable(&image)?);
    let mut valid = writable(&valid)?;
    let out = NoiseUnits {
        flux: view_mut(&mut flux)?,
        sigma: view_mut(&mut sigma)?,
        snr: view_mut(&mut snr)?,
        image: view_mut(&mut image)?,
        valid: view_mut(&mut valid)?,
    };
    py.detach(|| core::noise_units(data, noise, softening, out, threads)).map_err(to_py)
}

/// The noise of pixels of this inverse variance.
#[pyfunction]
#[pyo3(signature = (ivar, factor, out=None, threads=None))]
fn noise_from_weight<'py>(
    py: Python<'py>,
    ivar: PyReadonlyArray2<'py, f32>,
    factor: f32,
    out: Option<Bound<'py, PyArray2<f32>>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let ivar = view(&ivar);
    let out = out_or_new(py, out, ivar.shape())?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| core::noise_from_weight(ivar, factor, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(noise_from_weight, m)?)?;
    m.add_function(wrap_pyfunction!(noise_units, m)?)
}
