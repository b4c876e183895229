//! The steps of the median of very small windows, on rows of pixels in the first-level cache.

use starnet_networks::Coding;

use crate::Pixel;
use crate::leveled::leveled;

/// Bytes of a chunk's row of outputs.
const CHUNK: usize = 2048;
/// Bytes beyond: room for the rest of the last windows, and whole vectors, so that loops over columns leave no remainder.
const MARGIN: usize = 128;
/// The window whose rows are kept in halves, of even and of odd columns.
pub const HALVED: usize = 5;

/// Integers that pixels of their width are computed with, ordered as [`Coding`] says.
pub trait Key: Pixel + Ord {
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
                    Coding::Same | Coding::Plain => self,
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

pub fn number<T: Pixel, K: Key>(pixel: T) -> K {
    numbers_of(&[pixel])[0]
}

pub fn numbers_of<T: Pixel, K: Key>(pixels: &[T]) -> &[K] {
    assert!(size_of::<T>() == size_of::<K>() && align_of::<T>() == align_of::<K>());
    // SAFETY: a pixel is an integer or a float, whose bits are any integer's of its size.
    unsafe { std::slice::from_raw_parts(pixels.as_ptr().cast(), pixels.len()) }
}

pub fn numbers_of_mut<T: Pixel, K: Key>(pixels: &mut [T]) -> &mut [K] {
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
    pub fn load<K: Key>(pixels: &[K], coding: Coding, halved: bool, start: usize, row: &mut [K]) -> bool {
        match coding {
            Coding::Same | Coding::Plain => load_coded(pixels, Coding::Same, halved, start, row),
            Coding::Flip => load_coded(pixels, Coding::Flip, halved, start, row),
            Coding::Float => load_coded(pixels, Coding::Float, halved, start, row),
        }
    }

    /// The first medians as pixels.
    pub fn store<K: Key>(medians: &[K], coding: Coding, halved: bool, out: &mut [K]) -> () {
        match coding {
            Coding::Same | Coding::Plain => store_coded(medians, Coding::Same, halved, out),
            Coding::Flip => store_coded(medians, Coding::Flip, halved, out),
            Coding::Float => store_coded(medians, Coding::Float, halved, out),
        }
    }

    /// Sorts the columns of the windows of two rows of outputs.
    pub fn sort_columns<K: Key>(size: usize, n: usize, pixels: &[K], columns: &mut [K]) -> () {
        match size {
            2 => sort_columns_of::<K, 2>(n, pixels, columns),
            3 => sort_columns_of::<K, 3>(n, pixels, columns),
            4 => sort_columns_of::<K, 4>(n, pixels, columns),
            5 => sort_columns_of::<K, 5>(n, pixels, columns),
            _ => unreachable!("no such kernel"),
        }
    }

    /// A row of medians, of sorted columns; if [`HALVED`], halved too.
    pub fn combine<K: Key>(size: usize, columns: &[K], pairs: &mut [K], medians: &mut [K]) -> () {
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
    for (x, out) in medians.iter_mut().enumerate() {
        let (a, b) = (a.column(x), b.column(x));
        *out = a[0].max(b[1]).min(a[1].max(b[0]));
    }
}

/// The median of the greatest minimum, the middle median and the least maximum.
#[inline(always)]
fn combine3<K: Key>(columns: &[K], medians: &mut [K]) {
    let n = medians.len();
    let (a, b) = (Rows::<K, 3>::new(columns, 0, n), Rows::<K, 3>::new(columns, 1, n));
    let c = Rows::<K, 3>::new(columns, 2, n);
    for (x, out) in medians.iter_mut().enumerate() {
        let (a, b, c) = (a.column(x), b.column(x), c.column(x));
        let (low, high) = (a[0].max(b[0]).max(c[0]), a[2].min(b[2]).min(c[2]));
        *out = median(low, median(a[1], b[1], c[1]), high);
    }
}

/// Two columns merged serve two windows, 2 apart.
#[inline(always)]
fn combine4<K: Key>(columns: &[K], pairs: &mut [K], medians: &mut [K]) {
    let n = medians.len();
    merge_neighbours(columns, (0, 1), n + K::MARGIN / 2, pairs, merge4);
    let (a, b) = (Rows::<K, 8>::new(pairs, 0, n), Rows::<K, 8>::new(pairs, 2, n));
    for (x, out) in medians.iter_mut().enumerate() {
        let (a, b) = (a.column(x), b.column(x));
        let mut median = a[0].max(b[7]);
        for i in 1..8 {
            median = median.min(a[i].max(b[7 - i]));
        }
        *out = median;
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
