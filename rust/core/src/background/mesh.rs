//! From measured boxes to a smooth image: filling, filtering, bicubic spline.

use crate::leveled::leveled;
use crate::rows::fill_rows;
use crate::simd::level;
use crate::threads::map;
use crate::{Error, Result, ViewMut2};

/// Boxes that a missing box is filled from: photutils' choice.
const NEIGHBOURS: usize = 10;

/// Fills the missing (NaN) boxes of a mesh from their neighbours, then smooths it with a median of `filter_size` boxes.
///
/// Filling is Shepard's inverse-distance weighting over the ten nearest measured boxes, distances in boxes, power 1; boxes
/// as near as the tenth all count, so that the result knows no order of boxes. The median ignores what lies outside the
/// mesh; an even number of boxes gives the mean of the middle two.
///
/// Parity: `photutils.utils.ShepardIDWInterpolator` (`n_neighbors=10`) up to its arbitrary choice among equally distant
/// boxes, and `scipy.ndimage.generic_filter(mesh, numpy.nanmedian, filter_size, mode="constant", cval=nan)`.
pub fn complete_mesh(
    mesh: &[f64],
    shape: (usize, usize),
    filter_size: usize,
    threads: Option<usize>,
) -> Result<Vec<f64>> {
    check(mesh, shape)?;
    if filter_size.is_multiple_of(2) {
        return Err(Error::Value(format!("filter_size {filter_size}: must be odd and positive")));
    }
    if mesh.iter().all(|v| v.is_nan()) {
        return Err(Error::Value("mesh: no box was measured".into()));
    }
    let filled = fill(mesh, shape, threads);
    Ok(if filter_size == 1 { filled } else { median(&filled, shape, filter_size / 2, threads) })
}

fn check(mesh: &[f64], shape: (usize, usize)) -> Result<()> {
    if shape.0 == 0 || shape.1 == 0 || shape.0.checked_mul(shape.1) != Some(mesh.len()) {
        return Err(Error::Shape { name: "mesh", got: vec![mesh.len()], expected: vec![shape.0, shape.1] });
    }
    Ok(())
}

fn fill(mesh: &[f64], shape: (usize, usize), threads: Option<usize>) -> Vec<f64> {
    let measured: Vec<Vec<usize>> =
        mesh.chunks_exact(shape.1).map(|row| (0..shape.1).filter(|&x| !row[x].is_nan()).collect()).collect();
    map(
        threads,
        mesh.len(),
        || (),
        |(), i| match mesh[i] {
            v if v.is_nan() => shepard(mesh, &measured, (i / shape.1, i % shape.1), shape),
            v => v,
        },
    )
}

/// Squared distance and value of a measured box.
type Neighbour = (usize, f64);

fn shepard(mesh: &[f64], measured: &[Vec<usize>], (y, x): (usize, usize), shape: (usize, usize)) -> f64 {
    let mut near: Vec<Neighbour> = Vec::with_capacity(2 * NEIGHBOURS);
    for dy in 0..shape.0 {
        // Rows farther than the tenth neighbour hold none.
        if dy * dy > reach(&near) {
            break;
        }
        let (above, below) = (y.checked_sub(dy), (y + dy < shape.0 && dy > 0).then_some(y + dy));
        for row in above.into_iter().chain(below) {
            let columns = &measured[row];
            let middle = columns.partition_point(|&c| c < x);
            let mut add = |c: usize| {
                let d = dy * dy + c.abs_diff(x).pow(2);
                let within = d <= reach(&near);
                if within {
                    let at = near.partition_point(|n| n.0 <= d);
                    near.insert(at, (d, mesh[row * shape.1 + c]));
                    let reach = reach(&near);
                    near.truncate(near.partition_point(|n| n.0 <= reach));
                }
                within
            };
            // Along a row distances grow on both sides: stop at the first box out of reach.
            let _ = columns[middle..].iter().all(|&c| add(c));
            let _ = columns[..middle].iter().rev().all(|&c| add(c));
        }
    }
    let (mut weights, mut sum) = (0.0, 0.0);
    for (d, v) in near {
        let w = 1.0 / (d as f64).sqrt();
        weights += w;
        sum += w * v;
    }
    sum / weights
}

