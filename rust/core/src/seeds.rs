//! Components split at the valleys between seeds.

use std::collections::BTreeMap;

use crate::watershed::watershed;
use crate::{Error, Result, View2, ViewMut2};

/// `[y0, y1, x0, x1, area]`, as `labels::extents` gives it.
type Extent = [i32; 5];

/// What makes a seed.
#[derive(Debug, Clone, Copy)]
pub struct Seeding {
    /// What a local maximum has to exceed; not negative.
    pub threshold: f32,
    /// No pixel within so many along both axes is higher, and none as high comes before it.
    pub distance: usize,
    /// Basins of fewer pixels are flooded by their neighbours.
    pub min_area: usize,
    /// Basins are one object if the pass between them is higher than this part of the lower one's summit; 1 or more
    /// joins none.
    pub valley: f32,
}

/// Splits components into objects: seeds are the local maxima of `centre` on a component's own pixels, and a watershed
/// of `-depth` from them, over sides and corners, parts it. One with fewer than two seeds is one object. Then basins are
/// joined, from the highest pass between two on: a pass is as high as the lower of two pixels on either side, and the
/// summit of joined basins is the highest of theirs.
///
/// `components` holds their numbers, and `extents` where they lie; `which` are those to be split. Their pixels in `out`
/// get `first`, `first + 1`, …, component after component and seeds in scan order; others are left alone. Returns the
/// number of objects of each.
///
/// Parity: `scipy.ndimage.maximum_filter` for the seeds, `skimage.segmentation.watershed`, component by component; the
/// joining in Python's words in `tests/test_models_dense.py`.
#[allow(clippy::too_many_arguments)]
pub fn split_by_seeds(
    components: View2<'_, i32>,
    extents: &[Extent],
    which: &[usize],
    centre: View2<'_, f32>,
    depth: View2<'_, f32>,
    seeding: Seeding,
    first: i32,
    mut out: ViewMut2<'_, i32>,
) -> Result<Vec<i32>> {
    let shape = components.shape();
    for (name, got) in [("centre", centre.shape()), ("depth", depth.shape()), ("out", out.shape())] {
        if got != shape {
            return Err(Error::Shape { name, got: vec![got.0, got.1], expected: vec![shape.0, shape.1] });
        }
    }
    if seeding.distance == 0 || seeding.threshold.is_nan() || seeding.threshold < 0.0 || seeding.valley.is_nan() {
        let wanted = "the distance must be positive, the threshold not negative, the valley a number";
        return Err(Error::Value(format!("{seeding:?}: {wanted}")));
    }
    let mut crop = Crop::default();
    let mut next = first;
    which
        .iter()
        .map(|&number| {
            let extent = number.checked_sub(1).and_then(|i| extents.get(i));
            let (origin, size) = extent.and_then(|e| inside(e, shape)).ok_or_else(|| {
                Error::Value(format!("component {number} has no extent inside an image of {shape:?} pixels"))
            })?;
            crop.take(number as i32, origin, size, components, centre);
            let count = crop.split(origin, depth, seeding)?;
            crop.paint(origin, next, &mut out);
            next += count;
            Ok(count)
        })
        .collect()
}

/// First pixel and shape of an extent that lies inside.
fn inside(extent: &Extent, shape: (usize, usize)) -> Option<((usize, usize), (usize, usize))> {
    let [y0, y1, x0, x1] = [0, 1, 2, 3].map(|i| usize::try_from(extent[i]).ok());
    let (y0, y1, x0, x1) = (y0?, y1?, x0?, x1?);
    (y0 < y1 && y1 <= shape.0 && x0 < x1 && x1 <= shape.1).then_some(((y0, x0), (y1 - y0, x1 - x0)))
}

/// The bounding box of one component; its memory serves the next.
#[derive(Default)]
struct Crop {
    shape: (usize, usize),
    mask: Vec<u8>,
    /// 0 outside the component.
    centre: Vec<f32>,
    landscape: Vec<f32>,
    markers: Vec<i32>,
    labels: Vec<i32>,
}

impl Crop {
    fn take(
        &mut self,
        number: i32,
        origin: (usize, usize),
        shape: (usize, usize),
        components: View2<'_, i32>,
        centre: View2<'_, f32>,
    ) {
        self.shape = shape;
        self.mask.clear();
        self.centre.clear();
        for y in origin.0..origin.0 + shape.0 {
            for x in origin.1..origin.1 + shape.1 {
                let own = components.get(y, x) == number;
                self.mask.push(u8::from(own));
                self.centre.push(if own { centre.get(y, x) } else { 0.0 });
            }
        }
    }

