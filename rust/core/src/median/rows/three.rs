//! Medians of 3 by 3 pixels in one pass, in registers.

use starnet_networks::Coding;

use super::columns::Key;
use crate::Pixel;
use crate::leveled::leveled;

leveled! {
    /// Two rows of outputs of four rows of pixels that plain comparisons order, one pixel farther at both ends.
    pub fn medians<T: Pixel>(p: &[T], q: &[T], r: &[T], s: &[T], a: &mut [T], b: &mut [T]) -> () {
        medians_of(p, q, r, s, a, b, |v| v);
    }

    /// The same of the keys of floats.
    pub fn float_medians<K: Key>(p: &[K], q: &[K], r: &[K], s: &[K], a: &mut [K], b: &mut [K]) -> () {
        medians_of(p, q, r, s, a, b, |v| v.recode(Coding::Float));
    }
}

#[inline(always)]
fn medians_of<T: Pixel>(p: &[T], q: &[T], r: &[T], s: &[T], a: &mut [T], b: &mut [T], finish: impl Fn(T) -> T) {
    let n = a.len();
    let b = &mut b[..n];
    let ((p0, p1, p2), (q0, q1, q2)) = (columns(p, n), columns(q, n));
    let ((r0, r1, r2), (s0, s1, s2)) = (columns(r, n), columns(s, n));
    for x in 0..n {
        // Columns of both windows, sorted: the middle two pixels are theirs in common.
        let (middle0, middle1, middle2) = (sort(q0[x], r0[x]), sort(q1[x], r1[x]), sort(q2[x], r2[x]));
        a[x] = finish(combine(insert(p0[x], middle0), insert(p1[x], middle1), insert(p2[x], middle2)));
        b[x] = finish(combine(insert(s0[x], middle0), insert(s1[x], middle1), insert(s2[x], middle2)));
    }
}

/// The first, the middle and the last columns of `n` windows.
#[inline(always)]
fn columns<T>(row: &[T], n: usize) -> (&[T], &[T], &[T]) {
    (&row[..n], &row[1..][..n], &row[2..][..n])
}

#[inline(always)]
fn min<T: Pixel>(a: T, b: T) -> T {
    if a < b { a } else { b }
}

#[inline(always)]
fn max<T: Pixel>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

#[inline(always)]
fn sort<T: Pixel>(a: T, b: T) -> (T, T) {
    (min(a, b), max(a, b))
}

/// Three pixels in order, of which two are.
#[inline(always)]
fn insert<T: Pixel>(v: T, (low, high): (T, T)) -> (T, T, T) {
    let middle = max(v, low);
    (min(v, low), min(middle, high), max(middle, high))
}

#[inline(always)]
fn median<T: Pixel>(a: T, b: T, c: T) -> T {
    let (low, high) = sort(a, b);
    max(low, min(high, c))
}

/// The median of three sorted columns.
#[inline(always)]
fn combine<T: Pixel>((a, b, c): (T, T, T), (d, e, f): (T, T, T), (g, h, i): (T, T, T)) -> T {
    median(max(max(a, d), g), median(b, e, h), min(min(c, f), i))
}
