//! Images that are filled row by row.

use crate::ViewMut2;
use crate::threads::for_each;

/// Bytes of rows that are handed out together: long beside the handing out, short beside an image.
const STRIP: usize = 1 << 17;
/// Bytes from which results go past the caches, which could hold little of them: a line is then written without being
/// read first. Where caches can hold the result, that would be slower.
const LARGE: usize = 24 << 20;

/// Fills an image: `fill(scratch, y, row)` writes all pixels of each row, whose former ones it must not ask for.
pub(crate) fn fill_rows<T: Copy + Send, S>(
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
    scratch: impl Fn() -> S + Sync,
    fill: impl Fn(&mut S, usize, &mut [T]) + Sync,
) {
    fill_all(vec![out], threads, scratch, |scratch, _, y, row| fill(scratch, y, row));
}

/// Fills several images: `fill(scratch, i, y, row)`.
pub(crate) fn fill_all<T: Copy + Send, S>(
    outs: Vec<ViewMut2<'_, T>>,
    threads: Option<usize>,
    scratch: impl Fn() -> S + Sync,
    fill: impl Fn(&mut S, usize, usize, &mut [T]) + Sync,
) {
    let large = outs.iter().map(|out| bytes::<T>(out.shape())).sum::<usize>() >= LARGE;
    fill_strips(outs, large, threads, scratch, fill);
}

fn bytes<T>((ny, nx): (usize, usize)) -> usize {
    ny * nx * size_of::<T>()
}

fn fill_strips<T: Copy + Send, S>(
    mut outs: Vec<ViewMut2<'_, T>>,
    large: bool,
    threads: Option<usize>,
    scratch: impl Fn() -> S + Sync,
    fill: impl Fn(&mut S, usize, usize, &mut [T]) + Sync,
) {
    let mut strips = vec![];
    for (i, out) in outs.iter_mut().enumerate() {
        let rows = STRIP / bytes::<T>((1, out.shape().1)).max(1);
        strips.extend(out.strips_mut(rows.max(1)).into_iter().map(|(y, strip)| (i, y, strip)));
    }
    for_each(
        threads,
        strips,
        || (scratch(), vec![]),
        |(scratch, line), (i, y0, mut strip)| {
            if large {
                line.clear();
                line.extend_from_slice(strip.row_mut(0));
            }
            for y in 0..strip.shape().0 {
                let row = strip.row_mut(y);
                if large {
                    fill(scratch, i, y0 + y, line);
                    stream(line, row);
                } else {
                    fill(scratch, i, y0 + y, row);
                }
            }
            if large {
                order_streams();
            }
        },
    );
}

/// Copies a row past the caches. Before another thread may look, [`order_streams`].
#[cfg(target_arch = "x86_64")]
fn stream<T: Copy>(from: &[T], to: &mut [T]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si32, _mm_stream_si128};
    assert_eq!(from.len(), to.len());
    // SAFETY: all bits are valid for these types, and those of whole `T`s are written over all of them.
    let (before, words, after) = unsafe { to.align_to_mut::<i32>() };
    let (first, last) = (before.len(), from.len() - after.len());
    before.copy_from_slice(&from[..first]);
    after.copy_from_slice(&from[last..]);
    let from: *const i32 = from[first..last].as_ptr().cast();
    // SAFETY: as above.
    let (before, vectors, after) = unsafe { words.align_to_mut::<__m128i>() };
    let (head, tail) = (before.len(), before.len() + 4 * vectors.len());
    for (i, v) in vectors.iter_mut().enumerate() {
        // SAFETY: `from` has as many words; the target is aligned.
        unsafe { _mm_stream_si128(v, _mm_loadu_si128(from.add(head + 4 * i).cast())) };
    }
    for (at, part) in [(0, before), (tail, after)] {
        for (i, word) in part.iter_mut().enumerate() {
            // SAFETY: `from` has as many words.
            unsafe { _mm_stream_si32(word, from.add(at + i).read_unaligned()) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn order_streams() {
    // SAFETY: SSE is part of x86-64.
    unsafe { std::arch::x86_64::_mm_sfence() };
}

/// Other compilers' targets have no such stores that are portable.
#[cfg(not(target_arch = "x86_64"))]
fn stream<T: Copy>(from: &[T], to: &mut [T]) {
    to.copy_from_slice(from);
}

#[cfg(not(target_arch = "x86_64"))]
fn order_streams() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of writing, rows that lie apart, and rows at every alignment.
    fn check<T: Copy + Send + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> T + Sync) {
        for (large, (ny, nx, stride)) in [false, true]
            .into_iter()
            .flat_map(|l| [(700, 37, 41), (9, 70_001, 70_001), (0, 4, 4), (4, 0, 4)].map(|s| (l, s)))
        {
            let before = value(0);
            let mut pixels = vec![before; ny * stride];
            // SAFETY: rows of `stride` elements that hold `nx` each, borrowed here alone.
            let out = unsafe { ViewMut2::from_raw(pixels.as_mut_ptr(), (ny, nx), stride) };
            fill_strips(
                vec![out],
                large,
                Some(2),
                || (),
                |(), _, y, row| {
                    row.iter_mut().enumerate().for_each(|(x, v)| *v = value(1 + y * nx + x));
                },
            );
            for (i, &v) in pixels.iter().enumerate() {
                let (y, x) = (i / stride, i % stride);
                assert_eq!(v, if x < nx { value(1 + y * nx + x) } else { before }, "({y}, {x}) of ({ny}, {nx})");
            }
        }
    }

    #[test]
    fn every_row_is_written_once_and_nothing_else() {
        check(|i| i as f32);
        check(|i| i as u8);
        check(|i| i as i16);
        check(|i| i as f64);
    }
}
