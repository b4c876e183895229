//! Where the values of a block are cut into bins.

use super::keys::Key;
use super::lanes::BINS;

/// Windows along the side of a block whose medians are estimated.
const PROBES: usize = 4;

/// Pixels a sample along the side of a window.
fn spacing(k: usize) -> usize {
    k.div_ceil(16 + k / 16)
}

/// Chooses the edges; keeps its buffers.
#[derive(Default)]
pub(super) struct Chooser<K> {
    /// Sampled keys, row by row.
    samples: Vec<K>,
    sorted: Vec<K>,
    /// Those of one window.
    window: Vec<K>,
    /// How many probes' medians may lie at each sorted sample.
    cover: Vec<i32>,
}

impl<K: Key> Chooser<K> {
    /// Ascending edges: bin `i` holds the keys in `edges[i - 1]..edges[i]`. Any edges are correct. For speed, bins are
    /// narrow where a sample expects medians, and a frequent value has one for itself alone. `K::MAX` is NaN, or an edge
    /// that is not used.
    pub fn edges(&mut self, keys: &[K], width: usize, size: (usize, usize)) -> [K; BINS - 1] {
        let height = keys.len() / width;
        let (sy, sx) = (spacing(size.0), spacing(size.1));
        let (ny, nx) = (height.div_ceil(sy), width.div_ceil(sx));
        // One pixel of each cell, at random so that no pattern of the image escapes; the generator is Knuth's.
        let mut random = 1u32;
        let mut jitter = |s: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((random >> 16) as usize * s) >> 16
        };
        self.samples.clear();
        for y in 0..ny {
            for x in 0..nx {
                let (y, x) = (y * sy + jitter(sy), x * sx + jitter(sx));
                self.samples.push(keys[y.min(height - 1) * width + x.min(width - 1)]);
            }
        }
        self.sorted.clear();
        self.sorted.extend(self.samples.iter().filter(|&&key| key != K::MAX));
        self.sorted.sort_unstable();
        self.cover.clear();
        self.cover.resize(self.sorted.len() + 1, 0);
        for i in 0..PROBES {
            for j in 0..PROBES {
                let corner = |n: usize, k: usize, i: usize| (n - k) * i / (PROBES - 1);
                let (y, x) = (corner(height, size.0, i) / sy, corner(width, size.1, j) / sx);
                self.probe(y..(y + size.0.div_ceil(sy)).min(ny), x..(x + size.1.div_ceil(sx)).min(nx), nx);
            }
        }
        self.cut()
    }

    /// Marks where the median of a window may lie.
    fn probe(&mut self, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>, nx: usize) {
        self.window.clear();
        for y in rows {
            let row = &self.samples[y * nx..][cols.clone()];
            self.window.extend(row.iter().filter(|&&key| key != K::MAX));
        }
        let n = self.window.len();
        if n == 0 {
            return;
        }
        // 1.5 standard deviations of the rank of a sample's median.
        let margin = (0.75 * (n as f64).sqrt()) as usize + 1;
        let (low, high) = ((n / 2).saturating_sub(margin), (n / 2 + margin).min(n - 1));
        let (_, &mut first, rest) = self.window.select_nth_unstable(low);
        let last = if high > low { *rest.select_nth_unstable(high - low - 1).1 } else { first };
        self.cover[self.sorted.partition_point(|&key| key < first)] += 1;
        self.cover[self.sorted.partition_point(|&key| key <= last)] -= 1;
    }

    /// The work that a bin causes is how often it is asked for times how many pixels it has, which is least if edges are
    /// as dense as the square root of the ratio of the two. An eighth of them is spread evenly over all pixels.
    fn cut(&self) -> [K; BINS - 1] {
        let mut edges = [K::MAX; BINS - 1];
        let mut covered = 0;
        let mut total = 0.0;
        for change in &self.cover {
            covered += change;
            total += f64::from(covered).sqrt();
        }
        let even = total / 7.0 / self.sorted.len().max(1) as f64;
        let mut share = total * 8.0 / 7.0 / (BINS - 2) as f64;
        loop {
            match self.try_cut(even, share, &mut edges) {
                Some(n) => {
                    edges[n..].fill(K::MAX);
                    return edges;
                }
                None => share *= 1.25,
            }
        }
    }

    /// Cuts such that a bin weighs about `share`; returns how many edges there are unless they are too many.
    fn try_cut(&self, even: f64, share: f64, edges: &mut [K; BINS - 1]) -> Option<usize> {
        let (mut n, mut weight, mut covered, mut at) = (0, 0.0, 0, 0);
        for run in self.sorted.chunk_by(|a, b| a == b) {
            let mut own = 0.0;
            for change in &self.cover[at..at + run.len()] {
                covered += change;
                own += f64::from(covered).sqrt() + even;
            }
            at += run.len();
            let frequent = run.len() > 1 && own >= share;
            if (frequent || weight >= share) && (n == 0 || edges[n - 1] != run[0]) {
                *edges.get_mut(n)? = run[0];
                n += 1;
                weight = 0.0;
            }
            weight += own;
            if frequent {
                *edges.get_mut(n)? = run[0].next();
                n += 1;
                weight = 0.0;
            }
        }
        Some(n)
    }
}
