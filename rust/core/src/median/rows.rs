//! Very small square windows: sorted columns, a vector of neighbouring columns at a time, combined along the row.
//!
//! The image is walked down in chunks of columns, whose pixels stay in the first-level cache. Two rows of outputs share
//! the sorted middle of their columns. NaN is treated as by the networks ([`mend`]).

use rayon::prelude::*;
use starnet_networks::Coding;

use super::Nan;
use super::mend::mend;
use super::strips::coding;
use crate::leveled::leveled;
use crate::simd::{Level, level};
use crate::{Border, Error, Pixel, Result, View2, ViewMut2, with_threads};

/// Bytes of a chunk's row of outputs.
const CHUNK: usize = 2048;
/// Bytes beyond: room for the rest of the last windows, and whole vectors, so that loops over columns leave no remainder.
const MARGIN: usize = 128;
/// Rows of outputs that are one task.
const BAND: usize = 64;

/// The largest window.
const MOST: usize = 5;
/// The window whose rows are kept in halves, of even and of odd columns.
const HALVED: usize = 5;

/// Whether there is a kernel for windows of this size.
pub(super) fn fits(size: (usize, usize)) -> bool {
    size.0 == size.1 && (2..=MOST).contains(&size.0)
}

/// [`median_filter`](super::median_filter) for the sizes that [`fits`].
pub(super) fn filter<T: Pixel>(
    a: View2<'_, T>,
    size: usize,
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    filter_at(level(), a, size, border, nan, out, threads)
}

fn filter_at<T: Pixel>(
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
    let tops: Vec<_> = (0..ny).step_by(BAND).chain([ny]).collect();
    let bands = out.blocks_mut(&tops, &[0, nx]);
    with_threads(threads, || {
        tops.par_iter()
            .zip(bands)
            .try_for_each(|(&top, mut out)| run(level, a, size, top, border, nan, &mut out, threads))
    })
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
) -> Result<()> {
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
        for (x, spoilt) in (0..nx).step_by(chunk).zip(&mut spoilt) {
            let width = chunk.min(nx - x);
            let n = width.next_multiple_of(K::MARGIN);
            let left = x as isize - before as isize;
            // Columns that are read in place, an even number; those of the windows beyond are looked up.
            let inside = left.max(0) as usize..nx.min((left + (n + K::MARGIN) as isize) as usize);
            let inside = inside.start..inside.end - inside.len() % 2;
            let beyond = (left..inside.start as isize).chain(inside.end as isize..left + (width + size - 1) as isize);
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
                    mend(a, size, (top, 0), (spoilt.clone(), x..x + width), border, nan_policy, out, threads)?;
                    *spoilt = y..y;
                }
                spoilt.end = height.min(y + 2);
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
    for (x, spoilt) in (0..nx).step_by(chunk).zip(spoilt) {
        mend(a, size, (top, 0), (spoilt, x..nx.min(x + chunk)), border, nan_policy, out, threads)?;
    }
    Ok(())
}

/// Integers that pixels of their width are computed with, ordered as [`Coding`] says.
trait Key: Pixel + Ord {
    /// Of [`MARGIN`].
    const MARGIN: usize = MARGIN / size_of::<Self>();
    /// From one row in the cache to the next.
    const PITCH: usize = CHUNK / size_of::<Self>() + Self::MARGIN;
    /// To and from a number that orders as the pixel does.
    fn recode(self, coding: Coding) -> Self;
    /// Of a float's bits: the sign is off.
    fn magnitude(self) -> Self;
    /// Infinity's bits.
    const INFINITY: Self;
}

macro_rules! key {
    ($t:ty, $unsigned:ty, $infinity:expr) => {
        impl Key for $t {
            const INFINITY: Self = $infinity;
            #[inline(always)]
            fn recode(self, coding: Coding) -> Self {
                match coding {
                    Coding::Same => self,
                    Coding::Flip => self ^ (1 << (Self::BITS - 1)),
                    Coding::Float => self ^ ((self >> (Self::BITS - 1)) as $unsigned >> 1) as Self,
                }
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                self & !(1 << (Self::BITS - 1))
            }
        }
    };
}
// There are no floats of 8 and 16 bits.
key!(u8, u8, Self::MAX);
key!(i16, u16, Self::MAX);
key!(i32, u32, f32::INFINITY.to_bits() as Self);
key!(i64, u64, f64::INFINITY.to_bits() as Self);

