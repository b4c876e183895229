//! The median of any window, of any type, at any pixels.
//!
//! Method: "median filtering is equivalent to sorting" (Suomela 2014, arXiv:1406.1717). The pixels that a block of
//! outputs can see are sorted once; a window is then a set of ranks, kept as bits, and sliding it flips the bits of the
//! pixels that leave and enter. The median is the bit that has half the others below: it is found by walking from the
//! last one. The cost is O(window side) a pixel for every type, every value and either NaN policy.

use rayon::prelude::*;

use super::{Nan, blocks};
use crate::{Border, Pixel, View2, ViewMut2, with_threads};

/// Side of a block of outputs in pixels, half the window's between these limits: small enough for the cache, large enough
/// that the sort of the margin does not dominate.
const BLOCK: std::ops::RangeInclusive<usize> = 128..=1024;

/// Most pixels that a block may see; 16 to 28 bytes each, a thread.
const MAX_REACH: usize = 1 << 27;

/// Side of a block of outputs, for a side of the window.
fn side(k: usize) -> usize {
    (k / 2).clamp(*BLOCK.start(), *BLOCK.end())
}

/// Whether the window is none too large for an image of this shape.
pub(super) fn fits(size: (usize, usize), shape: (usize, usize)) -> bool {
    let reach = |k: usize, n: usize| k.saturating_add(side(k).min(n));
    reach(size.0, shape.0).saturating_mul(reach(size.1, shape.1)) <= MAX_REACH
}

/// The median of the window `size` around the pixels where `rows` and `cols` cross: ascending, not empty, inside. `out`
/// has their shape; the window is one that [`fits`].
#[allow(clippy::too_many_arguments)]
pub(super) fn median_any<T: Pixel>(
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    mut out: ViewMut2<'_, T>,
    threads: Option<usize>,
) {
    with_threads(threads, || {
        let all = blocks(rows, cols, (side(size.0), side(size.1)), &mut out);
        all.into_par_iter().for_each_init(Block::default, |block, (rows, cols, mut out)| {
            block.load(a, rows, cols, size, border);
            match nan {
                Nan::Ignore => block.run::<false>(rows, cols, &mut out),
                Nan::Propagate => block.run::<true>(rows, cols, &mut out),
            }
        });
    });
}

/// The pixels that a block of outputs sees; one a thread, reused.
struct Block<T: Pixel> {
    size: (usize, usize),
    /// The pixels in reach, `width` a row, borders filled in.
    pixels: Vec<T>,
    width: usize,
    /// The same in ascending order, without NaN.
    sorted: Vec<T::Ranked>,
    /// Rank of each pixel; a NaN has the first bit of the word after the last.
    ranks: Vec<u32>,
    /// The ranks inside the window, and a last word that is only written to.
    bits: Vec<u64>,
}

impl<T: Pixel> Default for Block<T> {
    fn default() -> Self {
        Self { size: (0, 0), pixels: vec![], width: 0, sorted: vec![], ranks: vec![], bits: vec![] }
    }
}

/// Where the search for the median stands.
#[derive(Default)]
struct Cursor {
    /// A word of `Block::bits`.
    word: usize,
    /// Ranks of the window in words before it.
    below: usize,
    /// Ranks of the window in all.
    count: usize,
}

impl<T: Pixel> Block<T> {
    fn load(&mut self, a: View2<'_, T>, rows: &[usize], cols: &[usize], size: (usize, usize), border: Border) {
        self.width = cols[cols.len() - 1] - cols[0] + size.1;
        self.size = size;
        let height = rows[rows.len() - 1] - rows[0] + size.0;
        let (top, left) = (rows[0] as isize - (size.0 / 2) as isize, cols[0] as isize - (size.1 / 2) as isize);
        self.pixels.clear();
        self.pixels.resize(self.width * height, T::default());
        for (y, row) in (top..).zip(self.pixels.chunks_mut(self.width)) {
            border.read(a, y, left, row);
        }

        self.sorted.clear();
        let ranked = self.pixels.iter().zip(0u32..).filter(|(v, _)| !v.is_nan());
        self.sorted.extend(ranked.map(|(v, position)| v.ranked(position)));
        self.sorted.sort_unstable();
        let words = self.sorted.len().div_ceil(64);
        self.ranks.clear();
        self.ranks.resize(self.pixels.len(), words as u32 * 64);
        for (&pixel, rank) in self.sorted.iter().zip(0u32..) {
            self.ranks[T::position(pixel) as usize] = rank;
        }
        self.bits.clear();
        self.bits.resize(words + 1, 0);
    }

