//! Seeded watershed.

use crate::{Error, Result, View2, ViewMut2};

/// Neighbours in the order they are visited: row-major, sides before corners.
const NEIGHBOURS: [(isize, isize); 8] = [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)];

/// A pixel that waits to pass its label on.
#[derive(Clone, Copy)]
struct Entry {
    value: f32,
    age: u64,
    index: usize,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Self) -> bool {
        if self.value != other.value { self.value < other.value } else { self.age < other.age }
    }
}

/// A binary heap whose order of equal entries (markers have no age) is part of the result; `std`'s promises none.
#[derive(Default)]
struct Heap(Vec<Entry>);

impl Heap {
    fn push(&mut self, entry: Entry) {
        let mut child = self.0.len();
        self.0.push(entry);
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.0[child].before(&self.0[parent]) {
                break;
            }
            self.0.swap(child, parent);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        if self.0.is_empty() {
            return None;
        }
        let top = self.0.swap_remove(0);
        let mut i = 0;
        loop {
            let mut least = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < self.0.len() && self.0[child].before(&self.0[least]) {
                    least = child;
                }
            }
            if least == i {
                return Some(top);
            }
            self.0.swap(i, least);
            i = least;
        }
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

    // A frame of pixels outside the mask spares all tests at the borders.
    let width = nx + 2;
    let mut height = vec![0f32; (ny + 2) * width];
    let mut labels = vec![0i32; (ny + 2) * width];
    let mut open = vec![false; (ny + 2) * width];
    for y in 0..ny {
        let start = (y + 1) * width + 1;
        landscape.copy_row(y, &mut height[start..start + nx]);
        markers.copy_row(y, &mut labels[start..start + nx]);
        for x in 0..nx {
            open[start + x] = mask.is_none_or(|m| m.get(y, x) != 0);
            if !open[start + x] {
                labels[start + x] = 0;
            } else if height[start + x].is_nan() {
                return Err(Error::Value(format!("landscape is NaN at ({y}, {x}): leave such pixels out by the mask")));
            }
        }
    }

    let mut heap = Heap::default();
    for index in (0..labels.len()).filter(|&i| labels[i] != 0) {
        heap.push(Entry { value: height[index], age: 0, index });
    }
    let mut age = 0;
    while let Some(Entry { value, index, .. }) = heap.pop() {
        for &(dy, dx) in neighbours {
            let next = index.wrapping_add_signed(dy * width as isize + dx);
            if open[next] && labels[next] == 0 {
                age += 1;
                labels[next] = labels[index];
                // The flood does not fall behind a ridge.
                let value = if height[next] < value { value } else { height[next] };
                heap.push(Entry { value, age, index: next });
            }
        }
    }
    for (y, row) in out.rows_mut().into_iter().enumerate() {
        row.copy_from_slice(&labels[(y + 1) * width + 1..][..nx]);
    }
    Ok(())
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
