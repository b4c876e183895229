//! Measurements of labelled objects, in one pass over the pixels.

use rayon::prelude::*;

use crate::{Error, Result, View2, with_threads};

/// What is summed over the pixels of one object in one band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandSums {
    /// Sum of the sky-subtracted pixels that have data.
    pub flux: f64,
    /// Sum of their variances.
    pub variance: f64,
    /// Their largest value; NaN where no pixel has data.
    pub peak: f64,
    /// Their number.
    pub pixels: u64,
}

/// What is known of one object after the pass.
///
/// Moments are taken about the anchor, so that they do not depend, to the last bit, on where the image was cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The object's first pixel in scan order, `(y, x)`.
    pub anchor: (i32, i32),
    /// `y0, y1, x0, x1`, half-open.
    pub bounds: [i32; 4],
    /// Number of pixels.
    pub area: u64,
    /// Sum of the weights (the detection image, its negative pixels taken as 0).
    pub weight: f64,
    /// Sums of `w dx`, `w dy`, with `d` the offset from the anchor.
    pub first: [f64; 2],
    /// Sums of `w dx^2`, `w dy^2`, `w dx dy`.
    pub second: [f64; 3],
    /// Largest pixel of the detection image.
    pub peak: f64,
    /// Bitwise or of the pixels' flags.
    pub flags: u8,
    /// One entry a band.
    pub bands: Vec<BandSums>,
}

impl Object {
    fn new(y: i32, x: i32, bands: usize) -> Self {
        let empty = BandSums { flux: 0.0, variance: 0.0, peak: f64::NAN, pixels: 0 };
        Self {
            anchor: (y, x),
            bounds: [y, y + 1, x, x + 1],
            area: 0,
            weight: 0.0,
            first: [0.0; 2],
            second: [0.0; 3],
            peak: f64::NEG_INFINITY,
            flags: 0,
            bands: vec![empty; bands],
        }
    }
}

/// The images that objects are measured on; all of one shape.
#[derive(Debug)]
pub struct Planes<'a> {
    /// Detection image: weights of the centroid and the shape.
    pub detection: View2<'a, f32>,
    /// Bits that an object inherits from its pixels.
    pub flags: View2<'a, u8>,
    /// Sky-subtracted pixels, one image a band; not finite where there is no data.
    pub flux: Vec<View2<'a, f32>>,
    /// Noise (1 sigma) of those pixels, one image a band.
    pub sigma: Vec<View2<'a, f32>>,
}

/// Measures the objects 1 to `count` of `labels`; a label without pixels gives `None`.
///
/// `origin` is the position `(y, x)` of the first pixel in the mosaic. Sums are in float64 and run over an object's pixels in scan order,
/// so that they are the same in every window that holds the whole object.
pub fn measure(
    labels: View2<'_, i32>,
    count: usize,
    planes: &Planes<'_>,
    origin: (i32, i32),
    threads: Option<usize>,
) -> Result<Vec<Option<Object>>> {
    let (ny, nx) = labels.shape();
    let bands = planes.flux.len();
    let shapes = [("detection", planes.detection.shape()), ("flags", planes.flags.shape())]
        .into_iter()
        .chain(planes.flux.iter().map(|p| ("flux", p.shape())))
        .chain(planes.sigma.iter().map(|p| ("sigma", p.shape())));
    for (name, shape) in shapes {
        if shape != (ny, nx) {
            return Err(Error::Shape { name, got: vec![shape.0, shape.1], expected: vec![ny, nx] });
        }
    }
    if planes.sigma.len() != bands {
        return Err(Error::Shape { name: "sigma", got: vec![planes.sigma.len()], expected: vec![bands] });
    }
    with_threads(threads, || {
        let strips = rayon::current_num_threads().min(ny);
        if strips < 2 {
            return measure_rows(labels, 0..ny, |_| true, count, planes, origin);
        }
        // Each object belongs to the strip of rows where it begins, which follows it to its end: its sums are taken by one
        // thread, in scan order, as if there were only one.
        let extents = extents(labels, count)?;
        let height = ny.div_ceil(strips);
        let owner = |label: usize| extents[label].0 / height;
        let mut ends = vec![0; ny.div_ceil(height)];
        for (label, &(_, end)) in extents.iter().enumerate().filter(|(_, (_, end))| *end > 0) {
            ends[owner(label)] = end.max(ends[owner(label)]);
        }
        let parts: Vec<_> = ends
            .into_par_iter()
            .enumerate()
            .map(|(i, end)| measure_rows(labels, i * height..end, |label| owner(label) == i, count, planes, origin))
            .collect::<Result<_>>()?;
        let mut parts = parts.into_iter();
        let mut objects = parts.next().unwrap_or_default();
        for part in parts {
            for (object, measured) in objects.iter_mut().zip(part) {
                if measured.is_some() {
                    *object = measured;
                }
            }
        }
        Ok(objects)
    })
}

