//! Seeded watershed.

use crate::{Error, Result, View2, ViewMut2};

/// Neighbours in the order they are visited: row-major, sides before corners.
const NEIGHBOURS: [(isize, isize); 8] = [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)];

/// A pixel that waits to pass its label on: its height and its age in one number, and where it lies.
#[derive(Clone, Copy)]
struct Entry {
    priority: u64,
    index: u32,
}

/// A binary heap whose order of equal entries (markers have no age) is part of the result; `std`'s promises none.
#[derive(Default)]
struct Heap(Vec<Entry>);

impl Heap {
    fn push(&mut self, entry: Entry) {
        let mut hole = self.0.len();
        self.0.push(entry);
        while hole > 0 {
            let parent = (hole - 1) / 2;
            if entry.priority >= self.0[parent].priority {
                break;
            }
            self.0[hole] = self.0[parent];
            hole = parent;
        }
        self.0[hole] = entry;
    }

    fn pop(&mut self) -> Option<Entry> {
        let moved = self.0.pop()?;
        let Some(&top) = self.0.first() else { return Some(moved) };
        let mut hole = 0;
        loop {
            let left = 2 * hole + 1;
            if left >= self.0.len() {
                break;
            }
            let right = left + usize::from(left + 1 < self.0.len());
            let least = if self.0[right].priority < self.0[left].priority { right } else { left };
            if self.0[least].priority >= moved.priority {
                break;
            }
            self.0[hole] = self.0[least];
            hole = least;
        }
        self.0[hole] = moved;
        Some(top)
    }
}

/// Floods `landscape` from `markers` (non-zero labels), lowest pixels first, inside `mask` (non-zero); `out` holds the
/// labels, 0 where no flood comes. `connectivity` is 1 (sides) or 2 (corners too).
///
/// A pixel is labelled by the first neighbour that reaches it. It passes the label on at its own height, or at that of
/// the highest ridge on the flood's way from its marker; of equals the one waiting longer goes first (Soille & Ansoult
/// 1990, doi:10.1016/0165-1684(90)90127-K). Serial, hence deterministic.
///
/// Parity: `skimage.segmentation.watershed(landscape, markers, mask=mask, connectivity=connectivity)`, every pixel.
pub fn watershed(
    landscape: View2<'_, f32>,
    markers: View2<'_, i32>,
    mask: Option<View2<'_, u8>>,
    connectivity: u8,
    mut out: ViewMut2<'_, i32>,
) -> Result<()> {
    let neighbours = match connectivity {
        1 => &NEIGHBOURS[..4],
        2 => &NEIGHBOURS[..],
        _ => return Err(Error::Value(format!("connectivity={connectivity}: must be 1 (sides) or 2 (corners too)"))),
    };
    let (ny, nx) = landscape.shape();
    let shapes = [("markers", Some(markers.shape())), ("mask", mask.map(|m| m.shape())), ("out", Some(out.shape()))];
    for (name, shape) in shapes {
        if let Some(got) = shape.filter(|&got| got != (ny, nx)) {
            return Err(Error::Shape { name, got: vec![got.0, got.1], expected: vec![ny, nx] });
        }
    }

    if u32::try_from((ny + 2) * (nx + 2)).is_err() {
        return Err(Error::Value(format!(
            "watershed: an image of ({ny}, {nx}) pixels is too large; cut it into tiles"
        )));
    }
    let mut basin = Basin::new(landscape, markers, mask)?;
    let steps: Vec<isize> = neighbours.iter().map(|(dy, dx)| dy * basin.width as isize + dx).collect();
    let mut heights: Vec<u32> = basin.seeds.iter().map(|&i| key(basin.height[i as usize])).collect();
    heights.sort_unstable();
    if heights.windows(2).any(|pair| pair[0] == pair[1]) {
        basin.flood_by_heap(&steps);
    } else {
        basin.flood_by_levels(&steps);
    }
    for (y, row) in out.rows_mut().into_iter().enumerate() {
        row.copy_from_slice(&basin.labels[(y + 1) * basin.width + 1..][..nx]);
    }
    Ok(())
}

/// What is flooded; a frame of pixels outside the mask spares all tests at the borders.
struct Basin {
    width: usize,
    height: Vec<f32>,
    labels: Vec<i32>,
    /// Inside the mask, and not reached yet.
    dry: Vec<bool>,
    seeds: Vec<u32>,
}

impl Basin {
    fn new(landscape: View2<'_, f32>, markers: View2<'_, i32>, mask: Option<View2<'_, u8>>) -> Result<Self> {
        let (ny, nx) = landscape.shape();
        let width = nx + 2;
        let mut height = vec![0f32; (ny + 2) * width];
        let mut labels = vec![0i32; (ny + 2) * width];
        let mut dry = vec![false; (ny + 2) * width];
        let mut seeds = Vec::new();
        let mut inside = vec![1u8; nx];
        for y in 0..ny {
            let start = (y + 1) * width + 1;
            let (heights, labels) = (&mut height[start..start + nx], &mut labels[start..start + nx]);
            landscape.copy_row(y, heights);
            markers.copy_row(y, labels);
            if let Some(mask) = mask {
                mask.copy_row(y, &mut inside);
            }
            for (x, dry) in dry[start..start + nx].iter_mut().enumerate() {
                if inside[x] == 0 {
                    labels[x] = 0;
                } else if heights[x].is_nan() {
                    return Err(Error::Value(format!(
                        "landscape is NaN at ({y}, {x}): leave such pixels out by the mask"
                    )));
                } else if labels[x] != 0 {
                    seeds.push((start + x) as u32);
                } else {
                    *dry = true;
                }
            }
        }
        Ok(Self { width, height, labels, dry, seeds })
    }

