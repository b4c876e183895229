//! Very small square windows: sorted columns, a vector of neighbouring columns at a time, combined along the row.
//!
//! Rows go through the first-level cache in chunks. Two rows of outputs share the sorted middle of their columns. NaN is
//! treated as by the networks ([`mend`]).

mod columns;
mod three;

use std::ops::Range;

use starnet_networks::Coding;

use columns::{HALVED, Key, combine, load, number, numbers_of, numbers_of_mut, sort_columns, store};

use super::Nan;
use super::mend::mend;
use super::strips::coding;
use crate::simd::Level;
use crate::threads::for_each;
use crate::{Border, Error, Pixel, Result, View2, ViewMut2};

/// Rows of outputs that are one task.
const BAND: usize = 64;

/// The largest window.
const MOST: usize = 5;

/// Whether there is a kernel for windows of this size.
pub(super) fn fits(size: (usize, usize)) -> bool {
    size.0 == size.1 && (2..=MOST).contains(&size.0)
}

/// [`median_filter`](super::median_filter) for the sizes that [`fits`].
pub(super) fn filter<T: Pixel>(
    level: Level,
    a: View2<'_, T>,
    size: usize,
    border: Border,
    nan: Nan,
    mut out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = a.shape();
    if out.shape() != (ny, nx) {
        let got = vec![out.shape().0, out.shape().1];
        return Err(Error::Shape { name: "out", got, expected: vec![ny, nx] });
    }
    if ny == 0 || nx == 0 {
        return Ok(());
    }
    let run = match size_of::<T>() {
        1 => band::<T, u8>,
        2 => band::<T, i16>,
        4 => band::<T, i32>,
        _ => band::<T, i64>,
    };
    for_each(
        threads,
        out.strips_mut(BAND),
        || (),
        |(), (top, mut out)| {
            run(level, a, size, top, border, nan, &mut out, threads);
        },
    );
    Ok(())
}

/// Rows `top..` of the outputs, of pixels `T` as numbers `K`.
#[allow(clippy::too_many_arguments)]
fn band<T: Pixel, K: Key>(
    level: Level,
    a: View2<'_, T>,
    size: usize,
    top: usize,
    border: Border,
    nan_policy: Nan,
    out: &mut ViewMut2<'_, T>,
    threads: Option<usize>,
) {
    let Some((_, coding)) = coding::<T>() else { unreachable!("a pixel of no known type") };
    let ((ny, nx), height, before) = (a.shape(), out.shape().0, size / 2);
    let pitch = K::PITCH;
    let chunk = pitch - K::MARGIN;
    let mut copy = vec![T::default(); pitch];
    let mut pixels = vec![K::default(); (size + 1) * pitch];
    let mut columns = vec![K::default(); 2 * size * pitch];
    let mut pairs = vec![K::default(); 2 * size * pitch];
    let mut medians = vec![K::default(); pitch];
    // Of each chunk, the last rows of outputs that saw a NaN.
    let mut spoilt = vec![0..0; nx.div_ceil(chunk)];
    for y in (0..height).step_by(2) {
        for (first, spoilt) in (0..nx).step_by(chunk).zip(&mut spoilt) {
            let whole = first..nx.min(first + chunk);
            let done =
                if size == 3 && T::NAN.is_none() { direct(level, a, top + y, whole.clone(), y, out) } else { None };
            let done = done.unwrap_or(whole.end..whole.end);
            for part in [whole.start..done.start, done.end..whole.end].into_iter().filter(|part| !part.is_empty()) {
                let (x, width) = (part.start, part.len());
                let n = width.next_multiple_of(K::MARGIN);
                let left = x as isize - before as isize;
                // Columns that are read in place, an even number; those of the windows beyond are looked up.
                let inside = left.max(0) as usize..nx.min((left + (n + K::MARGIN) as isize) as usize);
                let inside = inside.start..inside.end - inside.len() % 2;
                let beyond =
                    (left..inside.start as isize).chain(inside.end as isize..left + (width + size - 1) as isize);
                let mut nan = false;
                for (row, numbers) in pixels.chunks_exact_mut(pitch).enumerate() {
                    let numbers = &mut numbers[..n + K::MARGIN];
                    let Some(source) = border.source((top + y + row) as isize - before as isize, ny) else {
                        numbers.fill(number::<T, K>(T::default()).recode(coding));
                        continue;
                    };
                    let pixels = match a.row(source) {
                        Some(pixels) => &pixels[inside.clone()],
                        None => {
                            let copy = &mut copy[..inside.len()];
                            inside.clone().zip(&mut *copy).for_each(|(x, pixel)| *pixel = a.get(source, x));
                            copy
                        }
                    };
                    let start = (inside.start as isize - left) as usize;
                    nan |= load(level, numbers_of(pixels), coding, size == HALVED, start, numbers);
                    for x in beyond.clone() {
                        let pixel = border.source(x, nx).map_or(T::default(), |x| a.get(source, x));
                        nan |= pixel.is_nan();
                        let column = (x - left) as usize;
                        let half = numbers.len() / 2;
                        let at = if size == HALVED { column / 2 + column % 2 * half } else { column };
                        numbers[at] = number::<T, K>(pixel).recode(coding);
                    }
                }
                if nan {
                    if spoilt.end < y {
                        mend(
                            level,
                            a,
                            size,
                            (top, 0),
                            (spoilt.clone(), whole.clone()),
                            border,
                            nan_policy,
                            out,
                            threads,
                        );
                        *spoilt = y..y;
                    }
                    spoilt.end = height.min(y + 2);
                }
                if size == 3 && coding == Coding::Float && y + 1 < height {
                    let [p, q, r, s] = [0, 1, 2, 3].map(|row| &pixels[row * pitch..][..width + 2]);
                    let [a, b] = out.two_rows_mut(y).map(|row| numbers_of_mut(&mut row[x..][..width]));
                    three::float_medians(level, p, q, r, s, a, b);
                    continue;
                }
                sort_columns(level, size, n + K::MARGIN, &pixels, &mut columns);
                for (row, columns) in (y..height).zip(columns.chunks_exact(size * pitch)) {
                    combine(level, size, columns, &mut pairs, &mut medians[..n]);
                    store(
                        level,
                        &medians[..n],
                        coding,
                        size == HALVED,
                        numbers_of_mut(&mut out.row_mut(row)[x..][..width]),
                    );
                }
            }
        }
    }
    for (x, spoilt) in (0..nx).step_by(chunk).zip(spoilt) {
        mend(level, a, size, (top, 0), (spoilt, x..nx.min(x + chunk)), border, nan_policy, out, threads);
    }
}