/// Squared distance of the tenth neighbour so far.
fn reach(near: &[Neighbour]) -> usize {
    near.get(NEIGHBOURS - 1).map_or(usize::MAX, |n| n.0)
}

fn median(mesh: &[f64], shape: (usize, usize), half: usize, threads: Option<usize>) -> Vec<f64> {
    let window = |n: usize, i: usize| i.saturating_sub(half)..n.min(i + half + 1);
    map(threads, mesh.len(), Vec::new, |values, i| {
        let (y, x) = (i / shape.1, i % shape.1);
        values.clear();
        window(shape.0, y).for_each(|row| values.extend_from_slice(&mesh[row * shape.1..][window(shape.1, x)]));
        let n = values.len();
        let (lower, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
        if n % 2 == 1 { upper } else { 0.5 * (lower.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b)) + upper) }
    })
}

/// A mesh as a bicubic spline over pixels: each box's value stands at the centre of its pixels.
///
/// Parity: `scipy.ndimage.zoom(mesh, box_shape, order=3, mode="reflect", grid_mode=True)`, clipped to the range of the mesh
/// as `photutils` does. The value of a pixel depends on its position in the mosaic alone, to the last bit.
#[derive(Debug, Clone)]
pub struct Spline {
    coefficients: Vec<f64>,
    shape: (usize, usize),
    box_shape: (usize, usize),
    range: (f64, f64),
}

impl Spline {
    /// The spline through a complete mesh.
    pub fn new(mesh: &[f64], shape: (usize, usize), box_shape: (usize, usize)) -> Result<Self> {
        check(mesh, shape)?;
        if box_shape.0 == 0 || box_shape.1 == 0 {
            return Err(Error::Value(format!("box_size {box_shape:?}: both sides must be positive")));
        }
        if !mesh.iter().all(|v| v.is_finite()) {
            return Err(Error::Value("mesh: must be finite everywhere; complete it first".into()));
        }
        let range = mesh.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |r, &v| (r.0.min(v), r.1.max(v)));
        let mut coefficients = mesh.to_vec();
        let mut line = Vec::new();
        for (lines, step, along, n) in [(shape.1, 1, shape.1, shape.0), (shape.0, shape.1, 1, shape.1)] {
            for first in 0..lines {
                line.clear();
                line.extend((0..n).map(|i| coefficients[first * step + i * along]));
                prefilter(&mut line);
                line.iter().enumerate().for_each(|(i, &c)| coefficients[first * step + i * along] = c);
            }
        }
        Ok(Self { coefficients, shape, box_shape, range })
    }

    /// Writes the pixels of the window that begins at pixel `origin` of the mosaic.
    pub fn expand(&self, origin: (usize, usize), out: ViewMut2<'_, f32>, threads: Option<usize>) -> Result<()> {
        let (ny, nx) = out.shape();
        let end = (origin.0.saturating_add(ny), origin.1.saturating_add(nx));
        if end.0.div_ceil(self.box_shape.0) > self.shape.0 || end.1.div_ceil(self.box_shape.1) > self.shape.1 {
            let (my, mx) = (self.shape.0 * self.box_shape.0, self.shape.1 * self.box_shape.1);
            return Err(Error::Value(format!(
                "window from {origin:?} to {end:?}: outside the mesh's ({my}, {mx}) pixels"
            )));
        }
        let (low, high) = self.range;
        if low == high {
            fill_rows(out, threads, || (), |(), _, row| row.fill(low as f32));
            return Ok(());
        }
        let (wy, wx) = (Weights::new(self.box_shape.0), Weights::new(self.box_shape.1));
        let level = level();
        fill_rows(out, threads, Vec::new, |line, y, row| {
            let (node, w) = wy.at(origin.0 + y);
            let r = [0, 1, 2, 3].map(|k| reflect(node + k - 1, self.shape.0) * self.shape.1);
            let c = &self.coefficients;
            let node = |x: usize| w[0] * c[r[0] + x] + w[1] * c[r[1] + x] + w[2] * c[r[2] + x] + w[3] * c[r[3] + x];
            line.clear();
            // Two more nodes before the first and after the last: what the pixels near an edge reach.
            let n = self.shape.1;
            line.extend([-2, -1].map(|x| node(reflect(x, n))));
            line.extend((0..n).map(node));
            line.extend([0, 1].map(|x| node(reflect(n as isize + x, n))));
            write_row(level, &wx, line, origin.1, self.range, row);
        });
        Ok(())
    }
}

