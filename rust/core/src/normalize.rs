//! Clip and scale to [0, 1].

use rayon::prelude::*;

use crate::{Error, Result, View2, ViewMut2, with_threads};

/// `(clip(a, lo, hi) - lo) / (hi - lo)` in float32; NaN stays NaN.
///
/// Parity: `numpy.clip` and the same float32 arithmetic, bit for bit. `lo == hi` maps everything finite to 0.
pub fn normalize(
    a: View2<'_, f32>,
    lo: f32,
    hi: f32,
    mut out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    if !(lo.is_finite() && hi.is_finite() && lo <= hi) {
        return Err(Error::Value(format!("normalize: lo={lo}, hi={hi}: both must be finite and lo <= hi")));
    }
    if a.shape() != out.shape() {
        let (got, expected) = (out.shape(), a.shape());
        return Err(Error::Shape { name: "out", got: vec![got.0, got.1], expected: vec![expected.0, expected.1] });
    }
    let range = hi - lo;
    let scale = |v: f32| if range == 0.0 { (v - v).abs() } else { (v.clamp(lo, hi) - lo) / range };
    with_threads(threads, || {
        out.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            a.copy_row(y, row);
            row.iter_mut().for_each(|v| *v = scale(*v));
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
}
