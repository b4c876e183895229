//! Binding of `starnet_core::order`.

use std::sync::{Mutex, MutexGuard};

use numpy::{Element, IntoPyArray, PyArrayDescr, PyArrayDescrMethods, PyReadonlyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use starnet_core::order;

use crate::arrays::{big_endian, to_py, view};

/// Runs `$body` with `$order` as the statistics of whatever pixel type.
macro_rules! each {
    ($self:expr, $order:ident => $body:expr) => {
        match &$self.0 {
            Typed::F32($order) => $body,
            Typed::F64($order) => $body,
            Typed::U8($order) => $body,
            Typed::U16($order) => $body,
            Typed::U32($order) => $body,
            Typed::U64($order) => $body,
            Typed::I8($order) => $body,
            Typed::I16($order) => $body,
            Typed::I32($order) => $body,
            Typed::I64($order) => $body,
        }
    };
}

type Locked<T> = Mutex<order::OrderStatistics<T>>;

enum Typed {
    F32(Locked<f32>),
    F64(Locked<f64>),
    U8(Locked<u8>),
    U16(Locked<u16>),
    U32(Locked<u32>),
    U64(Locked<u64>),
    I8(Locked<i8>),
    I16(Locked<i16>),
    I32(Locked<i32>),
    I64(Locked<i64>),
}

/// Exact order statistics of chunks of pixels, in several passes; chunks may be added by several threads at once.
#[pyclass(frozen, module = "starnet._core")]
struct OrderStatistics(Typed);

/// A panic inside the lock can leave no half-counted chunk: counts are merged at the end.
fn lock<T>(order: &Locked<T>) -> MutexGuard<'_, order::OrderStatistics<T>> {
    order.lock().unwrap_or_else(|e| e.into_inner())
}

#[pymethods]
impl OrderStatistics {
    /// How many ranks can be sought at once.
    #[classattr]
    const MAX_RANKS: usize = order::MAX_RANKS;

    #[new]
    #[pyo3(signature = (dtype, skip_infinite=false))]
    fn new(dtype: &Bound<'_, PyArrayDescr>, skip_infinite: bool) -> PyResult<Self> {
        macro_rules! typed {
            ($variant:ident) => {
                Typed::$variant(Mutex::new(order::OrderStatistics::new(skip_infinite)))
            };
        }
        Ok(Self(match (dtype.kind(), dtype.itemsize()) {
            (b'f', 4) => typed!(F32),
            (b'f', 8) => typed!(F64),
            (b'u', 1) => typed!(U8),
            (b'u', 2) => typed!(U16),
            (b'u', 4) => typed!(U32),
            (b'u', 8) => typed!(U64),
            (b'i', 1) => typed!(I8),
            (b'i', 2) => typed!(I16),
            (b'i', 4) => typed!(I32),
            (b'i', 8) => typed!(I64),
            _ => {
                let message = format!("dtype {dtype} is not supported: use float32, float64 or an integer type");
                return Err(PyTypeError::new_err(message));
            }
        }))
    }

    /// Says before the first pass which fractions of all pixels of these 2-D arrays will be wanted: one pass is then enough.
    fn aim(&self, py: Python<'_>, planes: Vec<Bound<'_, PyAny>>, fractions: Vec<f64>) -> PyResult<()> {
        fn run<T: starnet_core::Pixel + Element>(
            py: Python<'_>,
            order: &Locked<T>,
            planes: &[Bound<'_, PyAny>],
            fractions: &[f64],
        ) -> PyResult<()> {
            let planes: Vec<PyReadonlyArray2<'_, T>> = planes.iter().map(|p| p.extract()).collect::<PyResult<_>>()?;
            let views: Vec<_> = planes.iter().map(view).collect();
            py.detach(|| lock(order).aim(&views, fractions)).map_err(to_py)
        }
        if let Typed::F32(order) = &self.0
            && let Ok(planes) =
                planes.iter().map(|p| p.extract()).collect::<Result<Vec<PyReadonlyArray2<'_, u32>>, _>>()
        {
            let views: Vec<_> = planes.iter().map(big_endian).collect();
            return py.detach(|| lock(order).aim(&views, &fractions)).map_err(to_py);
        }
        each!(self, order => run(py, order, &planes, &fractions))
    }

    /// Takes a 2-D chunk into account.
    #[pyo3(signature = (chunk, threads=None))]
    fn add(&self, py: Python<'_>, chunk: &Bound<'_, PyAny>, threads: Option<usize>) -> PyResult<()> {
        fn run<T: starnet_core::Pixel + Element>(
            py: Python<'_>,
            order: &Locked<T>,
            chunk: &Bound<'_, PyAny>,
            threads: Option<usize>,
        ) -> PyResult<()> {
            let chunk: PyReadonlyArray2<'_, T> = chunk.extract()?;
            let input = view(&chunk);
            py.detach(|| lock(order).add(input, threads)).map_err(to_py)
        }
        if let (Typed::F32(order), Ok(chunk)) = (&self.0, chunk.extract::<PyReadonlyArray2<'_, u32>>()) {
            let input = big_endian(&chunk);
            return py.detach(|| lock(order).add(input, threads)).map_err(to_py);
        }
        each!(self, order => run(py, order, chunk, threads))
    }

    /// Pixels that count, in the first pass.
    #[getter]
    fn count(&self) -> u64 {
        each!(self, order => lock(order).count())
    }

    /// Says which ranks are wanted, at the end of the first pass.
    fn choose(&self, ranks: Vec<u64>) -> PyResult<()> {
        each!(self, order => lock(order).choose(&ranks)).map_err(to_py)
    }

    /// Closes a pass; true when the values are found.
    fn end_pass(&self) -> PyResult<bool> {
        each!(self, order => lock(order).end_pass()).map_err(to_py)
    }

    /// Whether the values are found.
    #[getter]
    fn done(&self) -> bool {
        each!(self, order => lock(order).values().is_some())
    }

    /// The values, in the order of the ranks.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        each!(self, order => lock(order).values().map(|v| v.to_vec().into_pyarray(py).into_any()))
            .ok_or_else(|| PyValueError::new_err("the values are not found yet: passes are missing"))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<OrderStatistics>()
}