fn number<T: Pixel, K: Key>(pixel: T) -> K {
    numbers_of(&[pixel])[0]
}

fn numbers_of<T: Pixel, K: Key>(pixels: &[T]) -> &[K] {
    assert!(size_of::<T>() == size_of::<K>() && align_of::<T>() == align_of::<K>());
    // SAFETY: a pixel is an integer or a float, whose bits are any integer's of its size.
    unsafe { std::slice::from_raw_parts(pixels.as_ptr().cast(), pixels.len()) }
}

fn numbers_of_mut<T: Pixel, K: Key>(pixels: &mut [T]) -> &mut [K] {
    assert!(size_of::<T>() == size_of::<K>() && align_of::<T>() == align_of::<K>());
    // SAFETY: as above; any integer's bits are a pixel's too.
    unsafe { std::slice::from_raw_parts_mut(pixels.as_mut_ptr().cast(), pixels.len()) }
}

/// The first `n` columns of `N` rows of the cache.
#[derive(Clone, Copy)]
struct Rows<'a, K, const N: usize> {
    cache: &'a [K],
    n: usize,
}

impl<'a, K: Key, const N: usize> Rows<'a, K, N> {
    /// Columns `x..x + n`.
    #[inline(always)]
    fn new(cache: &'a [K], x: usize, n: usize) -> Self {
        let cache = &cache[x..];
        assert!((N - 1) * K::PITCH + n <= cache.len());
        Self { cache, n }
    }

    #[inline(always)]
    fn column(self, x: usize) -> [K; N] {
        assert!(x < self.n);
        let mut column = [K::default(); N];
        for (i, v) in column.iter_mut().enumerate() {
            // SAFETY: the column is inside, so it is in the cache (`new`). The compiler does not see that for each number.
            *v = unsafe { *self.cache.get_unchecked(i * K::PITCH + x) };
        }
        column
    }
}

/// [`Rows`] to write.
struct RowsMut<'a, K, const N: usize> {
    cache: &'a mut [K],
    n: usize,
}

impl<'a, K: Key, const N: usize> RowsMut<'a, K, N> {
    #[inline(always)]
    fn new(cache: &'a mut [K], n: usize) -> Self {
        assert!((N - 1) * K::PITCH + n <= cache.len());
        Self { cache, n }
    }

    #[inline(always)]
    fn put(&mut self, x: usize, column: [K; N]) {
        assert!(x < self.n);
        for (i, v) in column.into_iter().enumerate() {
            // SAFETY: as in `Rows::column`.
            *unsafe { self.cache.get_unchecked_mut(i * K::PITCH + x) } = v;
        }
    }
}

leveled! {
    /// Puts the numbers of pixels into a row from column `start` on; whether there is a NaN. If `halved` the even columns are
    /// the first half of the row, and their number and `start` are even.
    fn load<K: Key>(pixels: &[K], coding: Coding, halved: bool, start: usize, row: &mut [K]) -> bool {
        match coding {
            Coding::Same => load_coded(pixels, Coding::Same, halved, start, row),
            Coding::Flip => load_coded(pixels, Coding::Flip, halved, start, row),
            Coding::Float => load_coded(pixels, Coding::Float, halved, start, row),
        }
    }

    /// The first medians as pixels.
    fn store<K: Key>(medians: &[K], coding: Coding, halved: bool, out: &mut [K]) -> () {
        match coding {
            Coding::Same => store_coded(medians, Coding::Same, halved, out),
            Coding::Flip => store_coded(medians, Coding::Flip, halved, out),
            Coding::Float => store_coded(medians, Coding::Float, halved, out),
        }
    }

    /// Sorts the columns of the windows of two rows of outputs.
    fn sort_columns<K: Key>(size: usize, n: usize, pixels: &[K], columns: &mut [K]) -> () {
        match size {
            2 => sort_columns_of::<K, 2>(n, pixels, columns),
            3 => sort_columns_of::<K, 3>(n, pixels, columns),
            4 => sort_columns_of::<K, 4>(n, pixels, columns),
            5 => sort_columns_of::<K, 5>(n, pixels, columns),
            _ => unreachable!("no such kernel"),
        }
    }

    /// A row of medians, of sorted columns; if [`HALVED`], halved too.
    fn combine<K: Key>(size: usize, columns: &[K], pairs: &mut [K], medians: &mut [K]) -> () {
        match size {
            2 => combine2(columns, medians),
            3 => combine3(columns, medians),
            4 => combine4(columns, pairs, medians),
            5 => combine5(columns, pairs, medians),
            _ => unreachable!("no such kernel"),
        }
    }
}

