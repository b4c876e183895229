//! Connected components: labelling an image, and joining components over the seams of tiles.

use crate::{Error, Result, View2, ViewMut2};

/// Which pixels touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Pixels that share a side.
    Four,
    /// Pixels that share a side or a corner, as `SExtractor` joins them.
    Eight,
}

/// Sets of nodes that grow together; the smallest node of a set stands for it.
///
/// Keeping the smallest node as root makes every answer independent of the order of the unions.
#[derive(Debug, Default, Clone)]
pub struct UnionFind {
    parent: Vec<u32>,
}

impl UnionFind {
    /// `n` sets of one node each.
    pub fn new(n: usize) -> Self {
        let mut sets = Self::default();
        sets.grow(n);
        sets
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }

    /// Adds `n` nodes, each a set of its own; returns the first.
    pub fn grow(&mut self, n: usize) -> usize {
        let first = self.parent.len();
        let end = u32::try_from(first + n).expect("more than 2^32 components");
        self.parent.extend(first as u32..end);
        first
    }

    /// The smallest node of the set of `node`.
    pub fn find(&mut self, node: usize) -> usize {
        let mut node = node as u32;
        while self.parent[node as usize] != node {
            // Path halving keeps the trees flat.
            let grandparent = self.parent[self.parent[node as usize] as usize];
            self.parent[node as usize] = grandparent;
            node = grandparent;
        }
        node as usize
    }

    /// Joins two sets.
    pub fn union(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b) as u32;
    }
}

/// A run of foreground pixels of one row, `start <= x < end`.
struct Run {
    start: usize,
    end: usize,
    node: usize,
}

/// Labels the connected components of `mask` (non-zero pixels); returns their number.
///
/// Labels are 1, 2, … in the order of the components' first pixels (smallest y, then x), background 0: the numbering of
/// `scipy.ndimage.label`, which is the oracle. Method: runs of a row are joined with those of the row above by union-find
/// (He, Chao & Suzuki 2008, "A run-based two-scan labeling algorithm").
pub fn label(mask: View2<'_, u8>, connectivity: Connectivity, mut out: ViewMut2<'_, i32>) -> Result<usize> {
    check_shape(out.shape(), mask.shape())?;
    let (ny, nx) = mask.shape();
    let reach = usize::from(connectivity == Connectivity::Eight);
    let mut sets = UnionFind::default();
    let mut row = vec![0; nx];
    let (mut above, mut here): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for y in 0..ny {
        mask.copy_row(y, &mut row);
        here.clear();
        let mut x = 0;
        let mut candidate = 0;
        while let Some(start) = row[x..].iter().position(|&v| v != 0).map(|i| x + i) {
            let end = row[start..].iter().position(|&v| v == 0).map_or(nx, |i| start + i);
            let node = sets.grow(1);
            while candidate < above.len() && above[candidate].end + reach <= start {
                candidate += 1;
            }
            for run in above[candidate..].iter().take_while(|run| run.start < end + reach) {
                sets.union(run.node, node);
            }
            here.push(Run { start, end, node });
            x = end;
        }
        // Until the sets are complete, pixels hold their run's node plus one.
        let target = out.row_mut(y);
        target.fill(0);
        for run in &here {
            target[run.start..run.end].fill(node_label(run.node)?);
        }
        std::mem::swap(&mut above, &mut here);
    }
    let mut count = 0;
    let mut numbers = vec![0; sets.len() + 1];
    for node in 0..sets.len() {
        let root = sets.find(node);
        if root == node {
            count += 1;
            numbers[node + 1] = count;
        } else {
            numbers[node + 1] = numbers[root + 1];
        }
    }
    for y in 0..ny {
        out.row_mut(y).iter_mut().for_each(|v| *v = numbers[*v as usize]);
    }
    Ok(count as usize)
}

fn node_label(node: usize) -> Result<i32> {
    i32::try_from(node + 1).map_err(|_| Error::Value("label: more than 2^31 runs; cut the image into tiles".into()))
}

fn check_shape(got: (usize, usize), expected: (usize, usize)) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Shape { name: "out", got: vec![got.0, got.1], expected: vec![expected.0, expected.1] })
}

