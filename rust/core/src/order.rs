//! Exact order statistics of any number of pixels, in bounded memory.
//!
//! Radix selection: each pass over the pixels counts the next 16 bits of the order-preserving keys of those that can
//! still be one of the wanted. 8- and 16-bit types need one pass, 32-bit types two, 64-bit types four. The counts do not
//! depend on how the pixels are cut into chunks, nor on threads.
//!
//! Where a sample of the pixels can be had beforehand, one pass is enough: it counts the pixels below narrow brackets that
//! hold the wanted values with near certainty, and collects those inside. If the sample misled, radix selection follows.

mod brackets;
#[cfg(target_arch = "x86_64")]
mod scan_f32;

use crate::simd::level;
use crate::stored::row_of;
use crate::threads::{map, number_of};
use crate::{Error, Pixel, Result, Stored, View2};
use brackets::Brackets;

/// How many ranks can be sought at once; bounds the memory at 512 KiB a rank and thread.
pub const MAX_RANKS: usize = 32;

/// Pixels that a thread takes at least.
const GRAIN: usize = 1 << 18;

/// Finds the values of given ranks among all pixels that are not NaN.
///
/// Show every chunk to [`add`](Self::add); when all were seen, say with [`choose`](Self::choose) which ranks of the
/// [`count`](Self::count) are wanted, close the pass with [`end_pass`](Self::end_pass), and go through the same chunks
/// again until it says that the [`values`](Self::values) are found.
#[derive(Debug, Clone)]
pub struct OrderStatistics<T> {
    skip_infinite: bool,
    /// Bits of the key that are already known.
    known: u32,
    /// Pixels of the first pass, once it is closed.
    count: Option<u64>,
    seen: u64,
    /// Of a first pass that was aimed.
    brackets: Option<Brackets<T>>,
    /// Leading bits (`known` of them) of the wanted keys; ascending, distinct.
    prefixes: Vec<u64>,
    /// By the first digit of a key: 1 + the first of `prefixes` that begins with it, or 0.
    first: Vec<u8>,
    /// How often each digit follows each prefix.
    histogram: Vec<u64>,
    /// Index into `prefixes`, and rank among the keys that begin so.
    wanted: Vec<(usize, u64)>,
    values: Option<Vec<T>>,
}

impl<T: Pixel> OrderStatistics<T> {
    /// Bits counted in a pass.
    const DIGIT: u32 = if T::BITS < 16 { T::BITS } else { 16 };

    /// Nothing seen yet; NaN never counts, infinities do unless they are to be skipped.
    pub fn new(skip_infinite: bool) -> Self {
        Self {
            skip_infinite,
            known: 0,
            count: None,
            seen: 0,
            brackets: None,
            prefixes: vec![0],
            first: vec![],
            histogram: vec![0; 1 << Self::DIGIT],
            wanted: vec![],
            values: None,
        }
    }

    /// Pixels that count: of the first pass, or of it so far.
    pub fn count(&self) -> u64 {
        self.count.unwrap_or(self.seen)
    }

    /// The values, in the order of the ranks, once they are found.
    pub fn values(&self) -> Option<&[T]> {
        self.values.as_deref()
    }

