//! One pass instead of several: a sample says between which values the wanted ones lie.

use crate::leveled::leveled;
use crate::simd::Level;
use crate::{Pixel, Stored, View2};

/// Standard deviations of a quantile of the sample that a bracket reaches to either side.
const REACH: f64 = 4.0;
/// Pixels that are looked at together: few enough for a core's first cache.
pub(super) const CHUNK: usize = 2048;
/// Pixels that are compared together.
const LANES: usize = 32;

/// Counts around the bracket, and what lies inside.
#[derive(Debug, Clone)]
struct Bracket<T> {
    low: T,
    high: T,
    below: u64,
    at_low: u64,
    at_high: u64,
    /// Between `low` and `high`, both excluded: ties at the ends of a bracket, where any large group of equal pixels that
    /// a bracket meets must reach, cost no memory.
    inside: Vec<T>,
    /// How many of them are known to be the least.
    placed: usize,
}

/// Brackets, one for each wanted fraction of the pixels.
#[derive(Debug, Clone)]
pub(super) struct Brackets<T> {
    each: Vec<Bracket<T>>,
    /// Values that a bracket may hold.
    room: usize,
    full: bool,
}

impl<T: Pixel> Brackets<T> {
    /// Brackets around these fractions of `count` pixels, from the keys of a sample of them.
    pub(super) fn new(mut keys: Vec<u64>, fractions: &[f64], count: usize) -> Option<Self> {
        let m = keys.len();
        if m == 0 {
            return None;
        }
        let mut key_at = |rank: f64, beyond: u64| match rank {
            r if r < 0.0 || r >= m as f64 => beyond,
            r => *keys.select_nth_unstable(r as usize).1,
        };
        // Beyond the sample: no number's key is less or greater.
        let (least, most) = (0, u64::MAX >> (64 - T::BITS));
        let bracket = |&f: &f64| {
            let (centre, reach) = (f * (m - 1) as f64, REACH * (m as f64 * f * (1.0 - f)).sqrt() + 2.0);
            Bracket {
                low: T::from_key(key_at((centre - reach).floor(), least)),
                high: T::from_key(key_at((centre + reach).ceil(), most)),
                below: 0,
                at_low: 0,
                at_high: 0,
                inside: vec![],
                placed: 0,
            }
        };
        let each: Vec<_> = fractions.iter().map(bracket).collect();
        Some(Self { each, room: count / 4, full: false })
    }

    /// Empty ones, to count a piece with.
    pub(super) fn fresh(&self) -> Self {
        let each = self
            .each
            .iter()
            .map(|b| Bracket { below: 0, at_low: 0, at_high: 0, inside: vec![], placed: 0, ..*b })
            .collect();
        Self { each, ..*self }
    }

    /// Counts a row; how many pixels count at all.
    pub(super) fn add<S: Stored<T>>(&mut self, level: Level, row: &[S], finite: bool) -> u64 {
        row.chunks(CHUNK)
            .map(|chunk| {
                for b in &mut self.each {
                    let [below, at_low, at_high] = scan(level, chunk, finite, b.low, b.high, &mut b.inside);
                    b.below += below;
                    b.at_low += at_low;
                    b.at_high += at_high;
                    self.full |= b.inside.len() > self.room;
                    if self.full {
                        b.inside = vec![];
                    }
                }
                real::<T, S>(level, chunk, finite)
            })
            .sum()
    }

    /// Takes the counts of another piece along.
    pub(super) fn merge(&mut self, other: Self) {
        self.full |= other.full;
        for (a, b) in self.each.iter_mut().zip(other.each) {
            a.below += b.below;
            a.at_low += b.at_low;
            a.at_high += b.at_high;
            a.inside.extend_from_slice(&b.inside);
            self.full |= a.inside.len() > self.room;
            if self.full {
                a.inside = vec![];
            }
        }
    }

    /// The values of these ranks, if all lie inside a bracket.
    pub(super) fn values(&mut self, ranks: impl Iterator<Item = u64>) -> Option<Vec<T>> {
        ranks.map(|rank| if self.full { None } else { self.each.iter_mut().find_map(|b| b.value(rank)) }).collect()
    }
}