#[inline(always)]
fn load_coded<K: Key>(pixels: &[K], coding: Coding, halved: bool, start: usize, row: &mut [K]) -> bool {
    let mut most = K::default();
    if halved {
        let (even, odd) = row.split_at_mut(row.len() / 2);
        let (even, odd) = (&mut even[start / 2..], &mut odd[start / 2..]);
        for ((pair, even), odd) in pixels.as_chunks::<2>().0.iter().zip(even).zip(odd) {
            (*even, *odd) = (pair[0].recode(coding), pair[1].recode(coding));
            most = most.max(pair[0].magnitude().max(pair[1].magnitude()));
        }
    } else {
        for (to, &v) in row[start..].iter_mut().zip(pixels) {
            *to = v.recode(coding);
            most = most.max(v.magnitude());
        }
    }
    coding == Coding::Float && most > K::INFINITY
}

#[inline(always)]
fn store_coded<K: Key>(medians: &[K], coding: Coding, halved: bool, out: &mut [K]) {
    if halved {
        let (even, odd) = medians.split_at(medians.len() / 2);
        let (pairs, last) = out.as_chunks_mut::<2>();
        for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
            *pair = [even.recode(coding), odd.recode(coding)];
        }
        for (last, even) in last.iter_mut().zip(&even[pairs.len()..]) {
            *last = even.recode(coding);
        }
    } else {
        for (out, v) in out.iter_mut().zip(medians) {
            *out = v.recode(coding);
        }
    }
}

/// The rows that both windows have, sorted, and into them the row above or below.
#[inline(always)]
fn sort_columns_of<K: Key, const N: usize>(n: usize, pixels: &[K], columns: &mut [K]) {
    let (upper, lower) = (Rows::<K, N>::new(pixels, 0, n), Rows::<K, N>::new(pixels, K::PITCH, n));
    let (first, second) = columns.split_at_mut(N * K::PITCH);
    let (mut first, mut second) = (RowsMut::<K, N>::new(first, n), RowsMut::<K, N>::new(second, n));
    for x in 0..n {
        let (above, mut sorted) = (upper.column(x)[0], lower.column(x));
        for i in 1..N - 1 {
            let v = sorted[i];
            insert(&mut sorted, i, v);
        }
        let (mut with_above, below) = (sorted, sorted[N - 1]);
        insert(&mut with_above, N - 1, above);
        insert(&mut sorted, N - 1, below);
        first.put(x, with_above);
        second.put(x, sorted);
    }
}

/// Inserts a number into the first `n`, sorted ones.
#[inline(always)]
fn insert<K: Key, const N: usize>(sorted: &mut [K; N], n: usize, mut v: K) {
    for low in &mut sorted[..n] {
        [*low, v] = pair(*low, v);
    }
    sorted[n] = v;
}

#[inline(always)]
fn combine2<K: Key>(columns: &[K], medians: &mut [K]) {
    let n = medians.len();
    let (a, b) = (Rows::<K, 2>::new(columns, 0, n), Rows::<K, 2>::new(columns, 1, n));
    for x in 0..n {
        let (a, b) = (a.column(x), b.column(x));
        medians[x] = a[0].max(b[1]).min(a[1].max(b[0]));
    }
}

