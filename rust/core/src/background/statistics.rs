//! Sigma-clipped level and rms of each box.

use rayon::prelude::*;

use crate::{Error, Result, View2, with_threads};

/// How outliers are removed from a box: `astropy.stats.SigmaClip` about the median, in units of the standard deviation.
#[derive(Debug, Clone, Copy)]
pub struct SigmaClip {
    /// Pixels farther than this from the median, in standard deviations, are clipped.
    pub sigma: f64,
    /// How often at most.
    pub iterations: usize,
}

/// `photutils.Background2D`'s own.
impl Default for SigmaClip {
    fn default() -> Self {
        Self { sigma: 3.0, iterations: 10 }
    }
}

/// Statistics of the boxes of an image, row-major, `(ny, nx)` boxes.
#[derive(Debug, Clone)]
pub struct MeshStatistics {
    /// Boxes along y and x.
    pub shape: (usize, usize),
    /// Sky level: SExtractor's mode; NaN where a box has no good pixel.
    pub level: Vec<f64>,
    /// Standard deviation of the pixels that survive the clipping; NaN where there are none.
    pub rms: Vec<f64>,
    /// Number of pixels that survive.
    pub ngood: Vec<u32>,
}

/// Level, rms and number of good pixels of the boxes of `box_shape` pixels; the last ones of a row or column may be partial.
///
/// Good pixels are finite and not in `mask` (true: left out). The level is `2.5 median - 1.5 mean` of the pixels that
/// survive the clipping, or the median where `|mean - median| >= 0.3 std`, or the mean where `std == 0`.
///
/// Parity: `photutils.Background2D` 3.0 on the same pixels in float64, to rounding (on float32 input photutils itself
/// rounds its means to float32). As in astropy's compiled `SigmaClip`, the bounds of the last iteration are applied to all
/// good pixels of the box, those clipped earlier included; photutils' single corner box, which goes another way through
/// astropy, can differ where such a pixel comes back.
///
/// Method: the pixels of a box are distributed once over 256 bins of value; each iteration then adds up bins, and looks
/// at pixels only in the two bins that hold its bounds and the one that holds the median. Exact whatever the values: bins
/// that fit badly cost time, not accuracy.
pub fn mesh_statistics(
    image: View2<'_, f32>,
    mask: Option<View2<'_, bool>>,
    box_shape: (usize, usize),
    clip: SigmaClip,
    threads: Option<usize>,
) -> Result<MeshStatistics> {
    let (ny, nx) = image.shape();
    if let Some(m) = mask.filter(|m| m.shape() != (ny, nx)) {
        let got = m.shape();
        return Err(Error::Shape { name: "mask", got: vec![got.0, got.1], expected: vec![ny, nx] });
    }
    let (by, bx) = box_shape;
    if by == 0 || bx == 0 || by.saturating_mul(bx) > u32::MAX as usize {
        return Err(Error::Value(format!(
            "box_size ({by}, {bx}): both sides must be positive, and the box below 2^32 pixels"
        )));
    }
    if clip.sigma.is_nan() || clip.sigma <= 0.0 {
        return Err(Error::Value(format!("sigma {}: must be positive", clip.sigma)));
    }
    let shape = (ny.div_ceil(by), nx.div_ceil(bx));
    let boxes: Vec<(f64, f64, u32)> = with_threads(threads, || {
        (0..shape.0 * shape.1)
            .into_par_iter()
            .map_init(Pixels::default, |pixels, i| {
                let (y0, x0) = (i / shape.1 * by, i % shape.1 * bx);
                pixels.gather(image, mask, y0..ny.min(y0 + by), x0..nx.min(x0 + bx));
                pixels.statistics(clip)
            })
            .collect()
    });
    Ok(MeshStatistics {
        shape,
        level: boxes.iter().map(|b| b.0).collect(),
        rms: boxes.iter().map(|b| b.1).collect(),
        ngood: boxes.iter().map(|b| b.2).collect(),
    })
}

const BINS: usize = 256;
/// Half-width of the binned range in interquartile ranges of a sample: 4 of them are 5.4 standard deviations of a normal sky.
const HALF_RANGE: f32 = 4.0;
const SAMPLE: usize = 64;

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
        // Subtraction, multiplication and the (saturating) cast are monotonic; 0 * inf = NaN casts to 0, as all do at scale 0.
        ((value - self.low) * self.scale).clamp(0.0, (BINS - 1) as f32) as u8
    }
}

