//! `starnet._core`: shape checks, views, release of the GIL, errors. No algorithm lives here.

mod arrays;
mod background;
mod dtypes;
mod files;
mod median;
mod noise;
mod normalize;
mod objects;
mod order;
mod tiling;
mod watershed;

use pyo3::prelude::*;

/// The Rust kernels of StarNet; use them through `starnet.filters` and its siblings.
#[pymodule(gil_used = false)]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("__simd__", starnet_core::simd::check().map_err(arrays::to_py)?.name())?;
    m.add_function(wrap_pyfunction!(arrays::set_threads, m)?)?;
    background::register(m)?;
    files::register(m)?;
    median::register(m)?;
    noise::register(m)?;
    normalize::register(m)?;
    objects::register(m)?;
    order::register(m)?;
    tiling::register(m)?;
    watershed::register(m)?;
    Ok(())
}
