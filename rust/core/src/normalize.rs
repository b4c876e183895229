//! Clip and scale to [0, 1], one band or three into a picture.

use crate::leveled::leveled;
use crate::rows::fill_rows;
use crate::simd::level;
use crate::{Error, Result, Stored, View2, ViewMut2};

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
            // Where the limits are equal, 0 / 1; where they are farther apart than float32 reaches, what NumPy gives.
            Ok(Self { lo, hi, range: if lo == hi { 1.0 } else { hi - lo } })
        } else {
            Err(Error::Value(format!("lo={lo}, hi={hi}: both must be finite and lo <= hi")))
        }
    }

    #[inline(always)]
    fn apply(self, v: f32) -> f32 {
        // Comparisons that keep NaN. `+ 0.0` leaves no negative zero, of which NumPy's clip may or may not keep the sign.
        let v = if v < self.lo { self.lo } else { v };
        let v = if v > self.hi { self.hi } else { v };
        (v - self.lo) / self.range + 0.0
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
pub fn normalize<S: Stored<f32>>(
    a: View2<'_, S>,
    lo: f32,
    hi: f32,
    out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    let scale = Scale::new(lo, hi)?;
    same_shape("out", out.shape(), a.shape())?;
    let level = level();
    fill_rows(
        out,
        threads,
        || (),
        |(), y, row| match a.row(y) {
            Some(pixels) => scale_row(level, pixels, scale, row),
            None => row.iter_mut().enumerate().for_each(|(x, v)| *v = scale.apply(a.get(y, x).load())),
        },
    );
    Ok(())
}

leveled! {
    fn scale_row<S: Stored<f32>>(pixels: &[S], scale: Scale, out: &mut [f32]) {
        out.iter_mut().zip(pixels).for_each(|(v, &p)| *v = scale.apply(p.load()));
    }

    /// Three rows into one.
    fn stack_row<S: Stored<f32>, T: Channel>(rows: [&[S]; 3], scales: [Scale; 3], out: &mut [T]) {
        // Band by band into the first cache, so that the arithmetic runs in whole vectors; then interleaved.
        let mut channels = [[T::from_unit(0.0); RUN]; 3];
        for (start, out) in (0..).step_by(RUN).zip(out.chunks_mut(3 * RUN)) {
            let n = out.len() / 3;
            for ((channel, row), scale) in channels.iter_mut().zip(rows).zip(scales) {
                for (c, &p) in channel[..n].iter_mut().zip(&row[start..start + n]) {
                    *c = T::from_unit(scale.apply(p.load()));
                }
            }
            let [r, g, b] = &channels;
            T::interleave(&r[..n], &g[..n], &b[..n], out);
        }
    }
}

/// Pixels whose channels are computed before they are interleaved.
const RUN: usize = 256;

/// What a channel of a picture may be made of.
pub trait Channel: Copy + Send + Sync {
    /// From [0, 1] or NaN.
    fn from_unit(v: f32) -> Self;

    /// Three channels into pixels.
    #[inline(always)]
    fn interleave(r: &[Self], g: &[Self], b: &[Self], out: &mut [Self]) {
        for (((out, &r), &g), &b) in out.as_chunks_mut::<3>().0.iter_mut().zip(r).zip(g).zip(b) {
            *out = [r, g, b];
        }
    }
}

impl Channel for f32 {
    #[inline(always)]
    fn from_unit(v: f32) -> Self {
        v
    }
}

impl Channel for u8 {
    /// Nearest of 0..=255, halves up; NaN is 0.
    #[inline(always)]
    fn from_unit(v: f32) -> Self {
        let v = v * 255.0 + 0.5;
        // NaN is not above 0.
        let v = if v > 0.0 { v } else { 0.0 };
        let v = if v < 255.0 { v } else { 255.0 };
        // SAFETY: between 0 and 255.
        unsafe { v.to_int_unchecked::<i32>() as u8 }
    }
}

/// Normalises three bands and interleaves them into `out`, `(ny, 3 * nx)`, in one pass.
///
/// Parity: [`normalize`] of each band, stacked along the last axis.
pub fn stack_rgb<S: Stored<f32>, T: Channel>(
    bands: [View2<'_, S>; 3],
    lo: [f32; 3],
    hi: [f32; 3],
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    let scales = [Scale::new(lo[0], hi[0])?, Scale::new(lo[1], hi[1])?, Scale::new(lo[2], hi[2])?];
    let (ny, nx) = bands[0].shape();
    same_shape("the second band", bands[1].shape(), (ny, nx))?;
    same_shape("the third band", bands[2].shape(), (ny, nx))?;
    same_shape("out", out.shape(), (ny, 3 * nx))?;
    let level = level();
    fill_rows(
        out,
        threads,
        || (),
        |(), y, row| {
            if let [Some(r), Some(g), Some(b)] = bands.map(|band| band.row(y)) {
                stack_row(level, [r, g, b], scales, row);
            } else {
                for (x, out) in row.chunks_exact_mut(3).enumerate() {
                    let pixel = |c: usize| scales[c].apply(bands[c].get(y, x).load());
                    out.iter_mut().enumerate().for_each(|(c, v)| *v = T::from_unit(pixel(c)));
                }
            }
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BigEndian;

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

    proptest! {
        #[test]
        fn all_levels_give_the_same_bits(
            pixels in prop::collection::vec(prop_oneof![9 => -9f32..9.0, 1 => any::<f32>()], 1..700),
            lo in -5f32..5.0,
            width in prop_oneof![Just(0f32), 0f32..6.0],
        ) {
            let (n, scale) = (pixels.len(), Scale::new(lo, lo + width).unwrap());
            let foreign: Vec<_> = pixels.iter().map(|v| BigEndian(v.to_bits().to_be())).collect();
            let unit: Vec<f32> = pixels.iter().map(|&v| scale.apply(v)).collect();
            for (&u, &v) in unit.iter().zip(&pixels) {
                let expected = if width == 0.0 { 0.0 } else { (v.clamp(lo, lo + width) - lo) / (lo + width - lo) };
                prop_assert!(u == expected || u.is_nan() && v.is_nan());
            }
            for level in crate::simd::Level::ALL.into_iter().filter(|level| level.available()) {
                let (mut native, mut swapped) = (vec![9f32; n], vec![9f32; n]);
                scale_row(level, &pixels, scale, &mut native);
                scale_row(level, &foreign, scale, &mut swapped);
                let (mut floats, mut bytes) = (vec![9f32; 3 * n], vec![9u8; 3 * n]);
                stack_row(level, [&foreign, &foreign, &foreign], [scale; 3], &mut floats);
                stack_row(level, [&pixels, &pixels, &pixels], [scale; 3], &mut bytes);
                for i in 0..n {
                    for got in [native[i], swapped[i], floats[3 * i], floats[3 * i + 2]] {
                        prop_assert!(got == unit[i] || got.is_nan() && unit[i].is_nan());
                    }
                    prop_assert_eq!(bytes[3 * i + 1], (unit[i] * 255.0 + 0.5) as u8);
                }
            }
        }
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
