//! Exact 2-D median.
//!
//! Method: "median filtering is equivalent to sorting" (Suomela 2014, arXiv:1406.1717). The pixels that a block of
//! outputs can see are sorted once; a window is then a set of ranks, kept as bits, and sliding it flips the bits of the
//! pixels that leave and enter. The median is the bit that has half the others below: it is found by walking from the
//! last one. The cost is O(window side) a pixel for every type, every value and either NaN policy.

use rayon::prelude::*;

use crate::{Border, Error, Pixel, Result, View2, ViewMut2, with_threads};

/// What a NaN in the window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nan {
    /// It is left out: the result has rank `n / 2` among the `n` others, and is NaN only where there are none.
    Ignore,
    /// It makes the result NaN.
    Propagate,
}

/// Side of a block of outputs in pixels, half the window's between these limits: small enough for the cache, large enough
/// that the sort of the margin does not dominate.
const BLOCK: std::ops::RangeInclusive<usize> = 128..=1024;

/// Most pixels that a block may see; 16 to 28 bytes each, a thread.
const MAX_REACH: usize = 1 << 27;

/// The median of the window `size` around each pixel: rows `y - ky / 2 .. y - ky / 2 + ky`, columns likewise, rank
/// `ky * kx / 2`.
///
/// Parity: `scipy.ndimage.median_filter(a, size, mode=border, cval=0)`, bit for bit where no NaN is in reach (zeros of
/// different sign are equal to scipy, ordered here).
pub fn median_filter<T: Pixel>(
    a: View2<'_, T>,
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    let (rows, cols): (Vec<_>, Vec<_>) = ((0..a.shape().0).collect(), (0..a.shape().1).collect());
    median_at(a, &rows, &cols, size, border, nan, out, threads)
}

/// [`median_filter`], evaluated only where `rows` and `cols` (both ascending) cross.
#[allow(clippy::too_many_arguments)]
pub fn median_at<T: Pixel>(
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    mut out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::Value(format!("size {size:?}: a window has at least one pixel a side")));
    }
    let (ny, nx) = a.shape();
    let side = |k: usize| (k / 2).clamp(*BLOCK.start(), *BLOCK.end());
    let reach = |k: usize, n: usize| k.saturating_add(side(k).min(n));
    if reach(size.0, ny).saturating_mul(reach(size.1, nx)) > MAX_REACH {
        return Err(Error::Value(format!("size {size:?}: the window is too large, a side of 10000 is about the most")));
    }
    if out.shape() != (rows.len(), cols.len()) {
        let got = vec![out.shape().0, out.shape().1];
        return Err(Error::Shape { name: "out", got, expected: vec![rows.len(), cols.len()] });
    }
    if rows.iter().any(|&y| y >= ny) || cols.iter().any(|&x| x >= nx) {
        return Err(Error::Value(format!("median_at: rows and columns must lie inside {:?}", a.shape())));
    }
    if !(rows.is_sorted() && cols.is_sorted()) {
        return Err(Error::Value("median_at: rows and columns must ascend".into()));
    }
    if rows.is_empty() || cols.is_empty() {
        return Ok(());
    }
    let (ys, xs) = (cuts(rows, side(size.0)), cuts(cols, side(size.1)));
    let blocks: Vec<_> = ys.windows(2).flat_map(|y| xs.windows(2).map(move |x| (y[0]..y[1], x[0]..x[1]))).collect();
    let outs = out.blocks_mut(&ys, &xs);
    with_threads(threads, || {
        blocks.into_par_iter().zip(outs).for_each_init(Block::default, |block, ((y, x), mut out)| {
            let (rows, cols) = (&rows[y], &cols[x]);
            block.load(a, rows, cols, size, border);
            match nan {
                Nan::Ignore => block.run::<false>(rows, cols, &mut out),
                Nan::Propagate => block.run::<true>(rows, cols, &mut out),
            }
        });
    });
    Ok(())
}

/// Cuts ascending `nodes` into runs that each span at most `reach` pixels.
fn cuts(nodes: &[usize], reach: usize) -> Vec<usize> {
    let mut cuts = vec![0];
    for (i, &node) in nodes.iter().enumerate() {
        if node - nodes[cuts[cuts.len() - 1]] >= reach {
            cuts.push(i);
        }
    }
    cuts.push(nodes.len());
    cuts
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
    /// Columns of the image, `None` for the constant.
    sources: Vec<Option<usize>>,
}

