//! The good pixels of one box.

use std::ops::Range;

use super::SigmaClip;
use crate::leveled::leveled;
use crate::simd::Level;
use crate::stored::{prefetch, row_of};
use crate::{Stored, View2};

const BINS: usize = 256;
/// Half-width of the binned range in interquartile ranges of a sample: 4 of them are 5.4 standard deviations of a normal sky.
const HALF_RANGE: f32 = 4.0;
const SAMPLE: usize = 64;
/// Sums that run side by side. Their number is part of the result's last bits: it is the same at all levels.
const LANES: usize = 16;

/// Order-preserving map of values to bins: `a <= b` implies `of(a) <= of(b)`.
#[derive(Clone, Copy)]
struct Binning {
    low: f32,
    scale: f32,
}

impl Binning {
    /// Bins that resolve the bulk of the values; what lies outside falls into the first and the last bin.
    fn fit(values: &[f32]) -> Self {
        let mut sample = [0.0; SAMPLE];
        // A multiplicative hash of the position, so that no pattern of rows or columns can be sampled alone.
        for (i, s) in sample.iter_mut().enumerate() {
            let hash = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            *s = values[((hash * values.len() as u64) >> 32) as usize];
        }
        sample.sort_unstable_by(f32::total_cmp);
        let (low, high) = match sample[SAMPLE * 3 / 4] - sample[SAMPLE / 4] {
            0.0 => (sample[0], sample[SAMPLE - 1]),
            iqr => (sample[SAMPLE / 2] - HALF_RANGE * iqr, sample[SAMPLE / 2] + HALF_RANGE * iqr),
        };
        let scale = BINS as f32 / (high - low);
        // Values of one bin, or beyond what float32 can subtract, all go to bin 0: slower, but right.
        if scale.is_normal() && low.is_finite() { Self { low, scale } } else { Self { low: 0.0, scale: 0.0 } }
    }

    #[inline(always)]
    fn of(self, value: f32) -> u8 {
        // Subtraction, multiplication and the cast are monotonic; 0 * inf = NaN becomes 0, as all do at scale 0.
        let position = (value - self.low) * self.scale;
        let position = if position > 0.0 { position } else { 0.0 };
        let position = if position < (BINS - 1) as f32 { position } else { (BINS - 1) as f32 };
        // SAFETY: between 0 and 255.
        unsafe { position.to_int_unchecked::<i32>() as u8 }
    }
}

/// Values `low <= v <= high`: the float32 that lie between bounds in float64.
#[derive(Clone, Copy, PartialEq)]
struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    const ALL: Self = Self { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// The least float32 that is not below `low`, the greatest that is not above `high`.
    fn within(low: f64, high: f64) -> Self {
        let (mut l, mut h) = (low as f32, high as f32);
        if f64::from(l) < low {
            l = l.next_up();
        }
        if f64::from(h) > high {
            h = h.next_down();
        }
        Self { low: l, high: h }
    }

    #[inline(always)]
    fn hold(self, v: f32) -> bool {
        (v >= self.low) & (v <= self.high)
    }
}

/// Number, median, mean and standard deviation.
#[derive(Clone, Copy)]
struct Moments {
    n: usize,
    median: f64,
    mean: f64,
    std: f64,
}

/// The good pixels of one box, and room to work.
pub(super) struct Pixels {
    level: Level,
    values: Vec<f32>,
    bin: Vec<u8>,
    /// By bin: pixels in those before it.
    start: [u32; BINS + 1],
    /// The values of one bin, and which.
    members: Vec<f32>,
    members_of: Option<usize>,
    pivot: f64,
    row: Vec<f32>,
}