    /// Fills `labels` with 1, 2, …, and says how many.
    fn split(&mut self, origin: (usize, usize), depth: View2<'_, f32>, seeding: Seeding) -> Result<i32> {
        let mut seeds = self.seeds(seeding);
        if seeds.len() > 1 {
            self.landscape.clear();
            let rows = origin.0..origin.0 + self.shape.0;
            let columns = || origin.1..origin.1 + self.shape.1;
            self.landscape.extend(rows.flat_map(|y| columns().map(move |x| -depth.get(y, x))));
            for (value, &own) in self.landscape.iter_mut().zip(&self.mask) {
                *value = if own != 0 { *value } else { 0.0 };
            }
        }
        while seeds.len() > 1 {
            self.markers.clear();
            self.markers.resize(self.mask.len(), 0);
            (1..).zip(&seeds).for_each(|(label, &at)| self.markers[at] = label);
            self.labels.resize(self.mask.len(), 0);
            watershed(
                View2::from_slice(&self.landscape, self.shape),
                View2::from_slice(&self.markers, self.shape),
                Some(View2::from_slice(&self.mask, self.shape)),
                2,
                ViewMut2::from_slice(&mut self.labels, self.shape),
            )?;
            let mut areas = vec![0; seeds.len() + 1];
            self.labels.iter().for_each(|&label| areas[label as usize] += 1);
            let count = seeds.len();
            let mut area = areas[1..].iter();
            seeds.retain(|_| *area.next().expect("one a seed") >= seeding.min_area);
            if seeds.len() == count {
                return Ok(self.join(count, seeding.valley));
            }
        }
        self.labels.clear();
        self.labels.extend(self.mask.iter().map(|&own| i32::from(own)));
        Ok(1)
    }

    /// Joins the basins that no valley parts, numbers those left in the order of their first seeds, and counts them.
    fn join(&mut self, count: usize, valley: f32) -> i32 {
        let mut summits = vec![0f32; count + 1];
        for (&label, &value) in self.labels.iter().zip(&self.landscape) {
            let summit = &mut summits[label as usize];
            *summit = summit.max(-value);
        }
        let mut passes: Vec<_> = self.passes().into_iter().collect();
        // The highest first; where equal, in the order of their basins.
        passes.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let mut roots: Vec<usize> = (0..=count).collect();
        for ((a, b), height) in passes {
            let (a, b) = (root(&mut roots, a), root(&mut roots, b));
            if a != b && height > valley * summits[a].min(summits[b]) {
                // A root is the first of its basins.
                let (first, other) = (a.min(b), a.max(b));
                roots[other] = first;
                summits[first] = summits[first].max(summits[other]);
            }
        }
        let mut numbers = vec![0; count + 1];
        let mut left = 0;
        for label in 1..=count {
            let own = root(&mut roots, label);
            if own == label {
                left += 1;
                numbers[label] = left;
            }
            numbers[label] = numbers[own];
        }
        self.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        left
    }

    /// The highest pass between each two basins that touch, over sides and corners.
    fn passes(&self) -> BTreeMap<(usize, usize), f32> {
        let (ny, nx) = self.shape;
        let mut passes = BTreeMap::new();
        let mut meet = |at: usize, other: usize| {
            let (a, b) = (self.labels[at] as usize, self.labels[other] as usize);
            if a != b && a > 0 && b > 0 {
                let height = -self.landscape[at].max(self.landscape[other]);
                let pass = passes.entry((a.min(b), a.max(b))).or_insert(height);
                *pass = height.max(*pass);
            }
        };
        for at in 0..ny * nx {
            let (x, below) = (at % nx, at + nx);
            if x + 1 < nx {
                meet(at, at + 1);
            }
            if below < ny * nx {
                meet(at, below);
                if x + 1 < nx {
                    meet(at, below + 1);
                    meet(at + 1, below);
                }
            }
        }
        passes
    }