impl<T: Pixel> Bracket<T> {
    fn value(&mut self, rank: u64) -> Option<T> {
        let rank = rank.checked_sub(self.below)?;
        if rank < self.at_low {
            return Some(self.low);
        }
        let rank = rank - self.at_low;
        let inside = self.inside.len() as u64;
        if rank < inside {
            let rank = rank as usize;
            // Ranks come in pairs, to interpolate between: the second one is the least of what is left.
            let from = if rank >= self.placed { self.placed } else { 0 };
            let (_, &mut value, _) = self.inside[from..].select_nth_unstable_by_key(rank - from, |v| v.key());
            self.placed = rank + 1;
            return Some(value);
        }
        (rank - inside < self.at_high && self.low.key() < self.high.key()).then_some(self.high)
    }
}

/// Whether a pixel counts.
#[inline(always)]
fn counts<T: Pixel>(v: T, finite: bool) -> bool {
    !v.is_nan() & (!finite | v.is_finite())
}

/// Counts values below `low`, equal to it and equal to `high`, and collects those between.
fn scan<T: Pixel, S: Stored<T>>(
    level: Level,
    values: &[S],
    finite: bool,
    low: T,
    high: T,
    inside: &mut Vec<T>,
) -> [u64; 3] {
    #[cfg(target_arch = "x86_64")]
    if level > Level::Scalar
        && let Some(inside) = (inside as &mut dyn std::any::Any).downcast_mut::<Vec<f32>>()
    {
        // SAFETY: `T` is f32, as the downcast shows, and what it may be stored as has its size and alignment.
        let values = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u32>(), values.len()) };
        let limits = [low.key() as u32, high.key() as u32];
        return if S::SWAPPED {
            super::scan_f32::scan::<true>(level, values, finite, limits, inside)
        } else {
            super::scan_f32::scan::<false>(level, values, finite, limits, inside)
        };
    }
    scan_any(level, values, finite, low, high, inside)
}

leveled! {
    /// How many pixels count.
    fn real<T: Pixel, S: Stored<T>>(values: &[S], finite: bool) -> u64 {
        if T::NAN.is_none() {
            return values.len() as u64;
        }
        u64::from(values.iter().map(|&v| u32::from(counts(v.load(), finite))).sum::<u32>())
    }

    /// Counts values below `low`, equal to it and equal to `high`, and collects those between.
    fn scan_any<T: Pixel, S: Stored<T>>(values: &[S], finite: bool, low: T, high: T, inside: &mut Vec<T>) -> [u64; 3] {
        let (lo, hi) = (low.key(), high.key());
        let mut sums = [[0u32; LANES]; 3];
        let mut n = inside.len();
        inside.resize(n + values.len(), T::default());
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            let mut between = [0u32; LANES];
            for (l, v) in block.iter().map(|&v| -> T { v.load() }).enumerate() {
                let (key, real) = (v.key(), counts(v, finite));
                sums[0][l] += u32::from(real & (key < lo));
                sums[1][l] += u32::from(real & (key == lo));
                sums[2][l] += u32::from(real & (key == hi));
                between[l] = u32::from(real & (key > lo) & (key < hi));
            }
            if between.iter().fold(0, |any, &b| any | b) != 0 {
                // Every pixel is written, and the next one over it if it is not inside: no branch to mispredict.
                for (&v, b) in block.iter().zip(between) {
                    inside[n] = v.load();
                    n += b as usize;
                }
            }
        }
        let mut sums = sums.map(|s| u64::from(s.iter().sum::<u32>()));
        for v in rest.iter().map(|&v| -> T { v.load() }) {
            let (key, real) = (v.key(), counts(v, finite));
            sums[0] += u64::from(real & (key < lo));
            sums[1] += u64::from(real & (key == lo));
            sums[2] += u64::from(real & (key == hi));
            inside[n] = v;
            n += usize::from(real & (key > lo) & (key < hi));
        }
        inside.truncate(n);
        sums
    }
}