impl Pixels {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            values: vec![],
            bin: vec![],
            start: [0; BINS + 1],
            members: vec![],
            members_of: None,
            pivot: 0.0,
            row: vec![],
        }
    }

    /// Takes the pixels of a box that are finite and not masked.
    pub(super) fn gather<S: Stored<f32>>(
        &mut self,
        image: View2<'_, S>,
        mask: Option<View2<'_, bool>>,
        ys: Range<usize>,
        xs: Range<usize>,
    ) {
        self.values.clear();
        let mut columns = vec![];
        for y in ys {
            // The next box begins where these rows go on, too far apart for the processor to expect it.
            if let Some(row) = image.row(y) {
                prefetch(&row[xs.end..row.len().min(xs.end + xs.len())]);
            }
            let row = row_of(image, y, xs.clone(), &mut self.row);
            let masked = mask.map(|m| row_of(m, y, xs.clone(), &mut columns));
            let some_masked = masked.is_some_and(|m| m.iter().fold(false, |any, &m| any | m));
            if !some_masked && all_finite(self.level, row) {
                self.values.extend_from_slice(row);
                continue;
            }
            let mut n = self.values.len();
            self.values.resize(n + row.len(), 0.0);
            // Every pixel is written, and the next one over it if it is not good: no branch to mispredict.
            for (x, &v) in row.iter().enumerate() {
                self.values[n] = v;
                n += usize::from(v.is_finite() & !masked.is_some_and(|m| m[x]));
            }
            self.values.truncate(n);
        }
    }

    /// Counts the values by bin.
    fn distribute(&mut self) {
        bins(self.level, &self.values, Binning::fit(&self.values), &mut self.bin);
        // Four counts side by side: increments of one wait for one another.
        let mut counts = [[0u32; BINS]; 4];
        let (quads, rest) = self.bin.as_chunks::<4>();
        for quad in quads {
            counts.iter_mut().zip(quad).for_each(|(c, &b)| c[usize::from(b)] += 1);
        }
        rest.iter().for_each(|&b| counts[0][usize::from(b)] += 1);
        for b in 0..BINS {
            self.start[b + 1] = self.start[b] + counts.iter().map(|c| c[b]).sum::<u32>();
        }
        self.members_of = None;
    }

    /// The value of this rank, from 0, among all; and the one before it.
    fn ranked(&mut self, rank: usize, before: bool) -> (f32, f32) {
        let bin = self.start.partition_point(|&s| s as usize <= rank) - 1;
        if self.members_of != Some(bin) {
            self.members.clear();
            collect(self.level, &self.values, &self.bin, bin as u8, &mut self.members);
            self.members_of = Some(bin);
        }
        let rest = rank - self.start[bin] as usize;
        // Often so in images with much of one value, and the bin is then large.
        let first = self.members[0];
        let value = if all_equal(self.level, &self.members, first) {
            first
        } else {
            *self.members.select_nth_unstable_by(rest, f32::total_cmp).1
        };
        if !before {
            return (value, value);
        }
        let previous = match rest {
            0 => self.ranked(rank - 1, false).0,
            _ => self.members[..rest].iter().copied().fold(f32::NEG_INFINITY, f32::max),
        };
        (value, previous)
    }

    /// Of the values within the bounds, of which there are `n`, and `below` that are less.
    fn moments(&mut self, bounds: Bounds, below: usize, n: usize) -> Moments {
        if n == 0 {
            return Moments { n, median: f64::NAN, mean: f64::NAN, std: f64::NAN };
        }
        let (s1, s2) = sums(self.level, &self.values, bounds, self.pivot);
        let (upper, lower) = self.ranked(below + n / 2, n.is_multiple_of(2));
        let median = if n % 2 == 1 { upper.into() } else { 0.5 * (f64::from(lower) + f64::from(upper)) };
        let offset = s1 / n as f64;
        let mut std = ((s2 - s1 * offset).max(0.0) / n as f64).sqrt();
        // Equal values that are not the pivot: what is left is rounding.
        if std <= 1e-5 * offset.abs() {
            let (low, high) = range(self.level, &self.values, bounds);
            std = if low == high { 0.0 } else { std };
        }
        Moments { n, median, mean: self.pivot + offset, std }
    }

    /// Level, rms and number of the pixels that survive the clipping.
    pub(super) fn statistics(&mut self, clip: SigmaClip) -> (f64, f64, u32) {
        if self.values.is_empty() {
            return (f64::NAN, f64::NAN, 0);
        }
        self.distribute();
        // A value near the middle, so that the sums of squares lose nothing; for equal values, the very value.
        self.pivot = self.ranked(self.values.len() / 2, false).0.into();
        let (mut survivors, mut last) = (Bounds::ALL, Bounds::ALL);
        let mut all = self.moments(survivors, 0, self.values.len());
        let mut alike = true;
        for _ in 0..clip.iterations {
            last = Bounds::within(all.median - clip.sigma * all.std, all.median + clip.sigma * all.std);
            survivors = Bounds { low: survivors.low.max(last.low), high: survivors.high.min(last.high) };
            let (below, n) = count(self.level, &self.values, survivors);
            // No pixel is left where rounding puts the median of few values outside bounds that are all but equal to it.
            alike = n > 0;
            if n == all.n || n == 0 {
                break;
            }
            all = self.moments(survivors, below, n);
        }
        // The last bounds hold all survivors; those clipped earlier may come back.
        let (below, n) = count(self.level, &self.values, last);
        if !(alike && n == all.n) {
            all = self.moments(last, below, n);
        }
        let Moments { n, median, mean, std } = all;
        if n == 0 {
            return (f64::NAN, f64::NAN, 0);
        }
        if std == 0.0 {
            return (median, 0.0, n as u32);
        }
        let level = if (mean - median).abs() / std >= 0.3 { median } else { 2.5 * median - 1.5 * mean };
        (level, std, n as u32)
    }
}

