//! Exact 2-D median.
//!
//! Very small square windows are sorted by columns ([`rows`]), small ones go through selection networks ([`strips`]), the others through histograms of columns ([`large`]);
//! very long ones, and small ones with a NaN in them, through a sliding histogram of ranks ([`histogram`]).

mod histogram;
mod large;
mod mend;
mod rows;
mod strips;

use crate::{Border, Error, Pixel, Result, View2, ViewMut2, simd};

/// What a NaN in the window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nan {
    /// It is left out: the result has rank `n / 2` among the `n` others, and is NaN only where there are none.
    Ignore,
    /// It makes the result NaN.
    Propagate,
}

/// The median of the window `size` around each pixel: rows `y - ky / 2 .. y - ky / 2 + ky`, columns likewise, rank
/// `ky * kx / 2`.
///
/// Parity: `scipy.ndimage.median_filter(a, size, mode=border, cval=0)`, bit for bit where no NaN is in reach (zeros of
/// different sign are equal to scipy, ordered here).
pub fn median_filter<T: Pixel>(
    a: View2<'_, T>,
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    if rows::fits(size) {
        return rows::filter(a, size.0, border, nan, out, threads);
    }
    let networks = strips::Networks::of::<T>(size.0, simd::level());
    if let Some(networks) = networks.filter(|_| size.0 == size.1) {
        return networks.filter(a, border, nan, out, threads);
    }
    let (rows, cols): (Vec<_>, Vec<_>) = ((0..a.shape().0).collect(), (0..a.shape().1).collect());
    median_at(a, &rows, &cols, size, border, nan, out, threads)
}

/// [`median_filter`], evaluated only where `rows` and `cols` (both ascending) cross.
#[allow(clippy::too_many_arguments)]
pub fn median_at<T: Pixel>(
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::Value(format!("size {size:?}: a window has at least one pixel a side")));
    }
    let (ny, nx) = a.shape();
    let large = large::fits(size);
    if !large && !histogram::fits(size, (ny, nx)) {
        return Err(Error::Value(format!("size {size:?}: the window is too large, a side of 10000 is about the most")));
    }
    if out.shape() != (rows.len(), cols.len()) {
        let got = vec![out.shape().0, out.shape().1];
        return Err(Error::Shape { name: "out", got, expected: vec![rows.len(), cols.len()] });
    }
    if rows.iter().any(|&y| y >= ny) || cols.iter().any(|&x| x >= nx) {
        return Err(Error::Value(format!("median_at: rows and columns must lie inside {:?}", a.shape())));
    }
    if !(rows.is_sorted() && cols.is_sorted()) {
        return Err(Error::Value("median_at: rows and columns must ascend".into()));
    }
    if rows.is_empty() || cols.is_empty() {
        return Ok(());
    }
    let run = if large { large::median_large } else { histogram::median_any };
    run(a, rows, cols, size, border, nan, out, threads);
    Ok(())
}

/// Cuts ascending `nodes` into runs that each span at most `reach` pixels.
fn cuts(nodes: &[usize], reach: usize) -> Vec<usize> {
    let mut cuts = vec![0];
    for (i, &node) in nodes.iter().enumerate() {
        if node - nodes[cuts[cuts.len() - 1]] >= reach {
            cuts.push(i);
        }
    }
    cuts.push(nodes.len());
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BORDERS: [Border; 5] = [Border::Reflect, Border::Mirror, Border::Nearest, Border::Wrap, Border::Constant];

    fn brute(a: &[f32], shape: (usize, usize), size: (usize, usize), border: Border, nan: Nan) -> Vec<f32> {
        let pixel = |y: isize, x: isize| match (border.source(y, shape.0), border.source(x, shape.1)) {
            (Some(y), Some(x)) => a[y * shape.1 + x],
            _ => 0.0,
        };
        let median = |y: usize, x: usize| {
            let (top, left) = (y as isize - (size.0 / 2) as isize, x as isize - (size.1 / 2) as isize);
            let window = (0..size.0 as isize).flat_map(|dy| (0..size.1 as isize).map(move |dx| (top + dy, left + dx)));
            let mut values: Vec<f32> = window.map(|(y, x)| pixel(y, x)).filter(|v| !v.is_nan()).collect();
            values.sort_by(f32::total_cmp);
            let spoilt = nan == Nan::Propagate && values.len() < size.0 * size.1;
            if spoilt || values.is_empty() { f32::NAN } else { values[values.len() / 2] }
        };
        (0..shape.0).flat_map(|y| (0..shape.1).map(move |x| (y, x))).map(|(y, x)| median(y, x)).collect()
    }

    fn bits(a: &[f32]) -> Vec<u32> {
        a.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn equals_brute_force(
            (shape, a) in (1usize..12, 1usize..12).prop_flat_map(|(ny, nx)| {
                let pixel = prop_oneof![-2i8..3, -2i8..3, Just(i8::MIN)];
                let pixel = pixel.prop_map(|v| if v == i8::MIN { f32::NAN } else { f32::from(v) });
                (Just((ny, nx)), prop::collection::vec(pixel, ny * nx))
            }),
            size in (1usize..16, 1usize..16),
            border in prop::sample::select(&BORDERS),
            nan in prop::sample::select(&[Nan::Ignore, Nan::Propagate]),
        ) {
            let mut out = vec![9.0; a.len()];
            let target = ViewMut2::from_slice(&mut out, shape);
            median_filter(View2::from_slice(&a, shape), size, border, nan, target, Some(2)).unwrap();
            prop_assert_eq!(bits(&out), bits(&brute(&a, shape, size, border, nan)));
        }
    }

    #[test]
    fn blocks_join_without_seams() {
        let shape = (150, 300);
        let a: Vec<f32> = (0..shape.0 * shape.1).map(|i| (i * 7919 % 1009) as f32).collect();
        let expected = brute(&a, shape, (3, 4), Border::Mirror, Nan::Ignore);
        for threads in [1, 3] {
            let mut out = vec![9.0; a.len()];
            let target = ViewMut2::from_slice(&mut out, shape);
            median_filter(View2::from_slice(&a, shape), (3, 4), Border::Mirror, Nan::Ignore, target, Some(threads))
                .unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn arguments_are_checked() {
        let a = [1.0f32; 4];
        let mut out = [0.0; 4];
        let view = View2::from_slice(&a, (2, 2));
        for size in [(0, 3), (usize::MAX, usize::MAX), (1 << 16, 1 << 16)] {
            let target = ViewMut2::from_slice(&mut out, (2, 2));
            assert!(median_filter(view, size, Border::Reflect, Nan::Ignore, target, None).is_err());
        }
        let target = ViewMut2::from_slice(&mut out[..2], (1, 2));
        assert!(median_filter(view, (3, 3), Border::Reflect, Nan::Ignore, target, None).is_err());
    }
}