    /// Before the first pass: says which fractions of the pixels will be wanted, near enough, of what `planes` hold in all.
    ///
    /// One pass is then enough, unless the pixels shown are others. Collects a few percent of them. Does nothing if there
    /// are few pixels, or one pass is enough anyway.
    pub fn aim<S: Stored<T>>(&mut self, planes: &[View2<'_, S>], fractions: &[f64]) -> Result<()> {
        if self.seen > 0 || self.count.is_some() {
            return Err(Error::Value("aim before the first pass".into()));
        }
        if let Some(f) = fractions.iter().find(|f| !(0.0..=1.0).contains(*f)) {
            return Err(Error::Value(format!("fraction {f}: must lie between 0 and 1")));
        }
        if T::BITS > Self::DIGIT && fractions.len() <= MAX_RANKS {
            let sample = brackets::sample(planes, self.skip_infinite);
            self.brackets = sample.and_then(|(keys, count)| Brackets::new(keys, fractions, count));
        }
        Ok(())
    }

    /// Takes a chunk into account.
    pub fn add<S: Stored<T>>(&mut self, chunk: View2<'_, S>, threads: Option<usize>) -> Result<()> {
        if self.values.is_some() {
            return Err(Error::Value("all passes are done: nothing can be added".into()));
        }
        let (ny, nx) = chunk.shape();
        let (this, size) = (&*self, ny * nx);
        let pieces = number_of(threads).min(size / GRAIN + 1);
        // Rows are shared out, or the pixels of the only row.
        let (n, by_rows) = if ny >= pieces { (ny, true) } else { (nx, false) };
        let tallies = map(
            threads,
            pieces,
            || (),
            |(), i| {
                let range = i * n / pieces..(i + 1) * n / pieces;
                let (rows, cols) = if by_rows { (range, 0..nx) } else { (0..ny, range) };
                this.tally(chunk, rows, cols)
            },
        );
        let tally = tallies.into_iter().reduce(Tally::merge);
        let Some(Tally { seen, counts }) = tally else { return Ok(()) };
        match (counts, &mut self.brackets) {
            (Counts::Around(brackets), Some(all)) => all.merge(brackets),
            (Counts::Around(_), None) => unreachable!("brackets without any"),
            (Counts::Digits(h), _) => self.histogram.iter_mut().zip(h).for_each(|(a, b)| *a += b),
        }
        self.seen += seen;
        Ok(())
    }

    /// Counts a piece.
    fn tally<S: Stored<T>>(
        &self,
        chunk: View2<'_, S>,
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
    ) -> Tally<T> {
        let mut seen = 0;
        let mut counts = match &self.brackets {
            Some(brackets) => Counts::Around(brackets.fresh()),
            None => Counts::Digits(vec![0; self.histogram.len()]),
        };
        let (level, mut scratch) = (level(), vec![]);
        for y in rows {
            for x in cols.clone().step_by(brackets::CHUNK) {
                let run = x..cols.end.min(x + brackets::CHUNK);
                seen += match (&mut counts, chunk.row(y)) {
                    (Counts::Around(brackets), Some(row)) => brackets.add(level, &row[run], self.skip_infinite),
                    (Counts::Around(brackets), None) => {
                        brackets.add(level, row_of(chunk, y, run, &mut scratch), self.skip_infinite)
                    }
                    (Counts::Digits(histogram), _) => self.count_digits(row_of(chunk, y, run, &mut scratch), histogram),
                };
            }
        }
        Tally { seen, counts }
    }

    /// Counts the next digits of a run; how many pixels count at all.
    fn count_digits(&self, run: &[T], histogram: &mut [u64]) -> u64 {
        let mut seen = 0;
        let mask = (1 << Self::DIGIT) - 1;
        for &v in run {
            if v.is_nan() || self.skip_infinite && !v.is_finite() {
                continue;
            }
            seen += 1;
            let key = v.key();
            let digit = (key >> (T::BITS - self.known - Self::DIGIT)) as usize & mask;
            if self.known == 0 {
                histogram[digit] += 1;
                continue;
            }
            let first = self.first[(key >> (T::BITS - Self::DIGIT)) as usize];
            if first > 0 {
                let prefix = key >> (T::BITS - self.known);
                if let Some(i) = self.prefixes[first as usize - 1..].iter().position(|&p| p >= prefix) {
                    let slot = first as usize - 1 + i;
                    if self.prefixes[slot] == prefix {
                        histogram[slot << Self::DIGIT | digit] += 1;
                    }
                }
            }
        }
        seen
    }

    /// Says which ranks (0 is the least) are wanted; at the end of the first pass, when the count is known.
    pub fn choose(&mut self, ranks: &[u64]) -> Result<()> {
        if self.count.is_some() {
            return Err(Error::Value("ranks are chosen at the end of the first pass".into()));
        }
        if ranks.len() > MAX_RANKS {
            return Err(Error::Value(format!("{} ranks: at most {MAX_RANKS} at once", ranks.len())));
        }
        if let Some(rank) = ranks.iter().find(|&&rank| rank >= self.seen) {
            return Err(Error::Value(format!("rank {rank} of {} pixels", self.seen)));
        }
        self.wanted = ranks.iter().map(|&rank| (0, rank)).collect();
        Ok(())
    }

    /// Closes a pass; true when the values are found.
    pub fn end_pass(&mut self) -> Result<bool> {
        if self.values.is_some() {
            return Ok(true);
        }
        let (seen, count) = (self.seen, *self.count.get_or_insert(self.seen));
        if seen != count {
            return Err(Error::Value(format!(
                "this pass saw {seen} pixels, the first one {count}: every pass must see the same"
            )));
        }
        if let Some(mut brackets) = self.brackets.take() {
            self.seen = 0;
            self.values = brackets.values(self.wanted.iter().map(|&(_, rank)| rank));
            return Ok(self.values.is_some());
        }
        let mut found = Vec::with_capacity(self.wanted.len());
        for &(slot, rank) in &self.wanted {
            let mut rest = rank;
            let counts = &self.histogram[slot << Self::DIGIT..(slot + 1) << Self::DIGIT];
            let digit = counts.iter().position(|&n| {
                let inside = rest < n;
                rest -= if inside { 0 } else { n };
                inside
            });
            // As many pixels, but others.
            let digit = digit.ok_or_else(|| Error::Value("this pass saw other pixels than the first one".into()))?;
            found.push((self.prefixes[slot] << Self::DIGIT | digit as u64, rest));
        }
        self.known += Self::DIGIT;
        self.seen = 0;
        if self.known == T::BITS {
            self.values = Some(found.iter().map(|&(key, _)| T::from_key(key)).collect());
            self.histogram = vec![];
            return Ok(true);
        }
        self.prefixes = found.iter().map(|&(prefix, _)| prefix).collect();
        self.prefixes.sort_unstable();
        self.prefixes.dedup();
        self.wanted = found.iter().map(|&(p, rest)| (self.prefixes.partition_point(|&q| q < p), rest)).collect();
        self.first = vec![0; 1 << Self::DIGIT];
        for (i, prefix) in self.prefixes.iter().enumerate().rev() {
            self.first[(prefix >> (self.known - Self::DIGIT)) as usize] = i as u8 + 1;
        }
        self.histogram = vec![0; self.prefixes.len() << Self::DIGIT];
        Ok(false)
    }
}

/// What a piece holds.
struct Tally<T> {
    seen: u64,
    counts: Counts<T>,
}

enum Counts<T> {
    Around(Brackets<T>),
    Digits(Vec<u64>),
}

impl<T: Pixel> Tally<T> {
    fn merge(mut self, other: Self) -> Self {
        match (&mut self.counts, other.counts) {
            (Counts::Around(a), Counts::Around(b)) => a.merge(b),
            (Counts::Digits(a), Counts::Digits(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
            _ => unreachable!("one pass counts in one way"),
        }
        self.seen += other.seen;
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find<T: Pixel + PartialOrd>(values: &[T], ranks: &[u64], chunk: usize) -> Vec<T> {
        let mut order = OrderStatistics::new(false);
        loop {
            values.chunks(chunk).for_each(|c| order.add(View2::from_slice(c, (1, c.len())), Some(2)).unwrap());
            if order.count.is_none() {
                order.choose(ranks).unwrap();
            }
            if order.end_pass().unwrap() {
                return order.values().unwrap().to_vec();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equals_sorting(
            values in prop::collection::vec(any::<f64>(), 1..200),
            chunk in 20usize..50,
            pick in any::<[u64; 3]>(),
        ) {
            let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            sorted.sort_by(f64::total_cmp);
            prop_assume!(!sorted.is_empty());
            let ranks = pick.map(|r| r % sorted.len() as u64);
            let expected: Vec<f64> = ranks.iter().map(|&r| sorted[r as usize]).collect();
            prop_assert_eq!(find(&values, &ranks, chunk), expected);
        }

        #[test]
        fn equals_sorting_of_near_values(
            values in prop::collection::vec(-3i32..3, 1..200),
            bytes in prop::collection::vec(any::<i8>(), 1..99),
        ) {
            let floats: Vec<f32> = values.iter().map(|&v| v as f32 * 1e-40).collect();
            let mut sorted = floats.clone();
            sorted.sort_by(f32::total_cmp);
            let ranks: Vec<u64> = (0..sorted.len() as u64).step_by(7).collect();
            let expected: Vec<f32> = sorted.iter().copied().step_by(7).collect();
            prop_assert_eq!(find(&floats, &ranks, 40), expected);
            let mut sorted = bytes.clone();
            sorted.sort();
            prop_assert_eq!(find(&bytes, &[0, sorted.len() as u64 - 1], 40), vec![sorted[0], sorted[sorted.len() - 1]]);
        }
    }

    #[test]
    fn a_sample_that_misleads_costs_passes_not_accuracy() {
        let sampled: Vec<f32> = (0..1 << 17).map(|i| (i % 1000) as f32).collect();
        for (shown, passes) in [(&sampled, 1), (&sampled.iter().map(|v| v * v + 2000.0).collect(), 3)] {
            let mut order = OrderStatistics::<f32>::new(false);
            order.aim(&[View2::from_slice(&sampled, (128, 1024))], &[0.25, 0.5]).unwrap();
            let mut sorted = shown.clone();
            sorted.sort_by(f32::total_cmp);
            let ranks = [1u64 << 15, 1 << 16];
            for pass in 1.. {
                order.add(View2::from_slice(shown, (128, 1024)), Some(2)).unwrap();
                if pass == 1 {
                    order.choose(&ranks).unwrap();
                }
                assert_eq!(order.count(), 1 << 17);
                if order.end_pass().unwrap() {
                    assert_eq!(pass, passes);
                    break;
                }
            }
            assert_eq!(order.values().unwrap(), ranks.map(|r| sorted[r as usize]));
        }
    }

    #[test]
    fn a_second_pass_over_other_pixels_is_an_error() {
        let (a, b) = ([1.0f32, 2.0, 3.0], [5.0f32, 6.0, 7.0]);
        let mut order = OrderStatistics::new(false);
        order.add(View2::from_slice(&a, (1, 3)), None).unwrap();
        order.choose(&[1]).unwrap();
        assert!(!order.end_pass().unwrap());
        assert!(order.clone().end_pass().is_err());
        order.add(View2::from_slice(&b, (1, 3)), None).unwrap();
        assert!(order.end_pass().is_err());
    }
}