/// The good pixels of one box, grouped by bin, and room to work.
struct Pixels {
    values: Vec<f32>,
    sorted: Vec<f32>,
    bin: Vec<u8>,
    scratch: Vec<f32>,
    start: [u32; BINS + 1],
    /// Sums of `v - pivot` and of its square over each bin.
    sums: [(f64, f64); BINS],
    pivot: f64,
    binning: Binning,
}

impl Default for Pixels {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            sorted: Vec::new(),
            bin: Vec::new(),
            scratch: Vec::new(),
            start: [0; BINS + 1],
            sums: [(0.0, 0.0); BINS],
            pivot: 0.0,
            binning: Binning { low: 0.0, scale: 0.0 },
        }
    }
}

/// Values `low <= v <= high`, compared in float64.
#[derive(Clone, Copy)]
struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    const ALL: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    #[inline(always)]
    fn hold(self, v: f32) -> bool {
        let v = f64::from(v);
        v >= self.low && v <= self.high
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

impl Pixels {
    fn gather(
        &mut self,
        image: View2<'_, f32>,
        mask: Option<View2<'_, bool>>,
        ys: std::ops::Range<usize>,
        xs: std::ops::Range<usize>,
    ) {
        self.values.clear();
        for y in ys {
            match (image.row(y), mask.map(|m| m.row(y))) {
                (Some(row), None) => self.push(&row[xs.clone()], None),
                (Some(row), Some(Some(m))) => self.push(&row[xs.clone()], Some(&m[xs.clone()])),
                _ => self.values.extend(xs.clone().filter_map(|x| {
                    let v = image.get(y, x);
                    (v.is_finite() && !mask.is_some_and(|m| m.get(y, x))).then_some(v)
                })),
            }
        }
    }

    /// Takes the good pixels of a piece of a row.
    fn push(&mut self, row: &[f32], mask: Option<&[bool]>) {
        let masked = mask.is_some_and(|m| m.iter().fold(false, |any, &m| any | m));
        if !masked && row.iter().fold(true, |all, v| all & v.is_finite()) {
            return self.values.extend_from_slice(row);
        }
        let mut n = self.values.len();
        self.values.resize(n + row.len(), 0.0);
        // Every pixel is written, and the next one over it if it is not good: no branch to mispredict.
        for (x, &v) in row.iter().enumerate() {
            self.values[n] = v;
            n += usize::from(v.is_finite() & !mask.is_some_and(|m| m[x]));
        }
        self.values.truncate(n);
    }

    /// Counting sort by bin, and the sums of each bin.
    fn distribute(&mut self) {
        let n = self.values.len();
        self.binning = Binning::fit(&self.values);
        let binning = self.binning;
        self.bin.clear();
        self.bin.extend(self.values.iter().map(|&v| binning.of(v)));
        let mut counts = [0u32; BINS];
        self.bin.iter().for_each(|&b| counts[usize::from(b)] += 1);
        let mut next = [0u32; BINS];
        for b in 0..BINS {
            next[b] = self.start[b];
            self.start[b + 1] = self.start[b] + counts[b];
        }
        self.sorted.resize(n, 0.0);
        for (&v, &b) in self.values.iter().zip(&self.bin) {
            let at = &mut next[usize::from(b)];
            self.sorted[*at as usize] = v;
            *at += 1;
        }
        // A value near the middle, so that the sums of squares lose nothing; for equal values, the very value: std is exactly 0.
        self.pivot = f64::from(self.sorted[n / 2]);
        for b in 0..BINS {
            let pair = |v: &[f32]| {
                let d = [f64::from(v[0]) - self.pivot, f64::from(v[1]) - self.pivot];
                [d[0], d[1], d[0] * d[0], d[1] * d[1]]
            };
            // Two sums side by side: additions wait for one another.
            let pairs = self.in_bin(b).chunks_exact(2);
            let rest = self.sum(pairs.remainder(), Bounds::ALL).1;
            let sums = pairs.map(pair).fold([0.0; 4], |s, p| [s[0] + p[0], s[1] + p[1], s[2] + p[2], s[3] + p[3]]);
            self.sums[b] = (sums[0] + sums[1] + rest.0, sums[2] + sums[3] + rest.1);
        }
    }

    fn in_bin(&self, bin: usize) -> &[f32] {
        &self.sorted[self.start[bin] as usize..self.start[bin + 1] as usize]
    }

    /// Number of values within the bounds, and their sums.
    fn sum(&self, values: &[f32], bounds: Bounds) -> (usize, (f64, f64)) {
        let (mut n, mut sums) = (0, (0.0, 0.0));
        for &v in values.iter().filter(|&&v| bounds.hold(v)) {
            let d = f64::from(v) - self.pivot;
            n += 1;
            sums.0 += d;
            sums.1 += d * d;
        }
        (n, sums)
    }

    /// The bins that hold the bounds: all bins between them lie within the bounds.
    ///
    /// A bound is rounded to float32, which is monotonic: a value on one side of it is never in a bin on the other.
    fn edges(&self, bounds: Bounds) -> (usize, usize) {
        (usize::from(self.binning.of(bounds.low as f32)), usize::from(self.binning.of(bounds.high as f32)))
    }

    /// The value of this rank, from 0, among those within the bounds.
    fn kth(&mut self, mut rank: usize, bounds: Bounds) -> f64 {
        let (first, last) = self.edges(bounds);
        for b in first..=last {
            let inside = if b == first || b == last {
                self.in_bin(b).iter().filter(|&&v| bounds.hold(v)).count()
            } else {
                self.in_bin(b).len()
            };
            if rank < inside {
                let (from, to) = (self.start[b] as usize, self.start[b + 1] as usize);
                // Often so in images with much of one value, and the bin is then large.
                let first = self.sorted[from];
                if self.sorted[from..to].iter().fold(true, |same, &v| same & (v == first)) {
                    return f64::from(first);
                }
                self.scratch.clear();
                self.scratch.extend(self.sorted[from..to].iter().filter(|&&v| bounds.hold(v)));
                return f64::from(*self.scratch.select_nth_unstable_by(rank, f32::total_cmp).1);
            }
            rank -= inside;
        }
        unreachable!("rank beyond the number of values")
    }

    fn moments(&mut self, bounds: Bounds) -> Moments {
        let (first, last) = self.edges(bounds);
        let (mut n, (mut s1, mut s2)) = (0, (0.0, 0.0));
        for b in first..=last {
            let (count, (b1, b2)) = if b == first || b == last {
                self.sum(self.in_bin(b), bounds)
            } else {
                (self.in_bin(b).len(), self.sums[b])
            };
            n += count;
            s1 += b1;
            s2 += b2;
        }
        if n == 0 {
            return Moments { n, median: f64::NAN, mean: f64::NAN, std: f64::NAN };
        }
        let upper = self.kth(n / 2, bounds);
        let median = if n % 2 == 1 { upper } else { 0.5 * (self.kth(n / 2 - 1, bounds) + upper) };
        let offset = s1 / n as f64;
        let std = ((s2 - s1 * offset).max(0.0) / n as f64).sqrt();
        Moments { n, median, mean: self.pivot + offset, std }
    }

    /// Level, rms and number of the pixels that survive the clipping.
    fn statistics(&mut self, clip: SigmaClip) -> (f64, f64, u32) {
        if self.values.is_empty() {
            return (f64::NAN, f64::NAN, 0);
        }
        self.distribute();
        let mut survivors = Bounds::ALL;
        let mut last = Bounds::ALL;
        let mut all = self.moments(survivors);
        for _ in 0..clip.iterations {
            last = Bounds { low: all.median - clip.sigma * all.std, high: all.median + clip.sigma * all.std };
            survivors = Bounds { low: survivors.low.max(last.low), high: survivors.high.min(last.high) };
            let fewer = self.moments(survivors);
            // No pixel is left where rounding puts the median of few values outside bounds that are all but equal to it.
            if fewer.n == all.n || fewer.n == 0 {
                break;
            }
            all = fewer;
        }
        let Moments { n, median, mean, std } = self.moments(last);
        if n == 0 {
            return (f64::NAN, f64::NAN, 0);
        }
        let (low, high) = (self.kth(0, last), self.kth(n - 1, last));
        if low == high {
            return (low, 0.0, n as u32);
        }
        let level = if (mean - median).abs() / std >= 0.3 { median } else { 2.5 * median - 1.5 * mean };
        (level, std, n as u32)
    }
}

#[cfg(test)]
mod tests;
