//! Bindings of `starnet_core::{watershed, seeds}`.

use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use starnet_core::seeds::{Seeding, split_by_seeds as core_split};

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

/// Splits components into objects, in `out`; the number of objects of each.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the images an object is formed from, by name")]
fn split_by_seeds<'py>(
    py: Python<'py>,
    components: PyReadonlyArray2<'py, i32>,
    extents: PyReadonlyArray2<'py, i32>,
    which: PyReadonlyArray1<'py, i64>,
    centre: PyReadonlyArray2<'py, f32>,
    depth: PyReadonlyArray2<'py, f32>,
    threshold: f32,
    distance: usize,
    min_area: usize,
    valley: f32,
    first: i32,
    out: Bound<'py, PyArray2<i32>>,
) -> PyResult<Bound<'py, PyArray1<i32>>> {
    if extents.shape()[1] != 5 {
        return Err(PyValueError::new_err(format!("extents has shape {:?}, expected (n, 5)", extents.shape())));
    }
    let rows: Vec<[i32; 5]> = extents.as_array().rows().into_iter().map(|r| [r[0], r[1], r[2], r[3], r[4]]).collect();
    // A negative number is none of the components'.
    let which: Vec<usize> = which.as_array().iter().map(|&number| usize::try_from(number).unwrap_or(0)).collect();
    let (components, centre, depth) = (view(&components), view(&centre), view(&depth));
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    let seeding = Seeding { threshold, distance, min_area, valley };
    let counts =
        py.detach(|| core_split(components, &rows, &which, centre, depth, seeding, first, target)).map_err(to_py)?;
    Ok(PyArray1::from_vec(py, counts))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(split_by_seeds, m)?)?;
    m.add_function(wrap_pyfunction!(watershed, m)?)
}