leveled! {
    fn all_finite(values: &[f32]) -> bool {
        values.iter().fold(true, |all, v| all & v.is_finite())
    }

    fn all_equal(values: &[f32], to: f32) -> bool {
        values.iter().fold(true, |all, &v| all & (v == to))
    }

    fn bins(values: &[f32], binning: Binning, out: &mut Vec<u8>) {
        out.resize(values.len(), 0);
        out.iter_mut().zip(values).for_each(|(b, &v)| *b = binning.of(v));
    }

    /// How many values are below the bounds, and how many within.
    fn count(values: &[f32], bounds: Bounds) -> (usize, usize) {
        let (mut below, mut within) = (0u32, 0u32);
        for &v in values {
            below += u32::from(v < bounds.low);
            within += u32::from(bounds.hold(v));
        }
        (below as usize, within as usize)
    }

    /// Least and greatest value within the bounds.
    fn range(values: &[f32], bounds: Bounds) -> (f32, f32) {
        values.iter().filter(|&&v| bounds.hold(v)).fold((f32::INFINITY, f32::NEG_INFINITY), |r, &v| (r.0.min(v), r.1.max(v)))
    }

    /// Sums of `v - pivot` and of its square over the values within the bounds.
    fn sums(values: &[f32], bounds: Bounds, pivot: f64) -> (f64, f64) {
        let (mut s1, mut s2) = ([0f64; LANES], [0f64; LANES]);
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            for l in 0..LANES {
                let d = f64::from(block[l]) - pivot;
                let d = if bounds.hold(block[l]) { d } else { 0.0 };
                s1[l] += d;
                s2[l] += d * d;
            }
        }
        for (l, &v) in rest.iter().enumerate().filter(|(_, v)| bounds.hold(**v)) {
            let d = f64::from(v) - pivot;
            s1[l] += d;
            s2[l] += d * d;
        }
        (s1.iter().sum(), s2.iter().sum())
    }

    /// The values of one bin.
    fn collect(values: &[f32], bins: &[u8], bin: u8, members: &mut Vec<f32>) {
        for (values, bins) in values.chunks(LANES).zip(bins.chunks(LANES)) {
            if bins.iter().fold(false, |any, &b| any | (b == bin)) {
                let (mut n, mut found) = (0, [0.0; LANES + 1]);
                for (&v, &b) in values.iter().zip(bins) {
                    found[n] = v;
                    n += usize::from(b == bin);
                }
                members.extend_from_slice(&found[..n]);
            }
        }
    }
}