/// Cubic B-spline weights of the pixels between the centres of two boxes.
struct Weights {
    /// By position after the first pixel right of a centre: weights of the nodes `left - 1 ..= left + 2`, one array per node.
    weights: [Vec<f64>; 4],
}

impl Weights {
    fn new(size: usize) -> Self {
        let mut weights = [(); 4].map(|()| Vec::with_capacity(size));
        for i in (size / 2..size).chain(0..size / 2) {
            let centre = (i as f64 + 0.5) / size as f64 - 0.5;
            let t = if centre < 0.0 { centre + 1.0 } else { centre };
            let s = 1.0 - t;
            let inner = |t: f64| (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0;
            for (w, v) in weights.iter_mut().zip([s * s * s / 6.0, inner(t), inner(s), t * t * t / 6.0]) {
                w.push(v);
            }
        }
        Self { weights }
    }

    /// One more than the node left of a pixel, and the pixel's position after it.
    fn locate(&self, pixel: usize) -> (usize, usize) {
        let size = self.weights[0].len();
        let from_centre = pixel + size - size / 2;
        (from_centre / size, from_centre % size)
    }

    fn at(&self, pixel: usize) -> (isize, [f64; 4]) {
        let (right, i) = self.locate(pixel);
        (right as isize - 1, [0, 1, 2, 3].map(|k| self.weights[k][i]))
    }
}

leveled! {
    /// One row of pixels from one row of nodes, the first of which is node -2.
    fn write_row(weights: &Weights, nodes: &[f64], x0: usize, range: (f64, f64), row: &mut [f32]) {
        let size = weights.weights[0].len();
        let (mut first, mut i) = weights.locate(x0);
        let mut rest = row;
        // Runs of pixels between the same nodes.
        while !rest.is_empty() {
            let (run, after) = rest.split_at_mut((size - i).min(rest.len()));
            let c: [f64; 4] = [0, 1, 2, 3].map(|k| nodes[first + k]);
            let [w0, w1, w2, w3] = [0, 1, 2, 3].map(|k| &weights.weights[k][i..i + run.len()]);
            for (j, v) in run.iter_mut().enumerate() {
                let value = w0[j] * c[0] + w1[j] * c[1] + w2[j] * c[2] + w3[j] * c[3];
                // All are numbers: comparisons are one instruction each.
                let value = if value > range.0 { value } else { range.0 };
                *v = if value < range.1 { value } else { range.1 } as f32;
            }
            (rest, first, i) = (after, first + 1, 0);
        }
    }
}

/// Index of a node mirrored about the outer edges of the mesh (`d c b a | a b c d | d c b a`).
fn reflect(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let i = i.rem_euclid(period);
    (if i < n as isize { i } else { period - 1 - i }) as usize
}

/// Values to cubic B-spline coefficients along a line mirrored about its outer edges (Unser 1999, IEEE SPM 16, 22).
fn prefilter(line: &mut [f64]) {
    let n = line.len();
    if n < 2 {
        return;
    }
    let z = 3f64.sqrt() - 2.0;
    let gain = (1.0 - z) * (1.0 - 1.0 / z);
    line.iter_mut().for_each(|c| *c *= gain);
    // The sum over the infinite mirrored line, in closed form; but the last term's partner, `line[0]`, is the sum so far, as in
    // scipy, which adds up in place. That is wrong by about z^(2n - 1): 4e-4 of a step between two boxes, 1e-11 for ten.
    let zn = z.powi(n as i32);
    let (first, mut power) = (line[0], z);
    let mut start = first + zn * line[n - 1];
    for i in 1..n {
        let partner = if i == n - 1 { start } else { line[n - 1 - i] };
        start += power * (line[i] + zn * partner);
        power *= z;
    }
    line[0] = first + start * z / (1.0 - zn * zn);
    for i in 1..n {
        line[i] += z * line[i - 1];
    }
    line[n - 1] *= z / (z - 1.0);
    for i in (0..n - 1).rev() {
        line[i] = z * (line[i + 1] - line[i]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(spline: &Spline, origin: (usize, usize), shape: (usize, usize)) -> Vec<f32> {
        let mut out = vec![0.0; shape.0 * shape.1];
        spline.expand(origin, ViewMut2::from_slice(&mut out, shape), Some(2)).unwrap();
        out
    }

    proptest! {
        #[test]
        fn every_window_is_a_crop(
            mesh in proptest::collection::vec(-5f64..5.0, 12),
            b in (1usize..9, 1usize..9),
            corners in (0f64..1.0, 0f64..1.0, 0f64..1.0, 0f64..1.0),
        ) {
            let spline = Spline::new(&mesh, (3, 4), b).unwrap();
            let (ny, nx) = (3 * b.0, 4 * b.1);
            let whole = expand(&spline, (0, 0), (ny, nx));
            let pair = |a: f64, b: f64, n: usize| {
                let (a, b) = ((a * n as f64) as usize, (b * n as f64) as usize);
                (a.min(b), a.max(b) + 1)
            };
            let ((y0, y1), (x0, x1)) = (pair(corners.0, corners.1, ny), pair(corners.2, corners.3, nx));
            let window = expand(&spline, (y0, x0), (y1 - y0, x1 - x0));
            for (i, v) in window.iter().enumerate() {
                let (y, x) = (y0 + i / (x1 - x0), x0 + i % (x1 - x0));
                prop_assert_eq!(v.to_bits(), whole[y * nx + x].to_bits());
            }
        }

        #[test]
        fn the_spline_passes_through_its_boxes(mesh in proptest::collection::vec(-5f64..5.0, 110)) {
            // Boxes of one pixel: every pixel is a centre.
            let pixels = expand(&Spline::new(&mesh, (10, 11), (1, 1)).unwrap(), (0, 0), (10, 11));
            for (p, m) in pixels.iter().zip(&mesh) {
                prop_assert!((f64::from(*p) - m).abs() < 1e-6, "{} {}", p, m);
            }
        }

        #[test]
        fn filling_takes_the_ten_nearest(mesh in proptest::collection::vec(prop_oneof![Just(f64::NAN), 0f64..1.0], 7 * 9)) {
            prop_assume!(mesh.iter().any(|v| !v.is_nan()));
            let filled = complete_mesh(&mesh, (7, 9), 1, Some(2)).unwrap();
            for (i, &v) in mesh.iter().enumerate() {
                if !v.is_nan() {
                    prop_assert_eq!(filled[i], v);
                    continue;
                }
                let distance = |j: usize| (i / 9).abs_diff(j / 9).pow(2) + (i % 9).abs_diff(j % 9).pow(2);
                let mut near: Vec<usize> = (0..63).filter(|&j| !mesh[j].is_nan()).collect();
                near.sort_by_key(|&j| distance(j));
                let tenth = near.get(9).map_or(usize::MAX, |&j| distance(j));
                near.retain(|&j| distance(j) <= tenth);
                let weight = |&j: &usize| 1.0 / (distance(j) as f64).sqrt();
                let expected = near.iter().map(|j| weight(j) * mesh[*j]).sum::<f64>() / near.iter().map(weight).sum::<f64>();
                prop_assert!((filled[i] - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_constant_mesh_is_a_constant_image() {
        let spline = Spline::new(&[0.1; 6], (2, 3), (5, 4)).unwrap();
        assert!(expand(&spline, (1, 1), (9, 11)).iter().all(|&v| v == 0.1));
    }

    #[test]
    fn wrong_arguments_are_said() {
        assert!(complete_mesh(&[f64::NAN; 4], (2, 2), 3, None).is_err());
        assert!(complete_mesh(&[1.0; 4], (2, 2), 2, None).is_err());
        assert!(complete_mesh(&[1.0; 4], (2, 3), 3, None).is_err());
        assert!(Spline::new(&[1.0, f64::NAN], (1, 2), (4, 4)).is_err());
        let mut out = [0.0; 4];
        let spline = Spline::new(&[1.0, 2.0], (1, 2), (4, 4)).unwrap();
        assert!(spline.expand((3, 6), ViewMut2::from_slice(&mut out, (2, 2)), None).is_err());
        assert!(spline.expand((usize::MAX, 6), ViewMut2::from_slice(&mut out, (2, 2)), None).is_err());
    }
}