    /// Walks the block column by column, down and up in turn, so that most steps flip whole pieces of rows.
    fn run<const PROPAGATE: bool>(&mut self, rows: &[usize], cols: &[usize], out: &mut ViewMut2<'_, T>) {
        let (ky, kx) = self.size;
        let mut outs = out.rows_mut();
        let mut cursor = Cursor { word: self.bits.len() / 2, ..Cursor::default() };
        // The window's corner, counted from the first one; it is empty at first.
        let (mut y, mut x, mut height) = (0, 0, 0);
        for (j, &col) in cols.iter().enumerate() {
            let next = col - cols[0];
            let step = (next - x).min(kx);
            for row in y..y + height {
                self.flip::<false>(&mut cursor, row, x..x + step);
                self.flip::<true>(&mut cursor, row, next + kx - step..next + kx);
            }
            x = next;
            for i in 0..rows.len() {
                let i = if j % 2 == 0 { i } else { rows.len() - 1 - i };
                let next = rows[i] - rows[0];
                // The rows that leave, and those that enter.
                let step = y.abs_diff(next).min(ky);
                let (leave, enter) = match (height, next > y) {
                    (0, _) => (0..0, next..next + ky),
                    (_, true) => (y..y + step, next + ky - step..next + ky),
                    (_, false) => (y + ky - step..y + ky, next..next + step),
                };
                leave.for_each(|row| self.flip::<false>(&mut cursor, row, x..x + kx));
                enter.for_each(|row| self.flip::<true>(&mut cursor, row, x..x + kx));
                (y, height) = (next, ky);
                let count = cursor.count;
                outs[i][j] = match T::NAN {
                    Some(nan) if count == 0 || PROPAGATE && count < ky * kx => nan,
                    _ => self.pixels[T::position(self.sorted[self.select(&mut cursor, count / 2)]) as usize],
                };
            }
        }
    }

    /// Adds a piece of a row to the window, or takes it away.
    #[inline(always)]
    fn flip<const ADD: bool>(&mut self, cursor: &mut Cursor, row: usize, columns: std::ops::Range<usize>) {
        let nan = self.bits.len() - 1;
        let start = row * self.width;
        let (mut below, mut count) = (0, 0);
        for &rank in &self.ranks[start + columns.start..start + columns.end] {
            let word = rank as usize / 64;
            self.bits[word] ^= 1 << (rank % 64);
            below += usize::from(word < cursor.word);
            count += usize::from(word < nan);
        }
        if ADD {
            cursor.below += below;
            cursor.count += count;
        } else {
            cursor.below -= below;
            cursor.count -= count;
        }
    }

    /// The rank that has `n` ranks of the window below it.
    #[inline(always)]
    fn select(&self, cursor: &mut Cursor, n: usize) -> usize {
        loop {
            if n < cursor.below {
                cursor.word -= 1;
                cursor.below -= self.bits[cursor.word].count_ones() as usize;
            } else {
                let ones = self.bits[cursor.word].count_ones() as usize;
                if n < cursor.below + ones {
                    break;
                }
                cursor.below += ones;
                cursor.word += 1;
            }
        }
        let mut word = self.bits[cursor.word];
        for _ in cursor.below..n {
            word &= word - 1;
        }
        cursor.word * 64 + word.trailing_zeros() as usize
    }
}
