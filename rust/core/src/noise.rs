//! Pixels in units of their noise, and their inverse hyperbolic sine.

use rayon::prelude::*;

use crate::leveled::leveled;
use crate::simd::{Level, level};
use crate::stored::row_of;
use crate::{Error, Result, View2, ViewMut2, with_threads};

/// Where the noise of a pixel comes from.
#[derive(Debug, Clone, Copy)]
pub enum Noise<'a> {
    /// It lies in `sigma` already; infinite where it is not known.
    Known,
    /// `factor / sqrt(ivar)`; infinite where that is not a positive number.
    Weight {
        /// Inverse variance.
        ivar: View2<'a, f32>,
        /// Noise where `ivar` is 1.
        factor: f32,
    },
}

/// The noise of pixels of inverse variance `ivar`: `factor / sqrt(ivar)`; infinite where that is not a positive number.
///
/// Parity: the same arithmetic in float32 in NumPy, bit for bit.
pub fn noise_from_weight(
    ivar: View2<'_, f32>,
    factor: f32,
    mut out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    let shape = ivar.shape();
    if out.shape() != shape {
        return Err(Error::Shape {
            name: "out",
            got: vec![out.shape().0, out.shape().1],
            expected: vec![shape.0, shape.1],
        });
    }
    with_threads(threads, || {
        out.rows_mut().into_par_iter().enumerate().for_each_init(Vec::new, |weights, (y, sigma)| {
            sigma_row(level(), row_of(ivar, y, 0..shape.1, weights), factor, sigma);
        });
    });
    Ok(())
}

/// What is made of the pixels; all of one shape.
#[derive(Debug)]
pub struct NoiseUnits<'a> {
    /// Holds the sky level, and gets the pixels less that; NaN where a pixel is not valid.
    pub flux: ViewMut2<'a, f32>,
    /// Gets the noise, unless it is known; infinite where a pixel is not valid.
    pub sigma: ViewMut2<'a, f32>,
    /// Gets `flux / sigma`; 0 where a pixel is not valid.
    pub snr: ViewMut2<'a, f32>,
    /// Gets `asinh(snr / softening)`; 0 where a pixel is not valid.
    pub image: ViewMut2<'a, f32>,
    /// Says which pixels are valid; those without known noise are no longer.
    pub valid: ViewMut2<'a, bool>,
}

/// Pixels less their sky, in units of their noise, in one pass.
///
/// Parity: the same arithmetic in float32 in NumPy, bit for bit; the inverse hyperbolic sine is rounded from float64, and
/// within one unit of the last place. It depends on the value alone, not on where a pixel lies, nor on the processor.
pub fn noise_units(
    data: View2<'_, f32>,
    noise: Noise<'_>,
    softening: f32,
    out: NoiseUnits<'_>,
    threads: Option<usize>,
) -> Result<()> {
    at_level(level(), data, noise, softening, out, threads)
}

/// The same at a level that is available.
fn at_level(
    level: Level,
    data: View2<'_, f32>,
    noise: Noise<'_>,
    softening: f32,
    mut out: NoiseUnits<'_>,
    threads: Option<usize>,
) -> Result<()> {
    let shape = data.shape();
    let mut shapes = vec![
        ("flux", out.flux.shape()),
        ("sigma", out.sigma.shape()),
        ("snr", out.snr.shape()),
        ("image", out.image.shape()),
        ("valid", out.valid.shape()),
    ];
    if let Noise::Weight { ivar, .. } = noise {
        shapes.push(("ivar", ivar.shape()));
    }
    if let Some(&(name, got)) = shapes.iter().find(|s| s.1 != shape) {
        return Err(Error::Shape { name, got: vec![got.0, got.1], expected: vec![shape.0, shape.1] });
    }
    with_threads(threads, || {
        let outputs = (out.flux.rows_mut(), out.sigma.rows_mut(), out.snr.rows_mut(), out.image.rows_mut());
        let rows = outputs.into_par_iter().zip(out.valid.rows_mut()).enumerate();
        rows.for_each_init(
            || (vec![], vec![]),
            |(line, weights), (y, ((flux, sigma, snr, image), valid))| {
                if let Noise::Weight { ivar, factor } = noise {
                    sigma_row(level, row_of(ivar, y, 0..shape.1, weights), factor, sigma);
                }
                let data = row_of(data, y, 0..shape.1, line);
                units_row(level, data, softening, flux, sigma, snr, image, valid);
                asinh_row(level, image);
            },
        );
    });
    Ok(())
}

leveled! {
    fn sigma_row(ivar: &[f32], factor: f32, sigma: &mut [f32]) {
        for (s, &w) in sigma.iter_mut().zip(ivar) {
            *s = if w > 0.0 { factor / w.sqrt() } else { f32::INFINITY };
        }
    }

    fn units_row(
        data: &[f32],
        softening: f32,
        flux: &mut [f32],
        sigma: &mut [f32],
        snr: &mut [f32],
        image: &mut [f32],
        valid: &mut [bool],
    ) {
        let n = data.len();
        let (flux, sigma, snr, image, valid) =
            (&mut flux[..n], &mut sigma[..n], &mut snr[..n], &mut image[..n], &mut valid[..n]);
        for i in 0..n {
            let good = valid[i] & (sigma[i] < f32::INFINITY);
            let difference = data[i] - flux[i];
            let ratio = difference / sigma[i];
            let scaled = ratio / softening;
            valid[i] = good;
            flux[i] = if good { difference } else { f32::NAN };
            sigma[i] = if good { sigma[i] } else { f32::INFINITY };
            snr[i] = if good { ratio } else { 0.0 };
            image[i] = if good { scaled } else { 0.0 };
        }
    }

    fn asinh_row(values: &mut [f32]) {
        values.iter_mut().for_each(|v| *v = asinh(*v));
    }
}

