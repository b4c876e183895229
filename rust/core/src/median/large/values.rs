//! Windows of pixels of few values: a bin for each value, and nothing to search.
//!
//! Method: column histograms on two levels (Perreault & Hebert 2007), 16 bins of 16 values. The window's bins are kept up
//! to date; the values of a bin are brought up to date when the median is in it, which is mostly where it was one pixel
//! before.

use super::Span;
use crate::leveled::leveled;
use crate::simd::Level;
use crate::{Border, Pixel, View2, ViewMut2};

/// Bins of a level.
const BINS: usize = 16;

/// How many pixels lie below bin `i`.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Counts([u16; BINS]);

/// One pixel of each bin.
const ONE: [Counts; BINS] = {
    let mut one = [Counts([0; BINS]); BINS];
    let mut i = 0;
    while i < BINS * BINS {
        one[i / BINS].0[i % BINS] = (i % BINS > i / BINS) as u16;
        i += 1;
    }
    one
};

impl Counts {
    #[inline(always)]
    fn add(&mut self, other: &Self) {
        for i in 0..BINS {
            self.0[i] = self.0[i].wrapping_add(other.0[i]);
        }
    }
    #[inline(always)]
    fn sub(&mut self, other: &Self) {
        for i in 0..BINS {
            self.0[i] = self.0[i].wrapping_sub(other.0[i]);
        }
    }
    /// The bin of the pixel that has `rank` others below it, and how many of them lie in lower bins.
    #[inline(always)]
    fn find(&self, rank: u16) -> (usize, u16) {
        let bin = self.at_most(rank) as usize - 1;
        (bin, self.0[bin % BINS])
    }
    /// How many counts do not exceed `rank`.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn at_most(&self, rank: u16) -> u32 {
        use std::arch::x86_64::*;
        // What LLVM makes of the loop below takes several times as long.
        // SAFETY: all of x86-64 has SSE2; `self` is two aligned vectors.
        let above = unsafe {
            let vectors: *const __m128i = self.0.as_ptr().cast();
            let rank = _mm_set1_epi16(rank as i16);
            let excess = [0, 1].map(|i| _mm_subs_epu16(_mm_load_si128(vectors.add(i)), rank));
            let equal = excess.map(|v| _mm_cmpeq_epi16(v, _mm_setzero_si128()));
            !_mm_movemask_epi8(_mm_packs_epi16(equal[0], equal[1]))
        };
        above.trailing_zeros()
    }
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn at_most(&self, rank: u16) -> u32 {
        self.0.iter().map(|&n| u32::from(n <= rank)).sum()
    }
    /// Moves a sum of columns on.
    #[inline(always)]
    fn slide(&mut self, span: &mut Span, columns: &[Self], to: usize, k: usize) {
        let (fresh, steps) = span.slide(to, k);
        if fresh {
            *self = Self::default();
        }
        for (enter, leave) in steps {
            self.add(&columns[enter]);
            if let Some(leave) = leave {
                self.sub(&columns[leave]);
            }
        }
    }
}

/// Whether [`Values::medians`] may be worth a try.
pub(super) fn fits<T: Pixel>(size: (usize, usize)) -> bool {
    T::NAN.is_none() && T::BITS <= 16 && size.0 * size.1 <= usize::from(u16::MAX)
}

/// The pixels that a block of outputs sees; one a thread, reused.
#[derive(Default)]
pub(super) struct Values {
    /// Values less the first of those that have bins.
    codes: Vec<u8>,
    /// Counts of each column's pixels in the rows of the window, by bin; and for each bin, by value.
    columns: Vec<Counts>,
    details: Vec<Counts>,
    /// Of a row of outputs, how many pixels lie in bins below the median's.
    below: Vec<u16>,
    /// Codes of the outputs, row by row.
    medians: Vec<u8>,
}