/// Keys of pixels from all over the image, `None` where it is too small to be worth it.
pub(super) fn sample<T: Pixel, S: Stored<T>>(planes: &[View2<'_, S>], finite: bool) -> Option<(Vec<u64>, usize)> {
    let sizes = planes.iter().map(|p| p.shape().0 * p.shape().1);
    let count: usize = sizes.clone().sum();
    let m = (count / 256).min(1 << 16).max((count / 64).min(1 << 14));
    if m < 256 {
        return None;
    }
    let mut keys = Vec::with_capacity(m);
    for (plane, size) in planes.iter().zip(sizes) {
        let here = (size as u128 * m as u128 / count as u128) as u64;
        let step = ((size as u128) << 32).checked_div(here.into()).unwrap_or(0);
        for i in 0..here {
            // One pixel of each of as many pieces, at a place in it that follows no pattern of rows or columns.
            let hash = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let at = ((u128::from(i << 32 | hash) * step) >> 64) as usize;
            let v: T = plane.get(at / plane.shape().1, at % plane.shape().1).load();
            if counts(v, finite) {
                keys.push(v.key());
            }
        }
    }
    Some((keys, count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BigEndian;

    fn floats() -> impl Strategy<Value = Vec<f32>> {
        let value = prop_oneof![
            8 => -3f32..3.0,
            4 => (-2i8..3).prop_map(f32::from),
            1 => Just(-0.0f32),
            2 => prop_oneof![Just(f32::NAN), Just(-f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
        ];
        prop::collection::vec(value, 1..300)
    }

    /// All values of a bracket, by rank, and how many pixels count; the definition is a sort.
    fn check<T: Pixel + std::fmt::Debug, S: Stored<T>>(
        values: &[S],
        picks: [usize; 2],
        finite: bool,
    ) -> Result<(), TestCaseError> {
        let mut sorted: Vec<T> = values.iter().map(|&v| v.load()).filter(|&v| counts(v, finite)).collect();
        sorted.sort_by_key(|v| v.key());
        prop_assume!(!sorted.is_empty());
        let mut ends = picks.map(|p| p % sorted.len());
        ends.sort();
        let [low, high] = ends.map(|e| sorted[e]);
        let (first, last) = (
            sorted.iter().position(|v| v.key() == low.key()).unwrap(),
            sorted.iter().rposition(|v| v.key() == high.key()).unwrap(),
        );
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let bracket = Bracket { low, high, below: 0, at_low: 0, at_high: 0, inside: vec![], placed: 0 };
            let mut brackets = Brackets { each: vec![bracket], room: values.len(), full: false };
            let (a, b) = values.split_at(values.len() / 3);
            let mut other = brackets.fresh();
            let seen = brackets.add(level, a, finite) + other.add(level, b, finite);
            brackets.merge(other);
            prop_assert_eq!(seen as usize, sorted.len());
            let all: Vec<_> = brackets.values(first as u64..last as u64 + 1).unwrap().iter().map(|v| v.key()).collect();
            let expected: Vec<_> = sorted[first..=last].iter().map(|v| v.key()).collect();
            prop_assert_eq!(all, expected, "{:?}", level);
            prop_assert!(brackets.values(std::iter::once(last as u64 + 1)).is_none());
            prop_assert!(first == 0 || brackets.values(std::iter::once(first as u64 - 1)).is_none());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn brackets_are_the_sorted_values_at_all_levels(values in floats(), picks: [usize; 2], finite: bool) {
            check::<f32, _>(&values, picks, finite)?;
            let foreign: Vec<_> = values.iter().map(|v| BigEndian(v.to_bits().to_be())).collect();
            check::<f32, _>(&foreign, picks, finite)?;
            check::<f64, _>(&values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), picks, finite)?;
            check::<i32, _>(&values.iter().map(|&v| v as i32).collect::<Vec<_>>(), picks, finite)?;
        }

        #[test]
        fn beyond_the_sample_everything_lies_inside(values in floats()) {
            let mut sorted: Vec<f32> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            sorted.sort_by(f32::total_cmp);
            prop_assume!(!sorted.is_empty());
            for level in Level::ALL.into_iter().filter(|level| level.available()) {
                let mut brackets = Brackets::<f32>::new(vec![sorted[0].key()], &[0.5], 4 * values.len()).unwrap();
                brackets.add(level, &values, false);
                let all = brackets.values(0..sorted.len() as u64).unwrap();
                prop_assert_eq!(
                    all.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                    sorted.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn too_many_inside_is_given_up() {
        let values: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
        let mut brackets = Brackets::new(vec![0f32.key(), 1f32.key()], &[0.5], 1000).unwrap();
        assert_eq!(brackets.add(Level::Scalar, &values, false), 100_000);
        assert!(brackets.values(std::iter::once(5)).is_none());
    }
}