/// Fills what it can of the columns `x` of two rows of outputs of 3 by 3 pixels, those of the image's rows `y` and `y + 1`,
/// from row `row` of `out` on; returns the columns, if any.
fn direct<T: Pixel>(
    level: Level,
    a: View2<'_, T>,
    y: usize,
    x: Range<usize>,
    row: usize,
    out: &mut ViewMut2<'_, T>,
) -> Option<Range<usize>> {
    let (ny, nx) = a.shape();
    let x = x.start.max(1)..x.end.min(nx.saturating_sub(1));
    if x.is_empty() || y == 0 || y + 2 >= ny || row + 1 >= out.shape().0 {
        return None;
    }
    let pixels = |y: usize| a.row(y).map(|row| &row[x.start - 1..x.end + 1]);
    let (p, q, r, s) = (pixels(y - 1)?, pixels(y)?, pixels(y + 1)?, pixels(y + 2)?);
    let [a, b] = out.two_rows_mut(row).map(|row| &mut row[x.clone()]);
    three::medians(level, p, q, r, s, a, b);
    Some(x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{BORDERS, brute, keys};
    use super::*;

    /// Pixels of few values, a NaN (of types that have one) where `nan` says so.
    fn image<T: Pixel>(n: usize, seed: u64, nan: u64) -> Vec<T> {
        let random = |i: usize| (i as u64 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let half = T::default().key();
        let number = |r: u64| {
            if r.is_multiple_of(3) { r << 40 >> (64 - T::BITS) } else { half.wrapping_add(r % 9).wrapping_sub(4) }
        };
        let number = |r: u64| T::from_key(number(r) & (u64::MAX >> (64 - T::BITS)));
        let pixel = |r: u64| T::NAN.filter(|_| nan > 0 && (r / 16).is_multiple_of(nan)).unwrap_or(number(r));
        (0..n).map(|i| pixel(random(i))).collect()
    }

    fn check<T: Pixel + std::fmt::Debug>(
        shape: (usize, usize),
        size: usize,
        border: Border,
        nan: Nan,
        seed: u64,
        every: u64,
        step: usize,
    ) -> std::result::Result<(), TestCaseError> {
        let (ny, nx) = shape;
        let pixels = image::<T>(ny * nx * step, seed, every);
        // SAFETY: the last pixel is `step - 1` before the end of the pixels.
        let a = unsafe { View2::from_raw(pixels.as_ptr(), shape, ((nx * step) as isize, step as isize)) };
        let (rows, cols): (Vec<_>, Vec<_>) = ((0..ny).collect(), (0..nx).collect());
        let expected = keys(&brute(a, (&rows, &cols), (size, size), border, nan));
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            for threads in [1, 2] {
                let mut out = vec![T::default(); ny * nx];
                let target = ViewMut2::from_slice(&mut out, shape);
                filter(level, a, size, border, nan, target, Some(threads)).unwrap();
                prop_assert!(keys(&out) == expected, "{level:?} {shape:?} {size} {border:?} {nan:?}");
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn equals_brute_force(
            shape in prop_oneof![(1usize..9, 1usize..300), (60usize..140, 1usize..20), (1usize..5, 1000usize..2200)],
            size in 2..=MOST,
            border in prop::sample::select(&BORDERS),
            nan in prop::sample::select(&[Nan::Ignore, Nan::Propagate]),
            seed: u32,
            every in prop::sample::select(&[0u64, 3, 40, 1000]),
            step in 1usize..3,
        ) {
            let seed = u64::from(seed);
            check::<u8>(shape, size, border, nan, seed, every, step)?;
            check::<i8>(shape, size, border, nan, seed, every, step)?;
            check::<u16>(shape, size, border, nan, seed, every, step)?;
            check::<i16>(shape, size, border, nan, seed, every, step)?;
            check::<u32>(shape, size, border, nan, seed, every, step)?;
            check::<i32>(shape, size, border, nan, seed, every, step)?;
            check::<f32>(shape, size, border, nan, seed, every, step)?;
            check::<u64>(shape, size, border, nan, seed, every, step)?;
            check::<i64>(shape, size, border, nan, seed, every, step)?;
            check::<f64>(shape, size, border, nan, seed, every, step)?;
        }
    }
}