impl<T: Pixel> Default for Block<T> {
    fn default() -> Self {
        Self { size: (0, 0), pixels: vec![], width: 0, sorted: vec![], ranks: vec![], bits: vec![], sources: vec![] }
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
        let (ny, nx) = a.shape();
        let ((y0, x0), (ky, kx)) = ((rows[0], cols[0]), size);
        let height = rows[rows.len() - 1] - y0 + ky;
        self.width = cols[cols.len() - 1] - x0 + kx;
        self.size = size;

        let left = x0 as isize - (kx / 2) as isize;
        self.sources.clear();
        self.sources.extend((0..self.width).map(|x| border.source(left + x as isize, nx)));
        let inside = left >= 0 && left as usize + self.width <= nx;
        self.pixels.clear();
        for i in 0..height {
            match (border.source((y0 + i) as isize - (ky / 2) as isize, ny), inside) {
                (None, _) => self.pixels.resize(self.pixels.len() + self.width, T::default()),
                (Some(y), true) if a.row(y).is_some() => {
                    let row = a.row(y).unwrap_or_default();
                    self.pixels.extend_from_slice(&row[left as usize..][..self.width]);
                }
                (Some(y), _) => {
                    self.pixels.extend(self.sources.iter().map(|x| x.map_or(T::default(), |x| a.get(y, x))));
                }
            }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BORDERS: [Border; 5] = [Border::Reflect, Border::Mirror, Border::Nearest, Border::Wrap, Border::Constant];

    fn brute(a: &[f32], shape: (usize, usize), size: (usize, usize), border: Border, nan: Nan) -> Vec<f32> {
        let pixel = |y: isize, x: isize| match (border.source(y, shape.0), border.source(x, shape.1)) {
            (Some(y), Some(x)) => a[y * shape.1 + x],
            _ => 0.0,
        };
        let median = |y: usize, x: usize| {
            let (top, left) = (y as isize - (size.0 / 2) as isize, x as isize - (size.1 / 2) as isize);
            let window = (0..size.0 as isize).flat_map(|dy| (0..size.1 as isize).map(move |dx| (top + dy, left + dx)));
            let mut values: Vec<f32> = window.map(|(y, x)| pixel(y, x)).filter(|v| !v.is_nan()).collect();
            values.sort_by(f32::total_cmp);
            let spoilt = nan == Nan::Propagate && values.len() < size.0 * size.1;
            if spoilt || values.is_empty() { f32::NAN } else { values[values.len() / 2] }
        };
        (0..shape.0).flat_map(|y| (0..shape.1).map(move |x| (y, x))).map(|(y, x)| median(y, x)).collect()
    }

    fn bits(a: &[f32]) -> Vec<u32> {
        a.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn equals_brute_force(
            (shape, a) in (1usize..12, 1usize..12).prop_flat_map(|(ny, nx)| {
                let pixel = prop_oneof![-2i8..3, -2i8..3, Just(i8::MIN)];
                let pixel = pixel.prop_map(|v| if v == i8::MIN { f32::NAN } else { f32::from(v) });
                (Just((ny, nx)), prop::collection::vec(pixel, ny * nx))
            }),
            size in (1usize..16, 1usize..16),
            border in prop::sample::select(&BORDERS),
            nan in prop::sample::select(&[Nan::Ignore, Nan::Propagate]),
        ) {
            let mut out = vec![9.0; a.len()];
            let target = ViewMut2::from_slice(&mut out, shape);
            median_filter(View2::from_slice(&a, shape), size, border, nan, target, Some(2)).unwrap();
            prop_assert_eq!(bits(&out), bits(&brute(&a, shape, size, border, nan)));
        }
    }

    #[test]
    fn blocks_join_without_seams() {
        let shape = (150, 300);
        let a: Vec<f32> = (0..shape.0 * shape.1).map(|i| (i * 7919 % 1009) as f32).collect();
        let expected = brute(&a, shape, (3, 4), Border::Mirror, Nan::Ignore);
        for threads in [1, 3] {
            let mut out = vec![9.0; a.len()];
            let target = ViewMut2::from_slice(&mut out, shape);
            median_filter(View2::from_slice(&a, shape), (3, 4), Border::Mirror, Nan::Ignore, target, Some(threads))
                .unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn arguments_are_checked() {
        let a = [1.0f32; 4];
        let mut out = [0.0; 4];
        let view = View2::from_slice(&a, (2, 2));
        for size in [(0, 3), (usize::MAX, usize::MAX), (1 << 16, 1 << 16)] {
            let target = ViewMut2::from_slice(&mut out, (2, 2));
            assert!(median_filter(view, size, Border::Reflect, Nan::Ignore, target, None).is_err());
        }
        let target = ViewMut2::from_slice(&mut out[..2], (1, 2));
        assert!(median_filter(view, (3, 3), Border::Reflect, Nan::Ignore, target, None).is_err());
    }
}