/// Inverse hyperbolic sine, in float64 without branches, rounded once.
#[inline(always)]
fn asinh(x: f32) -> f32 {
    let t = f64::from(x.abs());
    // The logarithm of u = 2^e m, m in [sqrt(1/2), sqrt(2)], through atanh((m - 1) / (m + 1)).
    let u = t + (t * t + 1.0).sqrt();
    let bits = u.to_bits().wrapping_add(0x3FF0_0000_0000_0000 - SQRT_HALF_BITS);
    let m = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) + SQRT_HALF_BITS);
    // The exponent without a conversion from integers, which AVX2 lacks: as the low bits of 2^52.
    let e = f64::from_bits((bits >> 52) | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    let z = (m - 1.0) / (m + 1.0);
    let zz = z * z;
    let series = 1.0 / 13.0;
    let series = series * zz + 1.0 / 11.0;
    let series = series * zz + 1.0 / 9.0;
    let series = series * zz + 1.0 / 7.0;
    let series = series * zz + 1.0 / 5.0;
    let series = series * zz + 1.0 / 3.0;
    let log = e * std::f64::consts::LN_2 + 2.0 * z * (1.0 + series * zz);
    // Near 0, what was added to 1 has lost its digits.
    let small = t - t * t * t / 6.0;
    let value = if t < 1e-4 { small } else { log };
    (value as f32).copysign(x)
}

const SQRT_HALF_BITS: u64 = 0x3FE6_A09E_667F_3BCD;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In units of the last place of float32.
    fn error(x: f32) -> f64 {
        let exact = f64::from(x).asinh();
        let ulp = f64::from((exact as f32).abs().next_up()) - f64::from((exact as f32).abs());
        (f64::from(asinh(x)) - exact).abs() / ulp.max(1e-45)
    }

    #[test]
    fn asinh_is_right_over_the_whole_range() {
        let worst = (0..=u32::from(u16::MAX)).map(|i| f32::from_bits(i << 15 | 0x1234)).filter(|x| x.is_finite());
        assert!(worst.map(error).fold(0.0, f64::max) < 0.51);
        assert_eq!(asinh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(asinh(0.0).to_bits(), 0);
        assert_eq!(asinh(f32::MIN_POSITIVE), f32::MIN_POSITIVE);
    }

    proptest! {
        #[test]
        fn all_levels_give_the_same_bits(
            pixels in prop::collection::vec((any::<f32>(), -1e3f32..1e3, prop_oneof![Just(0.0f32), 0.0f32..1e9, Just(f32::NAN)], any::<bool>()), 1..150),
            softening in 0.1f32..10.0,
        ) {
            let n = pixels.len();
            let data: Vec<f32> = pixels.iter().map(|p| p.0).collect();
            let ivar: Vec<f32> = pixels.iter().map(|p| p.2).collect();
            let results: Vec<_> = Level::ALL.into_iter().filter(|level| level.available()).map(|level| {
                let mut flux: Vec<f32> = pixels.iter().map(|p| p.1).collect();
                let mut valid: Vec<bool> = pixels.iter().map(|p| p.3).collect();
                let [mut sigma, mut snr, mut image] = [(); 3].map(|()| vec![0f32; n]);
                let out = NoiseUnits {
                    flux: ViewMut2::from_slice(&mut flux, (1, n)),
                    sigma: ViewMut2::from_slice(&mut sigma, (1, n)),
                    snr: ViewMut2::from_slice(&mut snr, (1, n)),
                    image: ViewMut2::from_slice(&mut image, (1, n)),
                    valid: ViewMut2::from_slice(&mut valid, (1, n)),
                };
                let noise = Noise::Weight { ivar: View2::from_slice(&ivar, (1, n)), factor: 0.7 };
                at_level(level, View2::from_slice(&data, (1, n)), noise, softening, out, Some(1)).unwrap();
                // The bits of a NaN are open.
                let bits = |v: Vec<f32>| v.into_iter().map(|v| if v.is_nan() { 0x7FC0_0000 } else { v.to_bits() }).collect::<Vec<_>>();
                (bits(flux), bits(sigma), bits(snr), bits(image), valid)
            }).collect();
            prop_assert!(results.iter().all(|r| *r == results[0]));
            for (i, &(v, sky, w, valid)) in pixels.iter().enumerate() {
                let good = valid && w > 0.0;
                prop_assert_eq!(results[0].4[i], good);
                if good && v.is_finite() {
                    prop_assert_eq!(results[0].2[i], ((v - sky) / (0.7 / w.sqrt())).to_bits());
                }
            }
        }
    }
}