impl Values {
    /// Fills `out`; fails where medians are more than 256 values apart. The window is one that [`fits`].
    #[allow(clippy::too_many_arguments)]
    pub fn medians<T: Pixel>(
        &mut self,
        level: Level,
        a: View2<'_, T>,
        rows: &[usize],
        cols: &[usize],
        size: (usize, usize),
        border: Border,
        out: &mut ViewMut2<'_, T>,
    ) -> bool {
        let width = cols[cols.len() - 1] - cols[0] + size.1;
        let height = rows[rows.len() - 1] - rows[0] + size.0;
        let (top, left) = (rows[0] as isize - (size.0 / 2) as isize, cols[0] as isize - (size.1 / 2) as isize);
        let mut row = vec![T::default(); width];
        let mut base = 0;
        if T::BITS > 8 {
            let mut sample = vec![];
            for y in (0..height).step_by(16) {
                border.read(a, top + y as isize, left, &mut row);
                sample.extend(row.iter().step_by(16).map(|v| v.key()));
            }
            let half = sample.len() / 2;
            let (below, median, _) = sample.select_nth_unstable(half);
            let lowest = below.iter().min().unwrap_or(median);
            base = median.saturating_sub(128).max(*lowest);
        }
        let (mut least, mut most) = (u16::MAX, 0);
        self.codes.clear();
        for y in 0..height {
            border.read(a, top + y as isize, left, &mut row);
            for v in &row {
                let key = v.key() as u16;
                (least, most) = (least.min(key), most.max(key));
            }
            let code = |v: &T| (v.key() as u16).saturating_sub(base as u16).min(255) as u8;
            self.codes.extend(row.iter().map(code));
        }
        // The bins that hold more than one value.
        let exact = (u64::from(least) < base, u64::from(most) > base + 255);
        let exact = (u8::from(exact.0), 255 - u8::from(exact.1));
        self.solve(level, rows, cols, size, exact);
        if self.medians.len() < rows.len() * cols.len() {
            return false;
        }
        for (i, row) in self.medians.chunks(cols.len()).enumerate() {
            for (out, &code) in out.row_mut(i).iter_mut().zip(row) {
                *out = T::from_key(base + u64::from(code));
            }
        }
        true
    }

    fn solve(&mut self, level: Level, rows: &[usize], cols: &[usize], size: (usize, usize), exact: (u8, u8)) {
        let width = cols[cols.len() - 1] - cols[0] + size.1;
        self.columns.clear();
        self.columns.resize(width, Counts::default());
        self.details.clear();
        self.details.resize(width * BINS, Counts::default());
        self.medians.clear();
        self.below.resize(cols.len(), 0);
        let mut span = Span::default();
        for row in rows {
            let (fresh, steps) = span.slide(row - rows[0], size.0);
            if fresh {
                self.columns.fill(Counts::default());
                self.details.fill(Counts::default());
            }
            for (enter, leave) in steps {
                let line = |y: usize| &self.codes[y * width..][..width];
                let leave = leave.map_or(&[][..], line);
                slide_rows(level, line(enter), leave, &mut self.columns, &mut self.details);
            }
            let start = self.medians.len();
            self.medians.resize(start + cols.len(), 0);
            let medians = &mut self.medians[start..];
            slide_columns(level, &self.columns, &self.details, cols, size, &mut self.below, medians);
            if medians.iter().any(|m| !(exact.0..=exact.1).contains(m)) {
                self.medians.truncate(start);
                return;
            }
        }
    }
}

leveled! {
    /// Counts a row of codes, and no longer another one, unless it is empty.
    fn slide_rows(enter: &[u8], leave: &[u8], columns: &mut [Counts], details: &mut [Counts]) {
        let width = columns.len();
        for (x, (column, &code)) in columns.iter_mut().zip(enter).enumerate() {
            let (bin, value) = (usize::from(code) / BINS, usize::from(code) % BINS);
            column.add(&ONE[bin]);
            details[bin * width + x].add(&ONE[value]);
        }
        for (x, (column, &code)) in columns.iter_mut().zip(leave).enumerate() {
            let (bin, value) = (usize::from(code) / BINS, usize::from(code) % BINS);
            column.sub(&ONE[bin]);
            details[bin * width + x].sub(&ONE[value]);
        }
    }

    /// The medians of a row of windows; `below` is to work in.
    fn slide_columns(
        columns: &[Counts],
        details: &[Counts],
        cols: &[usize],
        size: (usize, usize),
        below: &mut [u16],
        medians: &mut [u8],
    ) {
        let width = columns.len();
        let rank = (size.0 * size.1 / 2) as u16;
        let (mut total, mut span) = (Counts::default(), Span::default());
        for ((bin, below), col) in medians.iter_mut().zip(&mut *below).zip(cols) {
            total.slide(&mut span, columns, col - cols[0], size.1);
            let found = total.find(rank);
            (*bin, *below) = (found.0 as u8, found.1);
        }
        let mut parts = [(Counts::default(), Span::default()); BINS];
        for ((median, below), col) in medians.iter_mut().zip(below).zip(cols) {
            let bin = usize::from(*median) % BINS;
            let (part, span) = &mut parts[bin];
            part.slide(span, &details[bin * width..][..width], col - cols[0], size.1);
            *median = (bin * BINS + part.find(rank - *below).0) as u8;
        }
    }
}
