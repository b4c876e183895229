//! Windows with a NaN in them, after a method that knows no NaN.
//!
//! Its answer is near the right one in order: from there, the window's pixels that follow it are taken one by one, in many
//! windows at once. Where that is a long way the window goes through histograms of columns ([`large`]).

use std::ops::Range;

use super::large::{self, Key};
use super::{Nan, blocks};
use crate::leveled::leveled;
use crate::simd::Level;
use crate::{Border, Pixel, View2, ViewMut2};

/// Sides of the rectangles of outputs that are looked at.
const SIDES: (usize, usize) = (128, 256);
/// Windows at a time.
const LANES: usize = 32;
/// Most pixels that are looked at for an output; histograms take as long.
const BUDGET: usize = 500;

/// Puts the outputs `ys`, `xs` right whose windows of `size` by `size` pixels have a NaN. `corner` is the pixel of the
/// first output; what stands in `out` there may be any number, and matters to the time only.
#[allow(clippy::too_many_arguments)]
pub(super) fn mend<T: Pixel>(
    level: Level,
    a: View2<'_, T>,
    size: usize,
    corner: (usize, usize),
    (ys, xs): (Range<usize>, Range<usize>),
    border: Border,
    nan: Nan,
    out: &mut ViewMut2<'_, T>,
    threads: Option<usize>,
) {
    if T::NAN.is_none() || ys.is_empty() || xs.is_empty() {
        return;
    }
    let (height, width) = out.shape();
    let (rows, cols): (Vec<_>, Vec<_>) =
        ((corner.0 + ys.start..corner.0 + ys.end).collect(), (corner.1 + xs.start..corner.1 + xs.end).collect());
    let mut part = out.blocks_mut(&[0, ys.start, ys.end, height], &[0, xs.start, xs.end, width]).swap_remove(4);
    for (rows, cols, mut out) in blocks(&rows, &cols, SIDES, &mut part) {
        let far = if T::BITS <= 32 {
            near::<T, u32>(level, a, size, rows, cols, border, nan, &mut out)
        } else {
            near::<T, u64>(level, a, size, rows, cols, border, nan, &mut out)
        };
        if let Some((ys, xs)) = far {
            let (height, width) = out.shape();
            let out = out.blocks_mut(&[0, ys.start, ys.end, height], &[0, xs.start, xs.end, width]).swap_remove(4);
            large::median_large(level, a, &rows[ys], &cols[xs], (size, size), border, nan, out, threads);
        }
    }
}

/// Puts right what is near; returns a rectangle that holds what is far.
#[allow(clippy::too_many_arguments)]
fn near<T: Pixel, K: Key>(
    level: Level,
    a: View2<'_, T>,
    size: usize,
    rows: &[usize],
    cols: &[usize],
    border: Border,
    nan: Nan,
    out: &mut ViewMut2<'_, T>,
) -> Option<(Range<usize>, Range<usize>)> {
    let (top, left) = (rows[0] as isize - (size / 2) as isize, cols[0] as isize - (size / 2) as isize);
    let width = cols.len() + size - 1;
    let key = |v: T| if v.is_nan() { K::MAX } else { K::narrow(v.key()) };
    let mut row = vec![T::default(); width];
    let mut keys = Vec::with_capacity(width * (rows.len() + size - 1));
    for y in (top..).take(rows.len() + size - 1) {
        border.read(a, y, left, &mut row);
        keys.extend(row.iter().map(|&v| key(v)));
    }
    // NaN of each column in the rows of the windows, then of each window.
    let mut columns = vec![0u32; width];
    count(level, &keys[..width * (size - 1)], &[], &mut columns);
    let mut missing = vec![0u32; cols.len()];
    let mut memory = Memory::default();
    // The first and the last look find the first step and that no more are needed.
    let steps = (BUDGET / (size * size)).saturating_sub(2);
    let mut far: Option<(Range<usize>, Range<usize>)> = None;
    for y in 0..rows.len() {
        let leave = y.checked_sub(1).map_or(&[][..], |y| &keys[y * width..][..width]);
        count(level, &keys[(y + size - 1) * width..][..width], leave, &mut columns);
        if columns.iter().all(|&n| n == 0) {
            continue;
        }
        let mut sum = columns[..size - 1].iter().sum();
        for (x, missing) in missing.iter_mut().enumerate() {
            sum += columns[x + size - 1];
            *missing = sum;
            sum -= columns[x];
        }
        for (i, (out, missing)) in out.row_mut(y).chunks_mut(LANES).zip(missing.chunks(LANES)).enumerate() {
            if missing.iter().all(|&n| n == 0) {
                continue;
            }
            let all = (size * size) as u32;
            let none = |n: u32| n == all || n > 0 && nan == Nan::Propagate;
            let some: Vec<_> = missing.iter().map(|&n| if none(n) { 0 } else { n }).collect();
            let most = some.iter().max().map_or(0, |&n| n as usize);
            let mut values: Vec<_> = out.iter().map(|&out| key(out)).collect();
            let window = &keys[y * width + i * LANES..];
            let mut settle = || walk(level, window, width, size, steps, &some, &mut values, &mut memory);
            if most > 0 && (most.div_ceil(2) > steps || !settle()) {
                let xs = i * LANES..i * LANES + out.len();
                let far = far.get_or_insert((y..y, xs.clone()));
                *far = (far.0.start..y + 1, far.1.start.min(xs.start)..far.1.end.max(xs.end));
                continue;
            }
            for ((out, value), &n) in out.iter_mut().zip(values).zip(missing) {
                match T::NAN {
                    Some(nan) if none(n) => *out = nan,
                    _ if n > 0 => *out = T::from_key(value.wide()),
                    _ => {}
                }
            }
        }
    }
    far
}

