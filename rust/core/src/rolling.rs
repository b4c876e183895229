//! Rolling-median background.

use rayon::prelude::*;

use crate::median::{Nan, median_at, median_filter};
use crate::{Border, Error, Real, Result, View2, ViewMut2, with_threads};

/// The median of the window around each pixel, as a model of the background.
///
/// `step == 1` is [`median_filter`]. Otherwise the median is evaluated at nodes only, and interpolated between them.
/// The nodes of an axis of `n` pixels are the pixels `anchor + i * step`, and its first and last pixel, so that nothing
/// is extrapolated. A pixel with nodes `y0 <= y < y1` around it has weights `ty = (y - y0) / (y1 - y0)`, `1 - ty`, and
/// likewise along x; its value is `sum(w v) / sum(w)` in float64 over the corners with `w > 0`, taken in the order
/// (y0, x0), (y0, x1), (y1, x0), (y1, x1). [`Nan::Ignore`] leaves out corners that are NaN.
#[allow(clippy::too_many_arguments)]
pub fn rolling_median<T: Real>(
    a: View2<'_, T>,
    window: (usize, usize),
    step: usize,
    anchor: (i64, i64),
    border: Border,
    nan: Nan,
    mut out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    if step == 0 {
        return Err(Error::Value("step must be at least 1".into()));
    }
    if step == 1 {
        return median_filter(a, window, border, nan, out, threads);
    }
    let (ny, nx) = a.shape();
    if out.shape() != a.shape() {
        let got = vec![out.shape().0, out.shape().1];
        return Err(Error::Shape { name: "out", got, expected: vec![ny, nx] });
    }
    let (rows, cols) = (nodes(ny, step, anchor.0), nodes(nx, step, anchor.1));
    let mut mesh = vec![T::default(); rows.len() * cols.len()];
    let target = ViewMut2::from_slice(&mut mesh, (rows.len(), cols.len()));
    median_at(a, &rows, &cols, window, border, nan, target, threads)?;

    let at_y = between(&rows, ny);
    let at_x: Vec<f64> = between(&cols, nx).into_iter().map(|(_, t)| t).collect();
    let width = cols.len();
    with_threads(threads, || {
        out.rows_mut().into_par_iter().zip(at_y).for_each(|(out, (i, ty))| {
            let top = &mesh[i * width..][..width];
            // The last node has none after it, and weight 0 there.
            let bottom = mesh.get((i + 1) * width..(i + 2) * width).unwrap_or(top);
            for j in 0..width {
                let (k, end) = cols.get(j + 1).map_or((j, nx), |&next| (j + 1, next));
                let corners = [top[j], top[k], bottom[j], bottom[k]];
                let (out, at) = (&mut out[cols[j]..end], &at_x[cols[j]..end]);
                if corners.iter().all(|v| v.is_finite()) {
                    blend(out, at, ty, corners.map(T::to_f64));
                } else {
                    blend_some(out, at, ty, corners, nan);
                }
            }
        });
    });
    Ok(())
}

/// The weights of the corners of a cell.
#[inline(always)]
fn weights(ty: f64, tx: f64) -> [f64; 4] {
    [(1.0 - ty) * (1.0 - tx), (1.0 - ty) * tx, ty * (1.0 - tx), ty * tx]
}

/// Interpolates a row of a cell; `at` is how far its pixels lie on the way to the next node. Corners of weight 0 add 0,
/// as if they were left out.
fn blend<T: Real>(out: &mut [T], at: &[f64], ty: f64, corners: [f64; 4]) {
    for (out, &tx) in out.iter_mut().zip(at) {
        let w = weights(ty, tx);
        let sum = w[0] * corners[0] + w[1] * corners[1] + w[2] * corners[2] + w[3] * corners[3];
        // Added to 0, as in `blend_some`: -0.0 becomes 0.0.
        *out = T::from_f64((0.0 + sum) / (w[0] + w[1] + w[2] + w[3]));
    }
}

/// The same where a corner is NaN or infinite.
fn blend_some<T: Real>(out: &mut [T], at: &[f64], ty: f64, corners: [T; 4], nan: Nan) {
    for (out, &tx) in out.iter_mut().zip(at) {
        let (mut sum, mut weight) = (0.0, 0.0);
        for (w, corner) in weights(ty, tx).into_iter().zip(corners) {
            if w > 0.0 && !(nan == Nan::Ignore && corner.is_nan()) {
                sum += w * corner.to_f64();
                weight += w;
            }
        }
        // 0 / 0 where all corners are NaN.
        *out = T::from_f64(sum / weight);
    }
}

/// Where the median is evaluated along an axis.
fn nodes(n: usize, step: usize, anchor: i64) -> Vec<usize> {
    let Some(last) = n.checked_sub(1) else { return vec![] };
    let first = anchor.rem_euclid(i64::try_from(step).unwrap_or(i64::MAX)) as usize;
    let mut nodes = vec![0];
    nodes.extend((first..n).step_by(step));
    nodes.push(last);
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// For each of `n` pixels, the node at or before it and how far it lies on the way to the next one.
fn between(nodes: &[usize], n: usize) -> Vec<(usize, f64)> {
    let mut node = 0;
    (0..n)
        .map(|y| {
            if nodes.get(node + 1).is_some_and(|&next| next <= y) {
                node += 1;
            }
            let t = match nodes.get(node + 1) {
                Some(&next) => (y - nodes[node]) as f64 / (next - nodes[node]) as f64,
                None => 0.0,
            };
            (node, t)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_follow_the_anchor_and_close_the_axis() {
        assert_eq!(nodes(10, 4, 0), [0, 4, 8, 9]);
        assert_eq!(nodes(10, 4, -3), [0, 1, 5, 9]);
        assert_eq!(nodes(3, 100, 50), [0, 2]);
        assert_eq!(nodes(1, 4, 2), [0]);
        assert!(nodes(0, 4, 0).is_empty());
        assert_eq!(between(&[0, 4, 5], 6)[3..], [(0, 0.75), (1, 0.0), (2, 0.0)]);
    }

    #[test]
    fn interpolates_between_the_nodes_and_around_nan() {
        // Window 1: the nodes are the pixels themselves.
        let a: Vec<f32> = (0..25).map(|i| if i == 0 { f32::NAN } else { (i / 5) as f32 }).collect();
        let mut out = [9.0; 25];
        let view = View2::from_slice(&a, (5, 5));
        let target = ViewMut2::from_slice(&mut out, (5, 5));
        rolling_median(view, (1, 1), 4, (0, 0), Border::Reflect, Nan::Ignore, target, Some(1)).unwrap();
        assert!(out[0].is_nan());
        assert_eq!(out[4..].iter().step_by(5).copied().collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        // (1, 1): weights 3/16, 3/16 and 1/16 on 0, 4 and 4.
        assert_eq!(out[6], ((0.1875 * 4.0 + 0.0625 * 4.0) / (0.1875 + 0.1875 + 0.0625)) as f32);
    }
}
