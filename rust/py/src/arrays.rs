//! From NumPy arrays to the core's views, and from its errors to Python's.

use numpy::{
    Element, PyArray2, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use starnet_core::{BigEndian, Error, View2, ViewMut2};

/// Kernel errors are all about arguments: `ValueError`.
pub fn to_py(e: Error) -> PyErr {
    PyValueError::new_err(e.to_string())
}

/// Borrows an array as a view, whatever its strides.
pub fn view<'a, T: Element>(a: &'a PyReadonlyArray2<'_, T>) -> View2<'a, T> {
    let v = a.as_array();
    let (shape, strides) = (v.dim(), v.strides());
    // SAFETY: pointer, shape and strides are those of a live NumPy array that `a` keeps borrowed for reading.
    unsafe { View2::from_raw(v.as_ptr(), shape, (strides[0], strides[1])) }
}

/// Borrows the bits of big-endian float32 pixels, which NumPy shows as uint32, as a view.
pub fn big_endian<'a>(a: &'a PyReadonlyArray2<'_, u32>) -> View2<'a, BigEndian> {
    let v = a.as_array();
    let (shape, strides) = (v.dim(), v.strides());
    // SAFETY: as for `view`; `BigEndian` is a transparent wrapper of u32.
    unsafe { View2::from_raw(v.as_ptr().cast(), shape, (strides[0], strides[1])) }
}

/// Float32 pixels: native, or big-endian, which NumPy shows as uint32.
#[derive(FromPyObject)]
pub enum FloatPixels<'py> {
    Native(PyReadonlyArray2<'py, f32>),
    BigEndian(PyReadonlyArray2<'py, u32>),
}

/// Runs `$body` with `$view` as the view of float32 pixels in whichever byte order.
macro_rules! with_floats {
    ($pixels:expr, $view:ident => $body:expr) => {
        match &$pixels {
            $crate::arrays::FloatPixels::Native(a) => {
                let $view = $crate::arrays::view(a);
                $body
            }
            $crate::arrays::FloatPixels::BigEndian(a) => {
                let $view = $crate::arrays::big_endian(a);
                $body
            }
        }
    };
}
pub(crate) use with_floats;

/// Borrows the planes of a `(n, ny, nx)` array as views, whatever its strides.
pub fn planes<'a, T: Element>(a: &'a PyReadonlyArray3<'_, T>) -> Vec<View2<'a, T>> {
    let v = a.as_array();
    let (n, ny, nx) = v.dim();
    let strides = v.strides();
    (0..n)
        .map(|i| {
            // SAFETY: plane `i` lies inside a live NumPy array of this shape and strides that `a` keeps borrowed for reading;
            // the offset of an empty plane is not dereferenced.
            unsafe {
                View2::from_raw(v.as_ptr().wrapping_offset(i as isize * strides[0]), (ny, nx), (strides[1], strides[2]))
            }
        })
        .collect()
}

/// Borrows `out` for writing; its rows must be contiguous.
pub fn view_mut<'a, T: Element>(a: &'a mut PyReadwriteArray2<'_, T>) -> PyResult<ViewMut2<'a, T>> {
    let mut v = a.as_array_mut();
    let (shape, strides) = (v.dim(), [v.strides()[0], v.strides()[1]]);
    let rows_apart = strides[0] >= shape.1 as isize || shape.0 <= 1;
    let empty = shape.0 == 0 || shape.1 == 0;
    if !(empty || rows_apart && (strides[1] == 1 || shape.1 <= 1)) {
        return Err(PyValueError::new_err("out: the pixels of a row must be contiguous (C order)"));
    }
    // SAFETY: `a` is the only borrow of a live, writable array; unit stride inside a row and rows that do not overlap
    // were just checked, unless there are no pixels at all.
    Ok(unsafe { ViewMut2::from_raw(v.as_mut_ptr(), shape, strides[0].unsigned_abs()) })
}

/// `out`, or a fresh array of this shape where the caller gave none.
pub fn out_or_new<'py, T: Element>(
    py: Python<'py>,
    out: Option<Bound<'py, PyArray2<T>>>,
    shape: (usize, usize),
) -> PyResult<Bound<'py, PyArray2<T>>> {
    match out {
        Some(o) if o.dims()[0] == shape.0 && o.dims()[1] == shape.1 => Ok(o),
        Some(o) => Err(PyValueError::new_err(format!("out has shape {:?}, expected {shape:?}", o.shape()))),
        None => Ok(PyArray2::zeros(py, [shape.0, shape.1], false)),
    }
}

/// Borrows `out` for writing, or says that it overlaps an input.
pub fn writable<'py, T: Element>(out: &Bound<'py, PyArray2<T>>) -> PyResult<PyReadwriteArray2<'py, T>> {
    out.try_readwrite().map_err(|_| PyValueError::new_err("out must be writable and must not overlap an input array"))
}

/// Sets the number of threads of all kernels that are not told otherwise (0: all cores).
#[pyfunction]
pub fn set_threads(n: usize) {
    starnet_core::set_threads(n);
}
