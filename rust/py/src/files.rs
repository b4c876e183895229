//! Binding of `starnet_core::files`.

use std::fs::File;
use std::io::ErrorKind;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};

use numpy::{PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use starnet_core::files as core;

use crate::arrays::writable;

/// Fills the rows of `out` with bytes of an open file: the first from `offset`, each `step` bytes after the other.
#[pyfunction]
fn read_rows(py: Python<'_>, descriptor: RawFd, offset: u64, step: u64, out: Bound<'_, PyArray2<u8>>) -> PyResult<()> {
    let length = out.dims()[1];
    let mut borrowed = writable(&out)?;
    let bytes = borrowed.as_slice_mut().map_err(|_| PyValueError::new_err("out must be contiguous"))?;
    // SAFETY: the caller keeps the file open during the call; it is not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    py.detach(|| core::read_rows(&file, offset, step, length, bytes)).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => PyOSError::new_err("it is shorter"),
        _ => error.into(),
    })
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(read_rows, m)?)
}