leveled! {
    /// Counts NaN in columns: of some rows that enter, and of one that leaves, unless it is empty.
    fn count<K: Key>(enter: &[K], leave: &[K], columns: &mut [u32]) {
        for enter in enter.chunks_exact(columns.len()) {
            columns.iter_mut().zip(enter).for_each(|(n, &key)| *n += u32::from(key == K::MAX));
        }
        columns.iter_mut().zip(leave).for_each(|(n, &key)| *n -= u32::from(key == K::MAX));
    }

    /// Moves the values to the medians of the windows from `keys` on, each one pixel farther; fails where that takes too
    /// many steps. Nothing matters where nothing is missing.
    fn walk<K: Key>(
        keys: &[K],
        width: usize,
        size: usize,
        steps: usize,
        missing: &[u32],
        values: &mut [K],
        memory: &mut Memory<K>,
    ) -> bool {
        let all = (size * size) as u32;
        let below = |n: u32| if n > 0 { (all - n) / 2 } else { u32::MAX };
        memory.start.clear();
        memory.start.extend_from_slice(values);
        memory.ranks.clear();
        memory.ranks.extend(missing.iter().map(|&n| below(n)));
        if !step_by_step(keys, width, size, steps, values, memory, K::default(), |a, b| a < b) {
            return false;
        }
        // One that went down has as many above it as it should.
        if values.iter().zip(&memory.start).zip(missing).all(|((value, start), &n)| value < start || n == 0) {
            return true;
        }
        // A NaN is above all.
        memory.ranks.clear();
        memory.ranks.extend(missing.iter().map(|&n| if n > 0 { all - 1 - below(n) } else { u32::MAX }));
        step_by_step(keys, width, size, steps, values, memory, K::MAX, |a, b| a > b)
    }
}

/// What [`walk`] works in.
#[derive(Default)]
struct Memory<K> {
    start: Vec<K>,
    ranks: Vec<u32>,
    counts: Vec<u32>,
    next: Vec<K>,
}

/// Moves each value to the next one of its window before it until at most as many as its rank lie there.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn step_by_step<K: Key>(
    keys: &[K],
    width: usize,
    size: usize,
    steps: usize,
    values: &mut [K],
    Memory { ranks, counts, next, .. }: &mut Memory<K>,
    first: K,
    before: impl Fn(K, K) -> bool + Copy,
) -> bool {
    for _ in 0..=steps {
        counts.clear();
        counts.resize(values.len(), 0);
        next.clear();
        next.resize(values.len(), first);
        for row in keys.chunks(width).take(size) {
            for x in (0..size).step_by(4) {
                match size - x {
                    1 => look::<K, 1>(&row[x..], values, counts, next, before),
                    2 => look::<K, 2>(&row[x..], values, counts, next, before),
                    3 => look::<K, 3>(&row[x..], values, counts, next, before),
                    _ => look::<K, 4>(&row[x..], values, counts, next, before),
                }
            }
        }
        let mut done = true;
        for (((value, &count), &rank), &next) in values.iter_mut().zip(&*counts).zip(&*ranks).zip(&*next) {
            if count > rank {
                *value = next;
                done = false;
            }
        }
        if done {
            return true;
        }
    }
    false
}

/// Counts those of `N` keys that lie before each value, and keeps the last of them.
#[inline(always)]
fn look<K: Key, const N: usize>(
    keys: &[K],
    values: &[K],
    counts: &mut [u32],
    next: &mut [K],
    before: impl Fn(K, K) -> bool,
) {
    for (((keys, &value), count), next) in keys.windows(N).zip(values).zip(counts).zip(next) {
        let mut found = (*count, *next);
        for &key in keys {
            found.0 += u32::from(before(key, value));
            found.1 = if before(key, value) & before(found.1, key) { key } else { found.1 };
        }
        (*count, *next) = found;
    }
}
