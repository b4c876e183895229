//! Pixels as they lie in memory: native, or in the byte order of FITS, changed on the way into the registers.

use crate::View2;
use crate::leveled::leveled;
use crate::simd::level;

/// What a pixel of type `T` may be stored as.
pub trait Stored<T>: Copy + Send + Sync {
    /// Whether the bytes are in the other order than those of `T`.
    const SWAPPED: bool;

    /// The pixel.
    fn load(self) -> T;

    /// A run of pixels: itself where it is native, else converted into `scratch`.
    fn run<'a>(run: &'a [Self], scratch: &'a mut Vec<T>) -> &'a [T];
}

impl<T: Copy + Send + Sync> Stored<T> for T {
    const SWAPPED: bool = false;

    #[inline(always)]
    fn load(self) -> T {
        self
    }

    fn run<'a>(run: &'a [T], _: &'a mut Vec<T>) -> &'a [T] {
        run
    }
}

/// The bits of a big-endian float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct BigEndian(pub u32);

impl Stored<f32> for BigEndian {
    const SWAPPED: bool = cfg!(target_endian = "little");

    #[inline(always)]
    fn load(self) -> f32 {
        f32::from_bits(u32::from_be(self.0))
    }

    fn run<'a>(run: &'a [Self], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        swap(level(), run, scratch);
        scratch
    }
}

leveled! {
    fn swap(run: &[BigEndian], out: &mut Vec<f32>) {
        out.clear();
        out.extend(run.iter().map(|&v| -> f32 { v.load() }));
    }
}

/// Columns `cols` of row `y`, whatever the strides and the byte order.
pub(crate) fn row_of<'a, T: Copy, S: Stored<T>>(
    view: View2<'a, S>,
    y: usize,
    cols: std::ops::Range<usize>,
    scratch: &'a mut Vec<T>,
) -> &'a [T] {
    match view.row(y) {
        Some(row) => S::run(&row[cols], scratch),
        None => {
            scratch.clear();
            scratch.extend(cols.map(|x| view.get(y, x).load()));
            scratch
        }
    }
}

/// Asks for pixels that will be wanted soon.
#[inline(always)]
pub(crate) fn prefetch<T>(pixels: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in pixels.chunks((64 / size_of::<T>()).max(1)) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pixels;
}