    /// The flood where no two markers lie equally high. A flood never falls, so that its heights are visited in ascending
    /// order and, at one height, in the order of arrival: one queue a height, first in, first out, replaces the heap.
    fn flood_by_levels(&mut self, steps: &[isize]) {
        const NONE: u32 = u32::MAX;
        let Self { height, labels, dry, seeds, .. } = self;
        let pixels = (0..dry.len() as u32).filter(|&i| dry[i as usize]).chain(seeds.iter().copied());
        let mut order: Vec<u64> = pixels.map(|i| u64::from(key(height[i as usize])) << 32 | u64::from(i)).collect();
        order.sort_unstable();
        let mut levels = vec![0u32; labels.len()];
        let mut count = 0;
        for (i, &entry) in order.iter().enumerate() {
            count += u32::from(i > 0 && order[i - 1] >> 32 != entry >> 32);
            levels[entry as u32 as usize] = count;
        }
        drop(order);
        // A queue is a chain of pixels; each pixel waits in one at most.
        let mut first = vec![NONE; count as usize + 1];
        let mut last = vec![NONE; count as usize + 1];
        let mut after = vec![NONE; labels.len()];
        let mut push = |first: &mut [u32], after: &mut [u32], level: u32, pixel: usize| {
            let tail = std::mem::replace(&mut last[level as usize], pixel as u32);
            // A queue that ran dry keeps its old tail: what counts is its head.
            if first[level as usize] == NONE {
                first[level as usize] = pixel as u32;
            } else {
                after[tail as usize] = pixel as u32;
            }
        };
        for &seed in seeds.iter() {
            push(&mut first, &mut after, levels[seed as usize], seed as usize);
        }
        for level in 0..=count {
            while first[level as usize] != NONE {
                let pixel = first[level as usize] as usize;
                first[level as usize] = after[pixel];
                for &step in steps {
                    let next = pixel.wrapping_add_signed(step);
                    if dry[next] {
                        dry[next] = false;
                        labels[next] = labels[pixel];
                        // The flood does not fall behind a ridge.
                        push(&mut first, &mut after, levels[next].max(level), next);
                    }
                }
            }
        }
    }

    /// The flood in general: of markers that lie equally high, the heap's own order decides, as in scikit-image.
    fn flood_by_heap(&mut self, steps: &[isize]) {
        let Self { height, labels, dry, seeds, .. } = self;
        let mut heap = Heap::default();
        for &index in seeds.iter() {
            heap.push(Entry { priority: u64::from(key(height[index as usize])) << 32, index });
        }
        let mut age = 0;
        while let Some(Entry { priority, index }) = heap.pop() {
            for &step in steps {
                let next = (index as usize).wrapping_add_signed(step);
                if dry[next] {
                    dry[next] = false;
                    labels[next] = labels[index as usize];
                    age += 1;
                    // The flood does not fall behind a ridge.
                    let level = u64::from(key(height[next])).max(priority >> 32);
                    heap.push(Entry { priority: level << 32 | age, index: next as u32 });
                }
            }
        }
    }
}

/// An integer that orders as the value does; both zeros are one.
fn key(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_meet_on_the_ridge_and_keep_to_the_mask() {
        let landscape = [0.0, 1.0, 5.0, 1.0, 0.0, 0.0];
        let markers = [1, 0, 0, 0, 2, 0];
        let mask = [1, 1, 1, 1, 1, 0];
        let mut out = [9; 6];
        let shape = (1, 6);
        watershed(
            View2::from_slice(&landscape, shape),
            View2::from_slice(&markers, shape),
            Some(View2::from_slice(&mask, shape)),
            1,
            ViewMut2::from_slice(&mut out, shape),
        )
        .unwrap();
        assert_eq!(out, [1, 1, 1, 2, 2, 0]);
    }

    #[test]
    fn corners_count_with_connectivity_two_only() {
        let (landscape, markers) = ([0.0; 4], [3, 0, 0, 0]);
        let mask = [1, 0, 0, 1];
        let mut out = [9; 4];
        for (connectivity, expected) in [(1, [3, 0, 0, 0]), (2, [3, 0, 0, 3])] {
            watershed(
                View2::from_slice(&landscape, (2, 2)),
                View2::from_slice(&markers, (2, 2)),
                Some(View2::from_slice(&mask, (2, 2))),
                connectivity,
                ViewMut2::from_slice(&mut out, (2, 2)),
            )
            .unwrap();
            assert_eq!(out, expected);
        }
    }
}
