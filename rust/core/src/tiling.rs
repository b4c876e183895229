//! Windows cut from an image, and windows blended into one.

use rayon::prelude::*;

use crate::leveled::leveled;
use crate::simd::level;
use crate::{Border, Error, Result, View2, ViewMut2, with_threads};

/// Copies the windows that begin at `origins` `(y, x)` into `tiles`; they may stick out of the image, which goes on there
/// as `border` says, or with `fill`.
///
/// Parity: the same windows of `numpy.pad(a, ...)`.
pub fn extract_tiles<T: Copy + Send + Sync>(
    a: View2<'_, T>,
    origins: &[(isize, isize)],
    border: Border,
    fill: T,
    tiles: Vec<ViewMut2<'_, T>>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = a.shape();
    check_origins(tiles.len(), origins)?;
    if (ny == 0 || nx == 0) && border != Border::Constant {
        return Err(Error::Value(format!(
            "an image of shape {:?} has no pixels to go on with at its border",
            a.shape()
        )));
    }
    with_threads(threads, || {
        origins.par_iter().zip(tiles).for_each(|(&(y0, x0), mut tile)| {
            let (_, width) = tile.shape();
            // The columns inside are copied as a piece, those before and after it one by one.
            let start = x0.saturating_neg().clamp(0, width as isize) as usize;
            let stop = (nx as isize).saturating_sub(x0).clamp(start as isize, width as isize) as usize;
            let source = |dx: usize| border.source(x0 + dx as isize, nx);
            let outside: Vec<_> = (0..start).chain(stop..width).map(|dx| (dx, source(dx))).collect();
            for (dy, out) in tile.rows_mut().into_iter().enumerate() {
                let Some(y) = border.source(y0 + dy as isize, ny) else {
                    out.fill(fill);
                    continue;
                };
                let row = a.row(y);
                let pixel = |x: usize| row.map_or_else(|| a.get(y, x), |row| row[x]);
                let inside = |dx: usize| (x0 + dx as isize) as usize;
                match row {
                    Some(row) if stop > start => {
                        out[start..stop].copy_from_slice(&row[inside(start)..][..stop - start])
                    }
                    _ => (start..stop).for_each(|dx| out[dx] = pixel(inside(dx))),
                }
                outside.iter().for_each(|&(dx, x)| out[dx] = x.map_or(fill, pixel));
            }
        });
    });
    Ok(())
}

/// Blends tiles that begin at `origins`, and may stick out, into `out`: `sum(w t) / sum(w)` in float32, summed in the
/// order of the tiles; NaN where the weights add up to 0. `weights` is the same for all tiles; 1 if there is none.
///
/// Parity: the same sums in NumPy, bit for bit.
pub fn stitch(
    tiles: &[View2<'_, f32>],
    origins: &[(isize, isize)],
    weights: Option<View2<'_, f32>>,
    mut out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    check_origins(tiles.len(), origins)?;
    for tile in tiles {
        if let Some(w) = weights.filter(|w| w.shape() != tile.shape()) {
            let (got, expected) = (w.shape(), tile.shape());
            return Err(Error::Shape {
                name: "weights",
                got: vec![got.0, got.1],
                expected: vec![expected.0, expected.1],
            });
        }
    }
    let nx = out.shape().1;
    let level = level();
    let scratch = || (vec![0.0f32; nx], vec![], vec![]);
    with_threads(threads, || {
        out.rows_mut().into_par_iter().enumerate().for_each_init(scratch, |(total, pixels, ones), (y, out)| {
            out.fill(0.0);
            total.fill(0.0);
            for (tile, &(y0, x0)) in tiles.iter().zip(origins) {
                let (height, width) = tile.shape();
                let dy = y as isize - y0;
                let start = x0.clamp(0, nx as isize) as usize;
                let stop = x0.saturating_add(width as isize).clamp(start as isize, nx as isize) as usize;
                if !(0..height as isize).contains(&dy) || stop == start {
                    continue;
                }
                let inside = (start as isize - x0) as usize..(stop as isize - x0) as usize;
                let row = row_of(*tile, dy as usize, pixels);
                let weight = match weights {
                    Some(w) => row_of(w, dy as usize, ones),
                    None => {
                        ones.resize(width, 1.0);
                        &*ones
                    }
                };
                accumulate(
                    level,
                    &row[inside.clone()],
                    &weight[inside],
                    &mut out[start..stop],
                    &mut total[start..stop],
                );
            }
            divide(level, total, out);
        });
    });
    Ok(())
}

leveled! {
    fn accumulate(tile: &[f32], weight: &[f32], sum: &mut [f32], total: &mut [f32]) {
        for (((sum, total), &t), &w) in sum.iter_mut().zip(total).zip(tile).zip(weight) {
            *sum += w * t;
            *total += w;
        }
    }

    /// 0 / 0 where nothing lies.
    fn divide(total: &[f32], sum: &mut [f32]) {
        sum.iter_mut().zip(total).for_each(|(s, &t)| *s = if t == 0.0 { f32::NAN } else { *s / t });
    }
}

/// A row as a slice, copied into `scratch` where its pixels lie apart.
fn row_of<'a>(view: View2<'a, f32>, y: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
    match view.row(y) {
        Some(row) => row,
        None => {
            scratch.resize(view.shape().1, 0.0);
            view.copy_row(y, scratch);
            scratch
        }
    }
}

/// Far enough for any image, near enough that no sum of pixel numbers overflows.
const FARTHEST: isize = 1 << 40;

fn check_origins(tiles: usize, origins: &[(isize, isize)]) -> Result<()> {
    if tiles != origins.len() {
        return Err(Error::Value(format!("{tiles} tiles, but {} boxes", origins.len())));
    }
    match origins.iter().find(|o| o.0.unsigned_abs().max(o.1.unsigned_abs()) > FARTHEST as usize) {
        Some(o) => Err(Error::Value(format!("a box begins at {o:?}: more than {FARTHEST} pixels away"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_may_stick_out() {
        let a = [1, 2, 3, 4, 5, 6];
        let mut tiles = [0; 32];
        let (one, two) = tiles.split_at_mut(16);
        let views = vec![ViewMut2::from_slice(one, (4, 4)), ViewMut2::from_slice(two, (4, 4))];
        let view = View2::from_slice(&a, (2, 3));
        extract_tiles(view, &[(-1, -1), (9, 9)], Border::Constant, 0, views, Some(2)).unwrap();
        assert_eq!(tiles[..16], [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0]);
        assert_eq!(tiles[16..], [0; 16]);
    }

    #[test]
    fn blends_by_weight_and_leaves_gaps() {
        let (a, b, w) = ([1.0f32, 1.0], [4.0f32, 4.0], [1.0f32, 2.0]);
        let tiles = [View2::from_slice(&a, (1, 2)), View2::from_slice(&b, (1, 2))];
        let mut out = [0.0; 5];
        let target = ViewMut2::from_slice(&mut out, (1, 5));
        stitch(&tiles, &[(0, 0), (0, 1)], Some(View2::from_slice(&w, (1, 2))), target, Some(1)).unwrap();
        assert_eq!(out[..3], [1.0, 2.0, 4.0]);
        assert!(out[3].is_nan() && out[4].is_nan());
    }
}