/// First row, and the one after the last, of each label; zeros where it has no pixel.
fn extents(labels: View2<'_, i32>, count: usize) -> Result<Vec<(usize, usize)>> {
    let boxes = crate::labels::extents(labels, count)?;
    Ok(boxes.into_iter().map(|[y0, y1, ..]| (y0 as usize, y1 as usize)).collect())
}

/// Measures, in some rows, the objects that `is_mine` names (by label less one).
fn measure_rows(
    labels: View2<'_, i32>,
    rows: std::ops::Range<usize>,
    is_mine: impl Fn(usize) -> bool,
    count: usize,
    planes: &Planes<'_>,
    origin: (i32, i32),
) -> Result<Vec<Option<Object>>> {
    let (nx, bands) = (labels.shape().1, planes.flux.len());
    let mut objects: Vec<Option<Object>> = vec![None; count];
    let mut row = vec![0; nx];
    for y in rows {
        labels.copy_row(y, &mut row);
        for (x, &label) in row.iter().enumerate().filter(|&(_, &label)| label != 0) {
            let index = usize::try_from(label).map_or(usize::MAX, |label| label - 1);
            let Some(slot) = objects.get_mut(index) else {
                return Err(Error::Value(format!("labels: {label} at ({y}, {x}) is not in 1..={count}")));
            };
            if !is_mine(index) {
                continue;
            }
            let (my, mx) = (origin.0 + y as i32, origin.1 + x as i32);
            let object = slot.get_or_insert_with(|| Object::new(my, mx, bands));
            let [_, y1, x0, x1] = &mut object.bounds;
            (*y1, *x0, *x1) = (my + 1, (*x0).min(mx), (*x1).max(mx + 1));
            object.area += 1;
            object.flags |= planes.flags.get(y, x);

            let detection = f64::from(planes.detection.get(y, x));
            object.peak = object.peak.max(detection);
            let w = detection.max(0.0);
            let (dy, dx) = (f64::from(my - object.anchor.0), f64::from(mx - object.anchor.1));
            object.weight += w;
            object.first[0] += w * dx;
            object.first[1] += w * dy;
            object.second[0] += w * dx * dx;
            object.second[1] += w * dy * dy;
            object.second[2] += w * dx * dy;

            for ((sums, flux), sigma) in object.bands.iter_mut().zip(&planes.flux).zip(&planes.sigma) {
                let (f, s) = (f64::from(flux.get(y, x)), f64::from(sigma.get(y, x)));
                if f.is_finite() && s.is_finite() {
                    sums.flux += f;
                    sums.variance += s * s;
                    sums.peak = sums.peak.max(f);
                    sums.pixels += 1;
                }
            }
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_equal_a_plain_loop_and_do_not_depend_on_the_window(
            labels in prop::collection::vec(0i32..4, 48),
            pixels in prop::collection::vec(-5f32..50.0, 48),
            margin in 0usize..4,
        ) {
            let (ny, nx) = (6, 8);
            let run = |labels: &[i32], pixels: &[f32], shape, origin| {
                let view = View2::from_slice(pixels, shape);
                let flags = vec![1u8; pixels.len()];
                let planes = Planes {
                    detection: view, flags: View2::from_slice(&flags, shape), flux: vec![view], sigma: vec![view],
                };
                measure(View2::from_slice(labels, shape), 3, &planes, origin, Some(1 + margin)).unwrap()
            };
            let objects = run(&labels, &pixels, (ny, nx), (100, 200));
            for (i, object) in objects.iter().enumerate() {
                let members: Vec<usize> = (0..48).filter(|&p| labels[p] == i as i32 + 1).collect();
                prop_assert_eq!(object.is_some(), !members.is_empty());
                if let Some(o) = object {
                    prop_assert_eq!(o.area as usize, members.len());
                    prop_assert_eq!(o.bands[0].flux, members.iter().map(|&p| f64::from(pixels[p])).sum::<f64>());
                    prop_assert_eq!(o.anchor, (100 + (members[0] / nx) as i32, 200 + (members[0] % nx) as i32));
                }
            }
            // The same pixels inside a wider window: equal to the last bit.
            let wide = (ny + 2 * margin, nx + 2 * margin);
            let (mut wide_labels, mut wide_pixels) = (vec![0; wide.0 * wide.1], vec![7.0; wide.0 * wide.1]);
            for p in 0..48 {
                let q = (p / nx + margin) * wide.1 + p % nx + margin;
                (wide_labels[q], wide_pixels[q]) = (labels[p], pixels[p]);
            }
            let origin = (100 - margin as i32, 200 - margin as i32);
            prop_assert_eq!(run(&wide_labels, &wide_pixels, wide, origin), objects);
        }
    }
}
