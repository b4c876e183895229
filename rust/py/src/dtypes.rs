//! From NumPy's dtypes to the kernels' pixel types.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use starnet_core::Border;
use starnet_core::median::Nan;

/// Runs `$body` with `$t` as the pixel type of a NumPy array.
macro_rules! with_pixel {
    ($array:expr, $t:ident => $body:expr) => {
        with_pixel!($array, $t => $body; (b'f', 4) f32, (b'f', 8) f64, (b'u', 1) u8, (b'u', 2) u16, (b'u', 4) u32,
            (b'u', 8) u64, (b'i', 1) i8, (b'i', 2) i16, (b'i', 4) i32, (b'i', 8) i64)
    };
    ($array:expr, $t:ident => $body:expr; $($kind:tt $type:ty),*) => {
        match $crate::dtypes::kind($array) {
            $($kind => {
                type $t = $type;
                $body
            })*
            _ => Err($crate::dtypes::unsupported($array)),
        }
    };
}
pub(crate) use with_pixel;

/// Kind and size of a dtype.
pub fn kind(array: &Bound<'_, PyUntypedArray>) -> (u8, usize) {
    (array.dtype().kind(), array.dtype().itemsize())
}

/// No kernel for this dtype.
pub fn unsupported(array: &Bound<'_, PyUntypedArray>) -> PyErr {
    PyTypeError::new_err(format!("dtype {} is not supported: use float32, float64 or an integer type", array.dtype()))
}

/// A border by scipy.ndimage's name.
pub fn border(mode: &str) -> PyResult<Border> {
    match mode {
        "reflect" => Ok(Border::Reflect),
        "mirror" => Ok(Border::Mirror),
        "nearest" => Ok(Border::Nearest),
        "wrap" => Ok(Border::Wrap),
        "constant" => Ok(Border::Constant),
        _ => Err(PyValueError::new_err(format!(
            "mode={mode:?}: must be one of 'reflect', 'mirror', 'nearest', 'constant', 'wrap'"
        ))),
    }
}

/// A NaN policy by name.
pub fn nan_policy(nan: &str) -> PyResult<Nan> {
    match nan {
        "ignore" => Ok(Nan::Ignore),
        "propagate" => Ok(Nan::Propagate),
        _ => Err(PyValueError::new_err(format!("nan={nan:?}: must be 'ignore' or 'propagate'"))),
    }
}
