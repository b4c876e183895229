//! The detection image: bands combined, matched filter, in noise units.

use rayon::prelude::*;

use crate::{Error, Result, View2, ViewMut2, with_threads};

/// Matched-filtered S/N of `bands`, images in noise units that hold 0 where there is no data.
///
/// With `m` the number of bands that have data at a pixel, the combined image is `c = sum(bands) / sqrt(m)`, of unit noise; the
/// output is `sum(k c) / sqrt(sum(k^2))`, both sums over the pixels of the kernel that have data in any band. That is the
/// matched filter of `sep` (Barbary 2016, JOSS 1, 58) for white noise, with gaps left out instead of counted as sky. Pixels without data
/// get 0. Outside the image there is no data.
///
/// Every pixel is summed in the same order in float32 whatever the window or the threads: a window with a margin of
/// half the kernel gives the very bits of the whole image.
pub fn detection_image(
    bands: &[View2<'_, f32>],
    valid: &[View2<'_, u8>],
    kernel: View2<'_, f32>,
    mut out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = out.shape();
    let (ky, kx) = kernel.shape();
    if ky % 2 == 0 || kx % 2 == 0 {
        return Err(Error::Value(format!("kernel has shape ({ky}, {kx}): both sides must be odd")));
    }
    for (name, shape) in bands.iter().map(|b| ("bands", b.shape())).chain(valid.iter().map(|v| ("valid", v.shape()))) {
        if shape != (ny, nx) {
            return Err(Error::Shape { name, got: vec![shape.0, shape.1], expected: vec![ny, nx] });
        }
    }
    if bands.len() != valid.len() {
        return Err(Error::Shape { name: "valid", got: vec![valid.len()], expected: vec![bands.len()] });
    }
    let (hy, hx) = (ky / 2, kx / 2);
    let width = nx + 2 * hx;
    // A frame of no data around the image spares the inner loops every border test.
    let mut combined = vec![0.0f32; width * (ny + 2 * hy)];
    let mut present = vec![0.0f32; combined.len()];
    let weights: Vec<f32> = (0..ky).flat_map(|y| (0..kx).map(move |x| (y, x))).map(|(y, x)| kernel.get(y, x)).collect();

    with_threads(threads, || {
        let rows = combined.par_chunks_mut(width).zip(present.par_chunks_mut(width)).skip(hy).take(ny);
        rows.enumerate().for_each(|(y, (sum, count))| {
            let (sum, count) = (&mut sum[hx..hx + nx], &mut count[hx..hx + nx]);
            let (mut band, mut good) = (vec![0.0; nx], vec![0; nx]);
            for (b, v) in bands.iter().zip(valid) {
                b.copy_row(y, &mut band);
                v.copy_row(y, &mut good);
                for x in 0..nx {
                    let has_data = f32::from(u8::from(good[x] != 0));
                    sum[x] += if good[x] != 0 { band[x] } else { 0.0 };
                    count[x] += has_data;
                }
            }
            for x in 0..nx {
                if count[x] > 0.0 {
                    sum[x] /= count[x].sqrt();
                    count[x] = 1.0;
                }
            }
        });
        out.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            let mut norm = vec![0.0f32; nx];
            row.fill(0.0);
            for (i, &k) in weights.iter().enumerate() {
                let start = (y + i / kx) * width + i % kx;
                let k2 = k * k;
                let pixels = combined[start..start + nx].iter().zip(&present[start..start + nx]);
                for ((r, n), (c, p)) in row.iter_mut().zip(&mut norm).zip(pixels) {
                    *r += k * c;
                    *n += k2 * p;
                }
            }
            let centre = &present[(y + hy) * width + hx..][..nx];
            for ((r, n), p) in row.iter_mut().zip(&norm).zip(centre) {
                *r = if *p > 0.0 && *n > 0.0 { *r / n.sqrt() } else { 0.0 };
            }
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_noise_stays_unit_noise_and_gaps_stay_empty() {
        let kernel = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0];
        let band = [1.0f32; 25];
        let mut valid = [1u8; 25];
        valid[12] = 0;
        let mut out = [9.0; 25];
        let run = |valid: &[u8], out: &mut [f32]| {
            let views = [View2::from_slice(&band, (5, 5)), View2::from_slice(&band, (5, 5))];
            let masks = [View2::from_slice(valid, (5, 5)), View2::from_slice(valid, (5, 5))];
            let kernel = View2::from_slice(&kernel, (3, 3));
            detection_image(&views, &masks, kernel, ViewMut2::from_slice(out, (5, 5)), Some(2)).unwrap();
        };
        run(&valid, &mut out);
        assert_eq!(out[12], 0.0);
        // A pixel beside the gap: the sums run over the other eight weights. Two bands of 1 combine to sqrt(2).
        let expected = 2f32.sqrt() * (16.0 - 2.0) / (36.0f32 - 4.0).sqrt();
        assert!((out[7] - expected).abs() < 1e-6, "{} {expected}", out[7]);
        run(&[1; 25], &mut out);
        assert!((out[12] - 2f32.sqrt() * 16.0 / 6.0).abs() < 1e-6);
    }
}