/// Pairs of labels that touch (sides or corners) across a seam, from the two lines of pixels that face each other.
///
/// Each pair `(label of a, label of b)` comes once, sorted. Zero is background.
pub fn touching(a: &[i32], b: &[i32]) -> Result<Vec<(i32, i32)>> {
    if a.len() != b.len() {
        return Err(Error::Shape { name: "b", got: vec![b.len()], expected: vec![a.len()] });
    }
    let mut pairs = Vec::new();
    for (i, &left) in a.iter().enumerate().filter(|&(_, &left)| left != 0) {
        let near = &b[i.saturating_sub(1)..(i + 2).min(b.len())];
        pairs.extend(near.iter().filter(|&&right| right != 0).map(|&right| (left, right)));
    }
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// Joins components that were labelled tile by tile, in place; returns their number.
///
/// `labels` holds per-tile labels that are unique over the image; the tiles meet before the rows `ys` and the columns `xs`.
/// Components that touch across a seam (sides or corners) become one; all are numbered anew by their first pixels, so that
/// the result equals the labelling of the whole image with [`Connectivity::Eight`].
pub fn join_tiles(mut labels: ViewMut2<'_, i32>, ys: &[usize], xs: &[usize]) -> Result<usize> {
    let (ny, nx) = labels.shape();
    if ys.iter().any(|&y| y == 0 || y >= ny) || xs.iter().any(|&x| x == 0 || x >= nx) {
        return Err(Error::Value(format!("join_tiles: seams must lie inside the image of shape ({ny}, {nx})")));
    }
    let mut largest = 0;
    for y in 0..ny {
        for &v in labels.row_mut(y).iter() {
            if v < 0 {
                return Err(Error::Value(format!("join_tiles: label {v} is negative")));
            }
            largest = largest.max(v);
        }
    }
    let mut sets = UnionFind::new(largest as usize + 1);
    for &y in ys {
        let above = labels.row_mut(y - 1).to_vec();
        for (a, b) in touching(&above, labels.row_mut(y))? {
            sets.union(a as usize, b as usize);
        }
    }
    for &x in xs {
        let (left, right): (Vec<i32>, Vec<i32>) =
            (0..ny).map(|y| (labels.row_mut(y)[x - 1], labels.row_mut(y)[x])).unzip();
        for (a, b) in touching(&left, &right)? {
            sets.union(a as usize, b as usize);
        }
    }
    let mut count = 0;
    let mut numbers = vec![0; sets.len()];
    for y in 0..ny {
        for v in labels.row_mut(y).iter_mut().filter(|v| **v != 0) {
            let root = sets.find(*v as usize);
            if numbers[root] == 0 {
                count += 1;
                numbers[root] = count;
            }
            *v = numbers[root];
        }
    }
    Ok(count as usize)
}

/// Bounding box and area of each label 1 to `count`: `[y0, y1, x0, x1, area]`, half-open; zeros where a label has no pixel.
pub fn extents(labels: View2<'_, i32>, count: usize) -> Result<Vec<[i32; 5]>> {
    let (ny, nx) = labels.shape();
    let mut extents = vec![[0; 5]; count];
    let mut row = vec![0; nx];
    for y in 0..ny as i32 {
        labels.copy_row(y as usize, &mut row);
        for (x, &label) in (0..).zip(&row).filter(|&(_, &label)| label != 0) {
            let slot = usize::try_from(label).ok().and_then(|l| extents.get_mut(l - 1));
            let Some([y0, y1, x0, x1, area]) = slot else {
                return Err(Error::Value(format!("labels: {label} at ({y}, {x}) is not in 1..={count}")));
            };
            if *area == 0 {
                (*y0, *x0, *x1) = (y, x, x + 1);
            }
            (*y1, *x0, *x1) = (y + 1, (*x0).min(x), (*x1).max(x + 1));
            *area += 1;
        }
    }
    Ok(extents)
}

/// Paints runs of pixels `(y, x0, x1, value)` into `out`, whose first pixel is the mosaic's pixel `origin`; what lies outside is
/// left out.
pub fn paint_runs(runs: &[[i32; 4]], origin: (i32, i32), mut out: ViewMut2<'_, i32>) {
    let (ny, nx) = out.shape();
    for &[y, x0, x1, value] in runs {
        let row = i64::from(y) - i64::from(origin.0);
        if row < 0 || row >= ny as i64 {
            continue;
        }
        let clamp = |x: i32| (i64::from(x) - i64::from(origin.1)).clamp(0, nx as i64) as usize;
        let (start, end) = (clamp(x0), clamp(x1));
        if start < end {
            out.row_mut(row as usize)[start..end].fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labelled(mask: &[u8], shape: (usize, usize), connectivity: Connectivity) -> (Vec<i32>, usize) {
        let mut out = vec![-1; mask.len()];
        let n = label(View2::from_slice(mask, shape), connectivity, ViewMut2::from_slice(&mut out, shape)).unwrap();
        (out, n)
    }

    /// Flood fill from each unlabelled pixel in scan order.
    fn reference(mask: &[u8], (ny, nx): (usize, usize), connectivity: Connectivity) -> Vec<i32> {
        let mut out = vec![0; mask.len()];
        let mut next = 0;
        for seed in 0..mask.len() {
            if mask[seed] == 0 || out[seed] != 0 {
                continue;
            }
            next += 1;
            let mut stack = vec![seed];
            out[seed] = next;
            while let Some(p) = stack.pop() {
                let (y, x) = ((p / nx) as isize, (p % nx) as isize);
                for dy in -1..=1 {
                    for dx in -1..=1 {
                        if connectivity == Connectivity::Four && dy * dx != 0 {
                            continue;
                        }
                        let (yy, xx) = (y + dy, x + dx);
                        if yy < 0 || xx < 0 || yy >= ny as isize || xx >= nx as isize {
                            continue;
                        }
                        let q = yy as usize * nx + xx as usize;
                        if mask[q] != 0 && out[q] == 0 {
                            out[q] = next;
                            stack.push(q);
                        }
                    }
                }
            }
        }
        out
    }

    fn masks() -> impl Strategy<Value = (Vec<u8>, (usize, usize))> {
        (1usize..20, 1usize..20).prop_flat_map(|(ny, nx)| {
            (prop::collection::vec(prop::bool::weighted(0.5).prop_map(u8::from), ny * nx), Just((ny, nx)))
        })
    }

    proptest! {
        #[test]
        fn label_equals_flood_fill((mask, shape) in masks(), eight in any::<bool>()) {
            let connectivity = if eight { Connectivity::Eight } else { Connectivity::Four };
            let (out, n) = labelled(&mask, shape, connectivity);
            let expected = reference(&mask, shape, connectivity);
            prop_assert_eq!(n as i32, expected.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn joined_tiles_equal_the_whole((mask, shape) in masks(), cut in 1usize..9) {
            let (ny, nx) = shape;
            let seams = |n: usize| (cut..n).step_by(cut).collect::<Vec<_>>();
            let (ys, xs) = (seams(ny), seams(nx));
            let mut labels = vec![0; mask.len()];
            let mut offset = 0;
            for y0 in std::iter::once(0).chain(ys.iter().copied()) {
                for x0 in std::iter::once(0).chain(xs.iter().copied()) {
                    let (h, w) = (cut.min(ny - y0), cut.min(nx - x0));
                    let tile: Vec<u8> = (0..h * w).map(|i| mask[(y0 + i / w) * nx + x0 + i % w]).collect();
                    let (out, n) = labelled(&tile, (h, w), Connectivity::Eight);
                    for (i, v) in out.iter().enumerate().filter(|&(_, &v)| v != 0) {
                        labels[(y0 + i / w) * nx + x0 + i % w] = v + offset;
                    }
                    offset += n as i32;
                }
            }
            join_tiles(ViewMut2::from_slice(&mut labels, shape), &ys, &xs).unwrap();
            prop_assert_eq!(labels, reference(&mask, shape, Connectivity::Eight));
        }
    }

    #[test]
    fn extents_are_tight() {
        let labels = [0, 2, 0, 2, 2, 0, 0, 0, 3];
        let found = extents(View2::from_slice(&labels, (3, 3)), 3).unwrap();
        assert_eq!(found, [[0; 5], [0, 2, 0, 2, 3], [2, 3, 2, 3, 1]]);
        assert!(extents(View2::from_slice(&labels, (3, 3)), 2).is_err());
        assert!(extents(View2::from_slice(&[-1], (1, 1)), 2).is_err());
    }

    #[test]
    fn painted_runs_are_clipped() {
        let mut out = vec![0; 6];
        paint_runs(&[[10, 4, 9, 7], [11, 0, 6, 8], [9, 0, 9, 1]], (10, 5), ViewMut2::from_slice(&mut out, (2, 3)));
        assert_eq!(out, [7, 7, 7, 8, 0, 0]);
    }
}
