//! The detection image: bands combined, matched filter, in noise units.

use rayon::prelude::*;

use crate::leveled::leveled;
use crate::simd::{Level, level};
use crate::{Error, Result, View2, ViewMut2, with_threads};

/// Rows of the output that one task makes; the rows above and below that it needs are filtered along x again.
const ROWS_PER_TASK: usize = 64;

/// Matched-filtered S/N of `bands`, images in noise units, with the separable kernel `profile[i] * profile[j]`.
///
/// With `m` the number of bands that have data at a pixel, the combined image is `c = sum(bands) / sqrt(m)`, of unit
/// noise; the output is `sum(k c) / sqrt(sum(k^2))`, both sums over the pixels under the kernel that have data in any band.
/// That is the matched filter of `sep` (Barbary 2016, JOSS 1, 58) for white noise, with gaps left out instead of counted as
/// sky. Pixels without data get 0. Outside the image there is no data.
///
/// Every pixel is summed in the same order in float32 whatever the window or the threads: a window with a margin of
/// half the kernel gives the very bits of the whole image.
pub fn detection_image(
    bands: &[View2<'_, f32>],
    valid: &[View2<'_, u8>],
    profile: &[f32],
    mut out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = out.shape();
    if profile.len().is_multiple_of(2) {
        return Err(Error::Value(format!("profile has {} values: their number must be odd", profile.len())));
    }
    for (name, shape) in bands.iter().map(|b| ("bands", b.shape())).chain(valid.iter().map(|v| ("valid", v.shape()))) {
        if shape != (ny, nx) {
            return Err(Error::Shape { name, got: vec![shape.0, shape.1], expected: vec![ny, nx] });
        }
    }
    if bands.len() != valid.len() {
        return Err(Error::Shape { name: "valid", got: vec![valid.len()], expected: vec![bands.len()] });
    }
    if nx == 0 {
        return Ok(());
    }
    let squares: Vec<f32> = profile.iter().map(|k| k * k).collect();
    let half = profile.len() / 2;
    let level = level();
    with_threads(threads, || {
        let mut rows = out.rows_mut();
        rows.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, rows)| {
            let first = task * ROWS_PER_TASK;
            let (start, end) = (first.saturating_sub(half), (first + rows.len() + half).min(ny));
            let mut strip = Strip::new(level, bands, valid, start..end, nx);
            strip.filter_rows(level, profile, &squares);
            for (i, row) in rows.iter_mut().enumerate() {
                strip.filter_column(level, first + i - start, profile, &squares, row);
            }
        });
    });
    Ok(())
}

/// Rows of the combined image: the sums along x of data and of coverage, and where there is data.
struct Strip {
    nx: usize,
    sums: Vec<f32>,
    norms: Vec<f32>,
    present: Vec<f32>,
}

impl Strip {
    /// Combines the bands.
    fn new(
        level: Level,
        bands: &[View2<'_, f32>],
        valid: &[View2<'_, u8>],
        rows: std::ops::Range<usize>,
        nx: usize,
    ) -> Self {
        let mut sums = vec![0.0; rows.len() * nx];
        let mut present = vec![0.0; rows.len() * nx];
        let (mut band, mut good) = (vec![0.0; nx], vec![0; nx]);
        for (y, (sum, count)) in rows.zip(sums.chunks_exact_mut(nx).zip(present.chunks_exact_mut(nx))) {
            for (b, v) in bands.iter().zip(valid) {
                b.copy_row(y, &mut band);
                v.copy_row(y, &mut good);
                add_band(level, &band, &good, sum, count);
            }
            unit_noise(level, sum, count);
        }
        Self { nx, sums, norms: present.clone(), present }
    }

    /// Sums along x, of the data with the profile and of the coverage with its squares.
    fn filter_rows(&mut self, level: Level, profile: &[f32], squares: &[f32]) {
        let half = profile.len() / 2;
        // A frame of no data spares the inner loop every border test.
        let mut framed = vec![0.0; self.nx + 2 * half];
        for (weights, image) in [(profile, &mut self.sums), (squares, &mut self.norms)] {
            for row in image.chunks_exact_mut(self.nx) {
                framed[half..half + self.nx].copy_from_slice(row);
                row.fill(0.0);
                for (shift, &k) in weights.iter().enumerate() {
                    add_scaled(level, &framed[shift..], k, row);
                }
            }
        }
    }

    /// The output of row `y` of the strip: sums along y, normalised.
    fn filter_column(&self, level: Level, y: usize, profile: &[f32], squares: &[f32], out: &mut [f32]) {
        let half = profile.len() / 2;
        let mut norm = vec![0.0f32; self.nx];
        out.fill(0.0);
        for (i, (&k, &k2)) in profile.iter().zip(squares).enumerate() {
            let Some(from) = (y + i).checked_sub(half).map(|row| row * self.nx).filter(|&at| at < self.sums.len())
            else {
                continue;
            };
            add_scaled(level, &self.sums[from..], k, out);
            add_scaled(level, &self.norms[from..], k2, &mut norm);
        }
        normalise(level, &norm, &self.present[y * self.nx..], out);
    }
}

leveled! {
    /// What a band adds to the sum of a row and to the number of bands with data.
    fn add_band(band: &[f32], good: &[u8], sum: &mut [f32], count: &mut [f32]) {
        for ((s, c), (&pixel, &flag)) in sum.iter_mut().zip(count).zip(band.iter().zip(good)) {
            *s += if flag != 0 { pixel } else { 0.0 };
            *c += f32::from(u8::from(flag != 0));
        }
    }

    /// Sums of bands to unit noise, and their number to whether there is any.
    fn unit_noise(sum: &mut [f32], count: &mut [f32]) {
        for (s, c) in sum.iter_mut().zip(count) {
            *s /= c.max(1.0).sqrt();
            *c = c.min(1.0);
        }
    }

    fn add_scaled(source: &[f32], factor: f32, target: &mut [f32]) {
        for (t, s) in target.iter_mut().zip(source) {
            *t += factor * s;
        }
    }

    fn normalise(norm: &[f32], present: &[f32], out: &mut [f32]) {
        for ((o, &n), &p) in out.iter_mut().zip(norm).zip(present) {
            *o = if p > 0.0 && n > 0.0 { *o / n.sqrt() } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_noise_stays_unit_noise_and_gaps_stay_empty() {
        let band = [1.0f32; 25];
        let mut valid = [1u8; 25];
        valid[12] = 0;
        let mut out = [9.0; 25];
        let run = |valid: &[u8], out: &mut [f32]| {
            let views = [View2::from_slice(&band, (5, 5)), View2::from_slice(&band, (5, 5))];
            let masks = [View2::from_slice(valid, (5, 5)), View2::from_slice(valid, (5, 5))];
            detection_image(&views, &masks, &[1.0, 2.0, 1.0], ViewMut2::from_slice(out, (5, 5)), Some(2)).unwrap();
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
