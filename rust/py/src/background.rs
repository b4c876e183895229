//! Binding of `starnet_core::background`.

use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use starnet_core::background::{self as core, SigmaClip, Spline};

use crate::arrays::{FloatPixels, out_or_new, to_py, view, view_mut, with_floats, writable};

type Mesh<'py, T> = Bound<'py, PyArray2<T>>;

fn mesh<'py, T: numpy::Element>(py: Python<'py>, values: Vec<T>, shape: (usize, usize)) -> PyResult<Mesh<'py, T>> {
    values.into_pyarray(py).reshape([shape.0, shape.1])
}

/// Level, rms (float64) and number of good pixels (uint32) of the boxes of a float32 image.
#[pyfunction]
#[pyo3(signature = (image, box_shape, mask=None, sigma=3.0, iterations=10, threads=None))]
fn mesh_statistics<'py>(
    py: Python<'py>,
    image: FloatPixels<'py>,
    box_shape: (usize, usize),
    mask: Option<PyReadonlyArray2<'py, bool>>,
    sigma: f64,
    iterations: usize,
    threads: Option<usize>,
) -> PyResult<(Mesh<'py, f64>, Mesh<'py, f64>, Mesh<'py, u32>)> {
    let (mask, clip) = (mask.as_ref().map(view), SigmaClip { sigma, iterations });
    let s = with_floats!(image, image => py.detach(|| core::mesh_statistics(image, mask, box_shape, clip, threads)));
    let s = s.map_err(to_py)?;
    Ok((mesh(py, s.level, s.shape)?, mesh(py, s.rms, s.shape)?, mesh(py, s.ngood, s.shape)?))
}

/// A mesh (float64) without its missing (NaN) boxes, median filtered.
#[pyfunction]
#[pyo3(signature = (mesh, filter_size=3, threads=None))]
fn complete_mesh<'py>(
    py: Python<'py>,
    mesh: PyReadonlyArray2<'py, f64>,
    filter_size: usize,
    threads: Option<usize>,
) -> PyResult<Mesh<'py, f64>> {
    let (values, shape) = (mesh.as_array().iter().copied().collect::<Vec<_>>(), (mesh.dims()[0], mesh.dims()[1]));
    let completed = py.detach(|| core::complete_mesh(&values, shape, filter_size, threads)).map_err(to_py)?;
    self::mesh(py, completed, shape)
}

/// A complete mesh as a bicubic spline over the pixels of its boxes.
#[pyclass(frozen, module = "starnet._core")]
struct MeshSpline(Spline);

#[pymethods]
impl MeshSpline {
    #[new]
    fn new(mesh: PyReadonlyArray2<'_, f64>, box_shape: (usize, usize)) -> PyResult<Self> {
        let values: Vec<_> = mesh.as_array().iter().copied().collect();
        Ok(Self(Spline::new(&values, (mesh.dims()[0], mesh.dims()[1]), box_shape).map_err(to_py)?))
    }

    /// The window of `shape` pixels (float32) that begins at pixel `origin`.
    #[pyo3(signature = (origin, shape, out=None, threads=None))]
    fn expand<'py>(
        &self,
        py: Python<'py>,
        origin: (usize, usize),
        shape: (usize, usize),
        out: Option<Mesh<'py, f32>>,
        threads: Option<usize>,
    ) -> PyResult<Mesh<'py, f32>> {
        let out = out_or_new(py, out, shape)?;
        let mut borrowed = writable(&out)?;
        let target = view_mut(&mut borrowed)?;
        py.detach(|| self.0.expand(origin, target, threads)).map_err(to_py)?;
        drop(borrowed);
        Ok(out)
    }
}

/// Sets `mask` where the 3 x 3 mean of `snr` exceeds `threshold`.
#[pyfunction]
#[pyo3(signature = (snr, threshold, mask, threads=None))]
fn mark_sources(
    py: Python<'_>,
    snr: PyReadonlyArray2<'_, f32>,
    threshold: f32,
    mask: Mesh<'_, bool>,
    threads: Option<usize>,
) -> PyResult<()> {
    let snr = view(&snr);
    let mut borrowed = writable(&mask)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| core::mark_sources(snr, threshold, target, threads)).map_err(to_py)
}

/// A mask, widened by `radius` pixels in every direction.
#[pyfunction]
#[pyo3(signature = (mask, radius, out=None, threads=None))]
fn dilate_square<'py>(
    py: Python<'py>,
    mask: PyReadonlyArray2<'py, bool>,
    radius: usize,
    out: Option<Mesh<'py, bool>>,
    threads: Option<usize>,
) -> PyResult<Mesh<'py, bool>> {
    let input = view(&mask);
    let out = out_or_new(py, out, input.shape())?;
    let mut borrowed = writable(&out)?;
    let target = view_mut(&mut borrowed)?;
    py.detach(|| core::dilate_square(input, radius, target, threads)).map_err(to_py)?;
    drop(borrowed);
    Ok(out)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(mesh_statistics, m)?)?;
    m.add_function(wrap_pyfunction!(complete_mesh, m)?)?;
    m.add_function(wrap_pyfunction!(mark_sources, m)?)?;
    m.add_function(wrap_pyfunction!(dilate_square, m)?)?;
    m.add_class::<MeshSpline>()
}