/// The median of the greatest minimum, the middle median and the least maximum.
#[inline(always)]
fn combine3<K: Key>(columns: &[K], medians: &mut [K]) {
    let n = medians.len();
    let (a, b) = (Rows::<K, 3>::new(columns, 0, n), Rows::<K, 3>::new(columns, 1, n));
    let c = Rows::<K, 3>::new(columns, 2, n);
    for x in 0..n {
        let (a, b, c) = (a.column(x), b.column(x), c.column(x));
        let (low, high) = (a[0].max(b[0]).max(c[0]), a[2].min(b[2]).min(c[2]));
        medians[x] = median(low, median(a[1], b[1], c[1]), high);
    }
}

/// Two columns merged serve two windows, 2 apart.
#[inline(always)]
fn combine4<K: Key>(columns: &[K], pairs: &mut [K], medians: &mut [K]) {
    let n = medians.len();
    merge_neighbours(columns, (0, 1), n + K::MARGIN / 2, pairs, merge4);
    let (a, b) = (Rows::<K, 8>::new(pairs, 0, n), Rows::<K, 8>::new(pairs, 2, n));
    for x in 0..n {
        let (a, b) = (a.column(x), b.column(x));
        let mut median = a[0].max(b[7]);
        for i in 1..8 {
            median = median.min(a[i].max(b[7 - i]));
        }
        medians[x] = median;
    }
}

/// The windows of an even column and of the next have four columns in common: two merged pairs, each of which serves twice.
#[inline(always)]
fn combine5<K: Key>(columns: &[K], pairs: &mut [K], medians: &mut [K]) {
    let n = medians.len() / 2;
    let half = n + K::MARGIN / 2;
    merge_neighbours(columns, (half, 1), half, pairs, merge5);
    let (a, b) = (Rows::<K, 10>::new(pairs, 0, n), Rows::<K, 10>::new(pairs, 1, n));
    let (first, last) = (Rows::<K, 5>::new(columns, 0, n), Rows::<K, 5>::new(columns, half + 2, n));
    let (even, odd) = medians.split_at_mut(n);
    let odd = &mut odd[..n];
    for x in 0..n {
        // Of 20 pixels, those that may be the median of 25.
        let middle = middle(a.column(x), b.column(x));
        even[x] = median_with(middle, first.column(x));
        odd[x] = median_with(middle, last.column(x));
    }
}

/// Merges `n` sorted columns from the first of `x` on with those from the second on.
#[inline(always)]
fn merge_neighbours<K: Key, const N: usize, const BOTH: usize>(
    columns: &[K],
    x: (usize, usize),
    n: usize,
    pairs: &mut [K],
    merge: impl Fn([K; N], [K; N]) -> [K; BOTH],
) {
    let (a, b) = (Rows::<K, N>::new(columns, x.0, n), Rows::<K, N>::new(columns, x.1, n));
    let mut pairs = RowsMut::<K, BOTH>::new(pairs, n);
    for x in 0..n {
        pairs.put(x, merge(a.column(x), b.column(x)));
    }
}

#[inline(always)]
fn pair<K: Key>(a: K, b: K) -> [K; 2] {
    [a.min(b), a.max(b)]
}

#[inline(always)]
fn median<K: Key>(a: K, b: K, c: K) -> K {
    a.min(b).max(a.max(b).min(c))
}

/// The median of two sorted lists.
#[inline(always)]
fn median_with<K: Key>(a: [K; 6], b: [K; 5]) -> K {
    let mut median = a[5];
    for i in 0..5 {
        median = median.min(a[4 - i].max(b[i]));
    }
    median
}

/// Sorted lists merged (K. Batcher; Knuth, The Art of Computer Programming 3, 5.3.4).
#[inline(always)]
fn merge2<K: Key>(a: [K; 2], b: [K; 2]) -> [K; 4] {
    let ([first, low], [high, last]) = (pair(a[0], b[0]), pair(a[1], b[1]));
    let [low, high] = pair(low, high);
    [first, low, high, last]
}

