//! Bindings of `starnet_core::{labels, detection, measure}`.

use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use starnet_core::View2;
use starnet_core::detection;
use starnet_core::labels::{self, Connectivity};
use starnet_core::measure::{self as core_measure, Object, Planes};

use crate::arrays::{out_or_new, planes, to_py, view, view_mut, writable};

fn connectivity(value: u8) -> PyResult<Connectivity> {
    match value {
        4 => Ok(Connectivity::Four),
        8 => Ok(Connectivity::Eight),
        other => {
            Err(PyValueError::new_err(format!("connectivity={other}: must be 4 (sides) or 8 (sides and corners)")))
        }
    }
}

#[pyfunction]
#[pyo3(signature = (mask, connectivity=8, out=None, threads=None))]
fn label<'py>(
    py: Python<'py>,
    mask: PyReadonlyArray2<'py, u8>,
    connectivity: u8,
    out: Option<Bound<'py, PyArray2<i32>>>,
    threads: Option<usize>,
) -> PyResult<(Bound<'py, PyArray2<i32>>, usize)> {
    let connectivity = self::connectivity(connectivity)?;
    let input = view(&mask);
    let out = out_or_new(py, out, input.shape())?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    let count = py.detach(|| labels::label(input, connectivity, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok((out, count))
}

#[pyfunction]
fn touching<'py>(
    py: Python<'py>,
    a: PyReadonlyArray1<'py, i32>,
    b: PyReadonlyArray1<'py, i32>,
) -> PyResult<Vec<(i32, i32)>> {
    let (a, b) = (a.as_array().to_vec(), b.as_array().to_vec());
    py.detach(|| labels::touching(&a, &b)).map_err(to_py)
}

#[pyfunction]
fn join_tiles(py: Python<'_>, labels: Bound<'_, PyArray2<i32>>, ys: Vec<usize>, xs: Vec<usize>) -> PyResult<usize> {
    let mut borrowed = writable(&labels)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| labels::join_tiles(target, &ys, &xs)).map_err(to_py)
}

#[pyfunction]
fn extents<'py>(
    py: Python<'py>,
    labels: PyReadonlyArray2<'py, i32>,
    count: usize,
) -> PyResult<Bound<'py, PyArray2<i32>>> {
    let map = view(&labels);
    let found = py.detach(|| labels::extents(map, count)).map_err(to_py)?;
    PyArray1::from_vec(py, found.into_flattened()).reshape([count, 5])
}

#[pyfunction]
fn paint_runs(
    py: Python<'_>,
    runs: PyReadonlyArray2<'_, i32>,
    origin: (i32, i32),
    out: Bound<'_, PyArray2<i32>>,
) -> PyResult<()> {
    if runs.shape()[1] != 4 {
        return Err(PyValueError::new_err(format!(
            "runs has shape {:?}, expected (n, 4): y, x0, x1, value",
            runs.shape()
        )));
    }
    let rows: Vec<[i32; 4]> = runs.as_array().rows().into_iter().map(|r| [r[0], r[1], r[2], r[3]]).collect();
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| labels::paint_runs(&rows, origin, target));
    Ok(())
}

#[pyfunction]
#[pyo3(signature = (bands, valid, profile, out=None, threads=None))]
fn detection_image<'py>(
    py: Python<'py>,
    bands: PyReadonlyArray3<'py, f32>,
    valid: PyReadonlyArray3<'py, u8>,
    profile: PyReadonlyArray1<'py, f32>,
    out: Option<Bound<'py, PyArray2<f32>>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let (images, masks, weights) = (planes(&bands), planes(&valid), profile.as_array().to_vec());
    let out = out_or_new(py, out, (bands.shape()[1], bands.shape()[2]))?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| detection::detection_image(&images, &masks, &weights, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

/// One array a quantity, in the order of the labels; labels without pixels are left out.
#[pyfunction]
#[pyo3(signature = (labels, count, detection, flags, flux, sigma, origin=(0, 0), threads=None))]
#[expect(clippy::too_many_arguments, reason = "the images an object is measured on, by name")]
fn measure<'py>(
    py: Python<'py>,
    labels: PyReadonlyArray2<'py, i32>,
    count: usize,
    detection: PyReadonlyArray2<'py, f32>,
    flags: PyReadonlyArray2<'py, u8>,
    flux: PyReadonlyArray3<'py, f32>,
    sigma: PyReadonlyArray3<'py, f32>,
    origin: (i32, i32),
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let images =
        Planes { detection: view(&detection), flags: view(&flags), flux: planes(&flux), sigma: planes(&sigma) };
    let map: View2<'_, i32> = view(&labels);
    let measured = py.detach(|| core_measure::measure(map, count, &images, origin, threads)).map_err(to_py)?;
    let (numbers, objects): (Vec<i32>, Vec<&Object>) =
        (1..).zip(&measured).filter_map(|(i, o)| o.as_ref().map(|o| (i, o))).unzip();
    let columns = PyDict::new(py);
    columns.set_item("label", PyArray1::from_vec(py, numbers))?;
    let int = |f: &dyn Fn(&Object) -> i32| PyArray1::from_iter(py, objects.iter().map(|o| f(o)));
    columns.set_item("anchor_y", int(&|o| o.anchor.0))?;
    columns.set_item("anchor_x", int(&|o| o.anchor.1))?;
    for (i, name) in ["bbox_y0", "bbox_y1", "bbox_x0", "bbox_x1"].into_iter().enumerate() {
        columns.set_item(name, int(&|o| o.bounds[i]))?;
    }
    columns.set_item("area", PyArray1::from_iter(py, objects.iter().map(|o| o.area as i64)))?;
    columns.set_item("flags", int(&|o| i32::from(o.flags)))?;
    let float = |f: &dyn Fn(&Object) -> f64| PyArray1::from_iter(py, objects.iter().map(|o| f(o)));
    columns.set_item("peak", float(&|o| o.peak))?;
    columns.set_item("weight", float(&|o| o.weight))?;
    for (i, name) in ["weight_x", "weight_y"].into_iter().enumerate() {
        columns.set_item(name, float(&|o| o.first[i]))?;
    }
    for (i, name) in ["weight_xx", "weight_yy", "weight_xy"].into_iter().enumerate() {
        columns.set_item(name, float(&|o| o.second[i]))?;
    }
    for band in 0..flux.shape()[0] {
        columns.set_item(format!("flux_{band}"), float(&|o| o.bands[band].flux))?;
        columns.set_item(format!("variance_{band}"), float(&|o| o.bands[band].variance))?;
        columns.set_item(format!("peak_{band}"), float(&|o| o.bands[band].peak))?;
        let pixels = PyArray1::from_iter(py, objects.iter().map(|o| o.bands[band].pixels as i64));
        columns.set_item(format!("pixels_{band}"), pixels)?;
    }
    Ok(columns)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(label, m)?)?;
    m.add_function(wrap_pyfunction!(touching, m)?)?;
    m.add_function(wrap_pyfunction!(join_tiles, m)?)?;
    m.add_function(wrap_pyfunction!(extents, m)?)?;
    m.add_function(wrap_pyfunction!(paint_runs, m)?)?;
    m.add_function(wrap_pyfunction!(detection_image, m)?)?;
    m.add_function(wrap_pyfunction!(measure, m)?)
}
