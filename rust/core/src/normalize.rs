//! Clip and scale to [0, 1], one band or three into a picture.

use rayon::prelude::*;

use crate::{Error, Result, View2, ViewMut2, with_threads};

/// The limits of one band.
#[derive(Debug, Clone, Copy)]
struct Scale {
    lo: f32,
    hi: f32,
    range: f32,
}

impl Scale {
    fn new(lo: f32, hi: f32) -> Result<Self> {
        if lo.is_finite() && hi.is_finite() && lo <= hi {
            Ok(Self { lo, hi, range: hi - lo })
        } else {
            Err(Error::Value(format!("lo={lo}, hi={hi}: both must be finite and lo <= hi")))
        }
    }

    #[inline]
    fn apply(self, v: f32) -> f32 {
        match self.range {
            0.0 if v.is_nan() => v,
            0.0 => 0.0,
            // `+ 0.0` leaves no negative zero, of which NumPy's clip may or may not keep the sign.
            range => (v.clamp(self.lo, self.hi) - self.lo) / range + 0.0,
        }
    }
}

fn same_shape(name: &'static str, got: (usize, usize), expected: (usize, usize)) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Shape { name, got: vec![got.0, got.1], expected: vec![expected.0, expected.1] })
}

/// `(clip(a, lo, hi) - lo) / (hi - lo)` in float32; NaN stays NaN.
///
/// Parity: `numpy.clip` and the same float32 arithmetic, bit for bit. `lo == hi` maps everything but NaN to 0.
pub fn normalize(
    a: View2<'_, f32>,
    lo: f32,
    hi: f32,
    mut out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    let scale = Scale::new(lo, hi)?;
    same_shape("out", out.shape(), a.shape())?;
    with_threads(threads, || {
        out.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            a.copy_row(y, row);
            row.iter_mut().for_each(|v| *v = scale.apply(*v));
        });
    });
    Ok(())
}

/// What a channel of a picture may be made of.
pub trait Channel: Copy + Send + Sync {
    /// From [0, 1] or NaN.
    fn from_unit(v: f32) -> Self;
}

impl Channel for f32 {
    #[inline]
    fn from_unit(v: f32) -> Self {
        v
    }
}

impl Channel for u8 {
    /// Nearest of 0..=255, halves up; NaN is 0.
    #[inline]
    fn from_unit(v: f32) -> Self {
        (v * 255.0 + 0.5) as u8
    }
}

/// Normalises three bands and interleaves them into `out`, `(ny, 3 * nx)`, in one pass.
///
/// Parity: [`normalize`] of each band, stacked along the last axis.
pub fn stack_rgb<T: Channel>(
    bands: [View2<'_, f32>; 3],
    lo: [f32; 3],
    hi: [f32; 3],
    mut out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    let scales = [Scale::new(lo[0], hi[0])?, Scale::new(lo[1], hi[1])?, Scale::new(lo[2], hi[2])?];
    let (ny, nx) = bands[0].shape();
    same_shape("the second band", bands[1].shape(), (ny, nx))?;
    same_shape("the third band", bands[2].shape(), (ny, nx))?;
    same_shape("out", out.shape(), (ny, 3 * nx))?;
    let channel = |c: usize, v: f32| T::from_unit(scales[c].apply(v));
    with_threads(threads, || {
        out.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            let pixels = row.chunks_exact_mut(3);
            if let [Some(r), Some(g), Some(b)] = bands.map(|band| band.row(y)) {
                for (((out, &r), &g), &b) in pixels.zip(r).zip(g).zip(b) {
                    out.copy_from_slice(&[channel(0, r), channel(1, g), channel(2, b)]);
                }
            } else {
                for (x, out) in pixels.enumerate() {
                    out.iter_mut().enumerate().for_each(|(c, v)| *v = channel(c, bands[c].get(y, x)));
                }
            }
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_scales_and_keeps_nan() {
        let a = [-1.0, 0.0, 1.0, 2.0, 5.0, f32::NAN];
        let mut out = [9.0; 6];
        normalize(View2::from_slice(&a, (2, 3)), 0.0, 2.0, ViewMut2::from_slice(&mut out, (2, 3)), Some(1)).unwrap();
        assert_eq!(&out[..5], &[0.0, 0.0, 0.5, 1.0, 1.0]);
        assert!(out[5].is_nan());
    }

    #[test]
    fn equal_limits_give_zero() {
        let a = [f32::NEG_INFINITY, 1.0, f32::NAN];
        let mut out = [9.0; 3];
        normalize(View2::from_slice(&a, (1, 3)), 1.0, 1.0, ViewMut2::from_slice(&mut out, (1, 3)), Some(1)).unwrap();
        assert_eq!(out[..2], [0.0, 0.0]);
        assert!(out[2].is_nan());
    }

    #[test]
    fn interleaves_three_bands() {
        let (r, g, b) = ([0.0, 1.0], [f32::NAN, 3.0], [0.5, -9.0]);
        let bands = [&r, &g, &b].map(|band| View2::from_slice(band, (1, 2)));
        let mut out = [7u8; 6];
        let target = ViewMut2::from_slice(&mut out, (1, 6));
        stack_rgb(bands, [0.0; 3], [1.0, 4.0, 1.0], target, Some(1)).unwrap();
        assert_eq!(out, [0, 0, 128, 255, 191, 0]);
    }
}