    /// The local maxima, in scan order.
    fn seeds(&self, seeding: Seeding) -> Vec<usize> {
        let (ny, nx) = self.shape;
        let reach = |at: usize, n: usize| at.saturating_sub(seeding.distance)..n.min(at + seeding.distance + 1);
        let is_seed = |&at: &usize| {
            let height = self.centre[at];
            height > seeding.threshold
                && reach(at / nx, ny).all(|y| {
                    reach(at % nx, nx).all(|x| {
                        let other = y * nx + x;
                        self.centre[other] < height || (other >= at && self.centre[other] == height)
                    })
                })
        };
        (0..ny * nx).filter(is_seed).collect()
    }

    fn paint(&self, origin: (usize, usize), first: i32, out: &mut ViewMut2<'_, i32>) {
        for (y, row) in self.labels.chunks_exact(self.shape.1).enumerate() {
            let target = &mut out.row_mut(origin.0 + y)[origin.1..][..self.shape.1];
            target.iter_mut().zip(row).filter(|(_, label)| **label > 0).for_each(|(t, label)| *t = first + label - 1);
        }
    }
}

fn root(roots: &mut [usize], mut at: usize) -> usize {
    while roots[at] != at {
        roots[at] = roots[roots[at]];
        at = roots[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDING: Seeding = Seeding { threshold: 0.3, distance: 1, min_area: 2, valley: 1.0 };

    fn split(
        components: &[i32],
        extents: &[Extent],
        which: &[usize],
        centre: &[f32],
        depth: &[f32],
    ) -> Result<(Vec<i32>, Vec<i32>)> {
        split_with(SEEDING, components, extents, which, centre, depth)
    }

    fn split_with(
        seeding: Seeding,
        components: &[i32],
        extents: &[Extent],
        which: &[usize],
        centre: &[f32],
        depth: &[f32],
    ) -> Result<(Vec<i32>, Vec<i32>)> {
        let shape = (1, components.len());
        let mut out = vec![0; components.len()];
        let counts = split_by_seeds(
            View2::from_slice(components, shape),
            extents,
            which,
            View2::from_slice(centre, shape),
            View2::from_slice(depth, shape),
            seeding,
            7,
            ViewMut2::from_slice(&mut out, shape),
        )?;
        Ok((counts, out))
    }

    #[test]
    fn a_valley_parts_two_seeds_and_a_small_basin_is_flooded() {
        let components = [1, 1, 1, 1, 1, 0, 2, 2, 2, 3];
        let extents = [[0, 1, 0, 5, 5], [0, 1, 6, 9, 3], [0, 1, 9, 10, 1]];
        let centre = [0.1, 0.9, 0.1, 0.8, 0.1, 1.0, 0.5, 0.1, 0.6, 0.9];
        let depth = [0.5, 1.0, 0.1, 0.9, 0.5, 0.0, 0.5, 0.4, 0.9, 0.9];
        let (counts, labels) = split(&components, &extents, &[1, 2], &centre, &depth).unwrap();
        // The pixel between the first two is reached by the deeper first; of the second component, one basin is a pixel.
        assert_eq!((counts, labels), (vec![2, 1], vec![7, 7, 7, 8, 8, 0, 9, 9, 9, 0]));
    }

    #[test]
    fn summits_that_no_valley_parts_are_one_object() {
        let centre = [0.0, 0.9, 0.0, 0.0, 0.8, 0.0, 0.0, 0.9, 0.0];
        let depth = [0.3, 1.0, 0.7, 0.7, 0.9, 0.3, 0.3, 1.0, 0.3];
        let join = |valley| {
            let seeding = Seeding { valley, ..SEEDING };
            split_with(seeding, &[1; 9], &[[0, 1, 0, 9, 9]], &[1], &centre, &depth).unwrap()
        };
        // The pass of 0.7 is higher than three quarters of the summit of 0.9, that of 0.3 is not.
        assert_eq!(join(0.75), (vec![2], vec![7, 7, 7, 7, 7, 7, 8, 8, 8]));
        assert_eq!(join(0.8).0, vec![3]);
        assert_eq!(join(0.2), (vec![1], vec![7; 9]));
    }

    #[test]
    fn wrong_extents_are_told() {
        for (extents, which) in [([[0, 1, 0, 3, 3]], [2]), ([[0, 1, 0, 3, 3]], [0]), ([[0, 2, 0, 3, 3]], [1])] {
            assert!(split(&[1, 1, 1], &extents, &which, &[0.0; 3], &[0.0; 3]).is_err());
        }
    }
}