#[inline(always)]
fn merge3<K: Key>(a: [K; 3], b: [K; 3]) -> [K; 6] {
    let (e, o) = (merge2([a[0], a[2]], [b[0], b[2]]), pair(a[1], b[1]));
    let (p, q) = (pair(e[1], o[0]), pair(e[2], o[1]));
    [e[0], p[0], p[1], q[0], q[1], e[3]]
}

#[inline(always)]
fn merge4<K: Key>(a: [K; 4], b: [K; 4]) -> [K; 8] {
    let (e, o) = (merge2([a[0], a[2]], [b[0], b[2]]), merge2([a[1], a[3]], [b[1], b[3]]));
    let (p, q, r) = (pair(e[1], o[0]), pair(e[2], o[1]), pair(e[3], o[2]));
    [e[0], p[0], p[1], q[0], q[1], r[0], r[1], o[3]]
}

#[inline(always)]
fn merge5<K: Key>(a: [K; 5], b: [K; 5]) -> [K; 10] {
    let (e, o) = (merge3([a[0], a[2], a[4]], [b[0], b[2], b[4]]), merge2([a[1], a[3]], [b[1], b[3]]));
    let (p, q, r, s) = (pair(e[1], o[0]), pair(e[2], o[1]), pair(e[3], o[2]), pair(e[4], o[3]));
    [e[0], p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1], e[5]]
}

/// Of two lists merged, those of index 7 to 12 of 20.
#[inline(always)]
fn middle<K: Key>(a: [K; 10], b: [K; 10]) -> [K; 6] {
    let e = merge5([a[0], a[2], a[4], a[6], a[8]], [b[0], b[2], b[4], b[6], b[8]]);
    let o = merge5([a[1], a[3], a[5], a[7], a[9]], [b[1], b[3], b[5], b[7], b[9]]);
    let (p, q, r) = (pair(e[4], o[3]), pair(e[5], o[4]), pair(e[6], o[5]));
    [p[0], p[1], q[0], q[1], r[0], r[1]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BORDERS: [Border; 5] = [Border::Reflect, Border::Mirror, Border::Nearest, Border::Wrap, Border::Constant];

    /// Pixels of few values, a NaN (of types that have one) where `nan` says so.
    fn image<T: Pixel>(n: usize, seed: u64, nan: u64) -> Vec<T> {
        let random = |i: usize| (i as u64 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let half = T::default().key();
        let number =
            |r: u64| if r % 3 == 0 { r << 40 >> (64 - T::BITS) } else { half.wrapping_add(r % 9).wrapping_sub(4) };
        let number = |r: u64| T::from_key(number(r) & (u64::MAX >> (64 - T::BITS)));
        let pixel = |r: u64| T::NAN.filter(|_| nan > 0 && r / 16 % nan == 0).unwrap_or(number(r));
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
        let pixel = |y: isize, x: isize| match (border.source(y, ny), border.source(x, nx)) {
            (Some(y), Some(x)) => a.get(y, x),
            _ => T::default(),
        };
        let before = (size / 2) as isize;
        let median = |i: usize| {
            let (y, x) = ((i / nx) as isize - before, (i % nx) as isize - before);
            let window = (0..size * size).map(|i| pixel(y + (i / size) as isize, x + (i % size) as isize));
            let mut keys: Vec<_> = window.filter(|v| !v.is_nan()).map(T::key).collect();
            keys.sort_unstable();
            let spoilt = keys.is_empty() || nan == Nan::Propagate && keys.len() < size * size;
            if spoilt { None } else { Some(keys[keys.len() / 2]) }
        };
        let expected: Vec<_> = (0..ny * nx).map(median).collect();
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            for threads in [1, 2] {
                let mut out = vec![T::default(); ny * nx];
                let target = ViewMut2::from_slice(&mut out, shape);
                filter_at(level, a, size, border, nan, target, Some(threads)).unwrap();
                let out: Vec<_> = out.into_iter().map(|v| Some(v).filter(|v| !v.is_nan()).map(T::key)).collect();
                prop_assert!(out == expected, "{level:?} {shape:?} {size} {border:?} {nan:?}");
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
