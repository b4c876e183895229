//! Which pixels belong to sources, so that the sky can be measured without them.

use rayon::prelude::*;

use crate::leveled::leveled;
use crate::simd::level;
use crate::stored::row_of;
use crate::{Error, Result, View2, ViewMut2, with_threads};

/// Sets `mask` where the mean signal-to-noise ratio of the 3 x 3 pixels around a pixel exceeds `threshold`; leaves it elsewhere.
///
/// `snr` is in noise units of a pixel, NaN where there is no pixel. With fewer than nine pixels the mean is scaled by
/// `sqrt(n) / 3`, so that noise passes the threshold no more often beside a hole.
pub fn mark_sources(
    snr: View2<'_, f32>,
    threshold: f32,
    mut mask: ViewMut2<'_, bool>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = snr.shape();
    same_shape((ny, nx), mask.shape())?;
    // By number of pixels: what their sum has to exceed.
    let limit: [f32; 10] =
        std::array::from_fn(|n| if n == 0 { f32::INFINITY } else { 3.0 * threshold * (n as f32).sqrt() });
    let level = level();
    with_threads(threads, || {
        mask.rows_mut().into_par_iter().enumerate().for_each_init(
            || (vec![], vec![0f32; nx + 2], vec![0u8; nx + 2]),
            |(line, sum, count), (y, row)| {
                sum.fill(0.0);
                count.fill(0);
                for yy in y.saturating_sub(1)..ny.min(y + 2) {
                    add_row(level, row_of(snr, yy, 0..nx, line), &mut sum[1..], &mut count[1..]);
                }
                mark_row(level, sum, count, &limit, row);
            },
        );
    });
    Ok(())
}

leveled! {
    /// What a row adds to the sums and the numbers of a column's pixels.
    fn add_row(row: &[f32], sum: &mut [f32], count: &mut [u8]) {
        for ((s, c), v) in sum.iter_mut().zip(count).zip(row) {
            let there = v.is_finite();
            *s += if there { *v } else { 0.0 };
            *c += u8::from(there);
        }
    }

    /// Columns, of which there is one more at either end, three by three.
    fn mark_row(sum: &[f32], count: &[u8], limit: &[f32; 10], row: &mut [bool]) {
        let n = row.len();
        let (sums, counts) = ([0, 1, 2].map(|k| &sum[k..][..n]), [0, 1, 2].map(|k| &count[k..][..n]));
        for x in 0..n {
            let there = counts[0][x] + counts[1][x] + counts[2][x];
            row[x] |= sums[0][x] + sums[1][x] + sums[2][x] > limit[usize::from(there)];
        }
    }
}

/// Widens a mask by `radius` pixels in every direction, diagonals included.
///
/// Parity: `scipy.ndimage.binary_dilation(mask, np.ones((2 * radius + 1,) * 2))`.
pub fn dilate_square(
    mask: View2<'_, bool>,
    radius: usize,
    mut out: ViewMut2<'_, bool>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = mask.shape();
    same_shape((ny, nx), out.shape())?;
    if nx == 0 {
        return Ok(());
    }
    with_threads(threads, || {
        let mut wide = vec![false; ny * nx];
        wide.par_chunks_exact_mut(nx).enumerate().for_each_init(
            || vec![false; nx],
            |line, (y, row)| {
                mask.copy_row(y, line);
                // Pixels still to be set, forwards; then the same backwards.
                let mut run = 0;
                for (w, &m) in row.iter_mut().zip(&*line) {
                    run = if m { radius + 1 } else { run };
                    *w = run > 0;
                    run = run.saturating_sub(1);
                }
                run = 0;
                for (w, &m) in row.iter_mut().zip(&*line).rev() {
                    run = if m { radius + 1 } else { run };
                    *w |= run > 0;
                    run = run.saturating_sub(1);
                }
            },
        );
        out.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            row.fill(false);
            for above in wide[y.saturating_sub(radius) * nx..ny.min(y + radius + 1) * nx].chunks_exact(nx) {
                row.iter_mut().zip(above).for_each(|(o, &w)| *o |= w);
            }
        });
    });
    Ok(())
}

fn same_shape(expected: (usize, usize), got: (usize, usize)) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Shape { name: "mask", got: vec![got.0, got.1], expected: vec![expected.0, expected.1] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn neighbours(i: usize, (ny, nx): (usize, usize), r: usize) -> impl Iterator<Item = usize> {
        let (y, x) = (i / nx, i % nx);
        let columns = x.saturating_sub(r)..nx.min(x + r + 1);
        (y.saturating_sub(r)..ny.min(y + r + 1)).flat_map(move |y| columns.clone().map(move |x| y * nx + x))
    }

    proptest! {
        #[test]
        fn dilation_is_any_neighbour(mask in proptest::collection::vec(proptest::bool::weighted(0.1), 9 * 11), r in 0usize..12) {
            let mut out = vec![true; 99];
            dilate_square(View2::from_slice(&mask, (9, 11)), r, ViewMut2::from_slice(&mut out, (9, 11)), Some(2)).unwrap();
            for (i, &o) in out.iter().enumerate() {
                prop_assert_eq!(o, neighbours(i, (9, 11), r).any(|j| mask[j]));
            }
        }

        #[test]
        fn marks_where_the_scaled_mean_exceeds(
            // Multiples of 1/8, so that sums are exact.
            snr in proptest::collection::vec(prop_oneof![1 => Just(f32::NAN), 4 => (-16i8..16).prop_map(|v| f32::from(v) / 8.0)], 6 * 7),
        ) {
            let mut mask = vec![false; 42];
            mask[5] = true;
            mark_sources(View2::from_slice(&snr, (6, 7)), 0.5, ViewMut2::from_slice(&mut mask, (6, 7)), Some(2)).unwrap();
            for (i, &m) in mask.iter().enumerate() {
                let there: Vec<f32> = neighbours(i, (6, 7), 1).map(|j| snr[j]).filter(|v| v.is_finite()).collect();
                let marked = !there.is_empty() && there.iter().sum::<f32>() > 3.0 * 0.5 * (there.len() as f32).sqrt();
                prop_assert_eq!(m, marked || i == 5);
            }
        }
    }

    #[test]
    fn shapes_must_agree() {
        let (snr, mask, mut out) = ([0.0; 6], [false; 6], [false; 6]);
        assert!(
            mark_sources(View2::from_slice(&snr, (2, 3)), 1.0, ViewMut2::from_slice(&mut out, (3, 2)), None).is_err()
        );
        assert!(
            dilate_square(View2::from_slice(&mask, (2, 3)), 1, ViewMut2::from_slice(&mut out, (3, 2)), None).is_err()
        );
    }
}
