//! Connected components: labelling an image, and joining components over the seams of tiles.

use rayon::prelude::*;

use crate::{Error, Result, View2, ViewMut2, with_threads};

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

    /// Adds the nodes and sets of another, numbered on.
    fn append(&mut self, other: Self) {
        let offset = self.parent.len() as u32;
        self.parent.extend(other.parent.into_iter().map(|node| node + offset));
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
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u32,
    end: u32,
}

/// The runs of some rows, in scan order, and the sets that they form; run `i` is node `i`.
struct Runs {
    runs: Vec<Run>,
    /// Where each row's runs begin; one entry more than rows.
    rows: Vec<usize>,
    sets: UnionFind,
}

impl Runs {
    fn of(mask: View2<'_, u8>, rows: std::ops::Range<usize>, reach: u32) -> Self {
        let mut found = Self { runs: Vec::new(), rows: vec![0], sets: UnionFind::default() };
        let mut row = vec![0; mask.shape().1];
        for y in rows {
            mask.copy_row(y, &mut row);
            let mut x = next(&row, 0, |v| v != 0);
            while x < row.len() {
                let end = next(&row, x, |v| v == 0);
                found.runs.push(Run { start: x as u32, end: end as u32 });
                x = next(&row, end, |v| v != 0);
            }
            found.rows.push(found.runs.len());
        }
        found.sets.grow(found.runs.len());
        for y in 1..found.rows.len() - 1 {
            found.join_rows(y - 1, y, reach);
        }
        found
    }

    /// Joins the runs of two rows, one above the other, that touch.
    fn join_rows(&mut self, above: usize, below: usize, reach: u32) {
        let (mut candidate, last) = (self.rows[above], self.rows[above + 1]);
        for node in self.rows[below]..self.rows[below + 1] {
            let run = self.runs[node];
            while candidate < last && self.runs[candidate].end + reach <= run.start {
                candidate += 1;
            }
            let mut other = candidate;
            while other < last && self.runs[other].start < run.end + reach {
                self.sets.union(other, node);
                other += 1;
            }
        }
    }

    /// Appends the runs of the rows that follow.
    fn append(&mut self, next: Self, reach: u32) {
        let (seam, offset) = (self.rows.len() - 1, self.runs.len());
        self.sets.append(next.sets);
        self.runs.extend(next.runs);
        self.rows.extend(next.rows[1..].iter().map(|at| at + offset));
        if seam > 0 && seam < self.rows.len() - 1 {
            self.join_rows(seam - 1, seam, reach);
        }
    }
}

/// The first position from `from` on whose pixel is as wanted, or the length; looks at 16 pixels at once.
#[inline(always)]
fn next(row: &[u8], from: usize, wanted: impl Fn(u8) -> bool + Copy) -> usize {
    let chunks = row[from..].chunks_exact(16);
    let tail = row.len() - chunks.remainder().len();
    for (i, chunk) in chunks.enumerate() {
        if chunk.iter().fold(false, |any, &v| any | wanted(v)) {
            return from + 16 * i + chunk.iter().position(|&v| wanted(v)).unwrap_or(0);
        }
    }
    row[tail..].iter().position(|&v| wanted(v)).map_or(row.len(), |i| tail + i)
}

/// Labels the connected components of `mask` (non-zero pixels); returns their number.
///
/// Labels are 1, 2, … in the order of the components' first pixels (smallest y, then x), background 0: the numbering of
/// `scipy.ndimage.label`, which is the oracle. Method: runs of a row are joined with those of the row above by union-find
/// (He, Chao & Suzuki 2008, "A run-based two-scan labeling algorithm"), in strips that are joined in turn.
pub fn label(
    mask: View2<'_, u8>,
    connectivity: Connectivity,
    mut out: ViewMut2<'_, i32>,
    threads: Option<usize>,
) -> Result<usize> {
    check_shape(out.shape(), mask.shape())?;
    let (ny, nx) = mask.shape();
    if ny == 0 || nx == 0 {
        return Ok(0);
    }
    if i32::try_from(ny * nx.div_ceil(2)).is_err() || u32::try_from(nx).is_err() {
        return Err(Error::Value(format!("label: an image of ({ny}, {nx}) pixels is too large; cut it into tiles")));
    }
    let reach = u32::from(connectivity == Connectivity::Eight);
    with_threads(threads, || {
        let height = ny.div_ceil(rayon::current_num_threads());
        let strips: Vec<Runs> = (0..ny.div_ceil(height))
            .into_par_iter()
            .map(|i| Runs::of(mask, i * height..((i + 1) * height).min(ny), reach))
            .collect();
        let mut all = Runs { runs: Vec::new(), rows: vec![0], sets: UnionFind::default() };
        for strip in strips {
            all.append(strip, reach);
        }
        let mut count = 0;
        let mut numbers = vec![0; all.runs.len()];
        for node in 0..all.runs.len() {
            let root = all.sets.find(node);
            if root == node {
                count += 1;
                numbers[node] = count;
            } else {
                numbers[node] = numbers[root];
            }
        }
        out.rows_mut().into_par_iter().enumerate().for_each(|(y, row)| {
            let nodes = all.rows[y]..all.rows[y + 1];
            let mut x = 0;
            for (run, &number) in all.runs[nodes.clone()].iter().zip(&numbers[nodes]) {
                row[x..run.start as usize].fill(0);
                row[run.start as usize..run.end as usize].fill(number);
                x = run.end as usize;
            }
            row[x..].fill(0);
        });
        Ok(count as usize)
    })
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
        let threads = Some(1 + mask.len() % 4);
        let n = label(View2::from_slice(mask, shape), connectivity, ViewMut2::from_slice(&mut out, shape), threads)
            .unwrap();
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
