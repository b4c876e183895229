//! The median of large windows, in a time that hardly depends on the window's size.
//!
//! Method: sliding column histograms (Perreault & Hebert 2007, IEEE TIP 16, 2389), for values of any type. The pixels
//! that a block of outputs sees are cut into 64 bins, narrow where a sample expects the medians. Histograms are
//! cumulative: one vector comparison finds the median's bin and its rank in there. The pixels of a bin are sorted when it
//! is asked for the first time; the answer is the one that has as many of the window's before it. Frequent values have
//! bins of their own, which need no search. A NaN is in no bin.

mod bins;
mod lanes;

use rayon::prelude::*;

use self::bins::Chooser;
use self::lanes::{BINS, CHUNK, Counts, Lanes, Scalar, Totals};
use super::Nan;
use crate::simd::{self, Level};
use crate::{Border, Pixel, View2, ViewMut2, with_threads};

/// Longest side of the pixels that a block may see, which fits into half a position.
const MAX_SIDE: usize = 1 << 15;

/// Whether the window is none too large for [`median_large`].
pub(crate) fn fits(size: (usize, usize)) -> bool {
    size.0.max(size.1) <= MAX_SIDE / 2
}

/// The median of the window `size` around the pixels where `rows` and `cols` cross: ascending, not empty, inside. `out`
/// has their shape; the window is one that [`fits`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn median_large<T: Pixel>(
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) {
    let run = if T::BITS <= 32 { run::<T, u32> } else { run::<T, u64> };
    run(simd::level(), a, rows, cols, size, border, nan, out, threads);
}

#[allow(clippy::too_many_arguments)]
fn run<T: Pixel, K: Key>(
    level: Level,
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    mut out: ViewMut2<'_, T>,
    threads: Option<usize>,
) {
    let (ys, xs) = (cuts(rows, side(size.0)), cuts(cols, side(size.1)));
    let blocks: Vec<_> = ys.windows(2).flat_map(|y| xs.windows(2).map(move |x| (y[0]..y[1], x[0]..x[1]))).collect();
    let outs = out.blocks_mut(&ys, &xs);
    with_threads(threads, || {
        blocks.into_par_iter().zip(outs).for_each_init(Block::<K>::default, |block, ((y, x), mut out)| {
            let (rows, cols) = (&rows[y], &cols[x]);
            block.load(a, rows, cols, size, border);
            block.solve_at(level, rows, cols, nan);
            for (i, row) in block.medians.chunks(cols.len()).enumerate() {
                for (out, &key) in out.row_mut(i).iter_mut().zip(row) {
                    *out = match T::NAN {
                        Some(nan) if key == K::MAX => nan,
                        _ => T::from_key(key.wide()),
                    };
                }
            }
        });
    });
}

/// Side of a block of outputs: the more, the less is seen twice; but a larger one holds more different medians.
fn side(k: usize) -> usize {
    k.clamp(128, 512)
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

/// [`Pixel::key`] at its width. No number has the key `MAX` if its type has NaN.
trait Key: Copy + Ord + Default + Send + Sync {
    const MAX: Self;
    /// Key and position, sortable.
    type Placed: Ord + Copy + Default + Send + Sync;
    fn narrow(key: u64) -> Self;
    fn wide(self) -> u64;
    /// The following key.
    fn next(self) -> Self;
    fn place(self, position: u32) -> Self::Placed;
    fn parts(placed: Self::Placed) -> (Self, u32);
    /// [`Lanes::bins`].
    ///
    /// # Safety
    /// See there.
    unsafe fn bins<L: Lanes>(keys: &[Self], edges: &[Self; BINS - 1], out: &mut [u8]);
}

impl Key for u32 {
    const MAX: Self = u32::MAX;
    type Placed = u64;
    #[inline(always)]
    fn narrow(key: u64) -> Self {
        key as u32
    }
    #[inline(always)]
    fn wide(self) -> u64 {
        self.into()
    }
    #[inline(always)]
    fn next(self) -> Self {
        self.saturating_add(1)
    }
    #[inline(always)]
    fn place(self, position: u32) -> u64 {
        u64::from(self) << 32 | u64::from(position)
    }
    #[inline(always)]
    fn parts(placed: u64) -> (Self, u32) {
        ((placed >> 32) as u32, placed as u32)
    }
    #[inline(always)]
    unsafe fn bins<L: Lanes>(keys: &[Self], edges: &[Self; BINS - 1], out: &mut [u8]) {
        // SAFETY: the caller's.
        unsafe { L::bins(keys, edges, out) }
    }
}

impl Key for u64 {
    const MAX: Self = u64::MAX;
    type Placed = (u64, u32);
    #[inline(always)]
    fn narrow(key: u64) -> Self {
        key
    }
    #[inline(always)]
    fn wide(self) -> u64 {
        self
    }
    #[inline(always)]
    fn next(self) -> Self {
        self.saturating_add(1)
    }
    #[inline(always)]
    fn place(self, position: u32) -> (u64, u32) {
        (self, position)
    }
    #[inline(always)]
    fn parts(placed: (u64, u32)) -> (Self, u32) {
        placed
    }
    #[inline(always)]
    unsafe fn bins<L: Lanes>(keys: &[Self], edges: &[Self; BINS - 1], out: &mut [u8]) {
        lanes::search(keys, edges, out);
    }
}

/// The pixels of a bin, in ascending order.
#[derive(Default)]
struct Bin<K> {
    known: bool,
    /// One, if all pixels have the same.
    keys: Vec<K>,
    /// `y << 16 | x`; at the end, some that are nowhere. Empty if all pixels have the same key.
    positions: Vec<u32>,
}

/// The pixels that a block of outputs sees; one a thread, reused.
#[derive(Default)]
struct Block<K: Key> {
    size: (usize, usize),
    /// Keys of the pixels in reach, `width` a row, borders filled in.
    keys: Vec<K>,
    width: usize,
    chooser: Chooser<K>,
    /// Bin of each pixel; `BINS` is NaN.
    codes: Vec<u8>,
    bins: Vec<Bin<K>>,
    /// Counts of each column's pixels in the rows of the window.
    columns: Vec<Counts>,
    placed: Vec<K::Placed>,
    /// Keys of the outputs, row by row.
    medians: Vec<K>,
    /// Columns of the image, `None` for the constant.
    sources: Vec<Option<usize>>,
}

impl<K: Key> Block<K> {
    fn load<T: Pixel>(
        &mut self,
        a: View2<'_, T>,
        rows: &[usize],
        cols: &[usize],
        size: (usize, usize),
        border: Border,
    ) {
        let (ny, nx) = a.shape();
        let ((y0, x0), (ky, kx)) = ((rows[0], cols[0]), size);
        let height = rows[rows.len() - 1] - y0 + ky;
        self.width = cols[cols.len() - 1] - x0 + kx;
        self.size = size;
        let key = |v: T| if v.is_nan() { K::MAX } else { K::narrow(v.key()) };
        let left = x0 as isize - (kx / 2) as isize;
        self.sources.clear();
        self.sources.extend((0..self.width).map(|x| border.source(left + x as isize, nx)));
        let inside = left >= 0 && left as usize + self.width <= nx;
        self.keys.clear();
        for i in 0..height {
            let Some(y) = border.source((y0 + i) as isize - (ky / 2) as isize, ny) else {
                self.keys.resize(self.keys.len() + self.width, key(T::default()));
                continue;
            };
            match a.row(y) {
                Some(row) if inside => self.keys.extend(row[left as usize..][..self.width].iter().map(|&v| key(v))),
                _ => {
                    let pixel = |x: &Option<usize>| x.map_or(T::default(), |x| a.get(y, x));
                    self.keys.extend(self.sources.iter().map(|x| key(pixel(x))));
                }
            }
        }
        // Only a NaN has the last key, unless the type has none.
        self.codes.clear();
        let nan = |key: &K| if T::NAN.is_some() && *key == K::MAX { 1 } else { 0 };
        self.codes.extend(self.keys.iter().map(nan));
    }

    fn solve_at(&mut self, level: Level, rows: &[usize], cols: &[usize], nan: Nan) {
        assert!(level.available());
        match level {
            // SAFETY: available; the portable one always is.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.solve_avx512(rows, cols, nan) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.solve_avx2(rows, cols, nan) },
            // SAFETY: as above.
            _ => unsafe { self.solve::<Scalar>(rows, cols, nan) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi1,bmi2,fma,lzcnt,popcnt")]
    fn solve_avx512(&mut self, rows: &[usize], cols: &[usize], nan: Nan) {
        // SAFETY: this function has the instructions.
        unsafe { self.solve::<lanes::Avx512>(rows, cols, nan) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,fma,lzcnt,popcnt")]
    fn solve_avx2(&mut self, rows: &[usize], cols: &[usize], nan: Nan) {
        // SAFETY: this function has the instructions.
        unsafe { self.solve::<lanes::Avx2>(rows, cols, nan) }
    }

    /// # Safety
    /// The processor has the instructions of `L` (true of all functions here that have an `L`).
    #[inline(always)]
    unsafe fn solve<L: Lanes>(&mut self, rows: &[usize], cols: &[usize], nan: Nan) {
        let edges = self.chooser.edges(&self.keys, self.width, self.size);
        self.bins.resize_with(BINS, Bin::default);
        for (i, bin) in self.bins.iter_mut().enumerate() {
            bin.keys.clear();
            bin.positions.clear();
            bin.known = i > 0 && i < BINS - 1 && edges[i - 1] < K::MAX && edges[i - 1].next() == edges[i];
            if bin.known {
                bin.keys.push(edges[i - 1]);
            }
        }
        // NaN are in the last bin by their key, and one more by their mark.
        let mut codes = [0; 512];
        for (keys, marks) in self.keys.chunks(codes.len()).zip(self.codes.chunks_mut(codes.len())) {
            let codes = &mut codes[..keys.len()];
            // SAFETY: the caller's.
            unsafe { K::bins::<L>(keys, &edges, codes) };
            marks.iter_mut().zip(codes).for_each(|(mark, code)| *mark += *code);
        }
        // SAFETY: the caller's.
        unsafe {
            if self.size.0 * self.size.1 <= usize::from(u16::MAX) {
                self.slide::<L, L::Totals>(rows, cols, nan);
            } else {
                self.slide::<L, [u32; BINS]>(rows, cols, nan);
            }
        }
    }

    /// # Safety
    /// See [`Block::solve`].
    #[inline(always)]
    unsafe fn slide<L: Lanes, W: Totals>(&mut self, rows: &[usize], cols: &[usize], nan: Nan) {
        let (ky, kx) = self.size;
        self.medians.clear();
        self.columns.clear();
        self.columns.resize(self.width, Counts::ZERO);
        // The rows that are counted.
        let (mut start, mut end) = (0, 0);
        for &row in rows {
            let y = row - rows[0];
            if y >= end {
                self.columns.fill(Counts::ZERO);
                (start, end) = (y, y);
            }
            while end < y + ky {
                let enter = &self.codes[end * self.width..][..self.width];
                if start < y {
                    let leave = &self.codes[start * self.width..][..self.width];
                    for ((column, &enter), &leave) in self.columns.iter_mut().zip(enter).zip(leave) {
                        let (enter, leave) = (&Counts::ONE[usize::from(enter)], &Counts::ONE[usize::from(leave)]);
                        for i in 0..BINS {
                            column.0[i] = column.0[i].wrapping_add(enter.0[i]).wrapping_sub(leave.0[i]);
                        }
                    }
                    start += 1;
                } else {
                    for (column, &enter) in self.columns.iter_mut().zip(enter) {
                        let enter = &Counts::ONE[usize::from(enter)];
                        for i in 0..BINS {
                            column.0[i] += enter.0[i];
                        }
                    }
                }
                end += 1;
            }
            // The same of columns.
            let mut totals = W::zero();
            let (mut first, mut last) = (0, 0);
            for &col in cols {
                let x = col - cols[0];
                if x >= last {
                    totals = W::zero();
                    (first, last) = (x, x);
                }
                while last < x + kx {
                    let leave = if first < x { &self.columns[first] } else { &Counts::ZERO };
                    // SAFETY: the caller's.
                    unsafe { totals.slide(&self.columns[last], leave) };
                    first += usize::from(first < x);
                    last += 1;
                }
                // SAFETY: the caller's.
                let n = unsafe { totals.count() };
                let median = if n == 0 || nan == Nan::Propagate && (n as usize) < ky * kx {
                    K::MAX
                } else {
                    // SAFETY: the caller's.
                    unsafe {
                        let (bin, below) = totals.find(n / 2);
                        self.select::<L>(bin, (y << 16 | x) as u32, n / 2 - below)
                    }
                };
                self.medians.push(median);
            }
        }
    }

    /// The key that has `n` of the window at `origin` and of this bin before it.
    ///
    /// # Safety
    /// See [`Block::solve`].
    #[inline(always)]
    unsafe fn select<L: Lanes>(&mut self, bin: usize, origin: u32, n: u32) -> K {
        if !self.bins[bin].known {
            // SAFETY: the caller's.
            unsafe { self.learn::<L>(bin) };
        }
        let bin = &self.bins[bin];
        if bin.positions.is_empty() {
            return bin.keys[0];
        }
        let extent = (self.size.0 - 1) << 16 | (self.size.1 - 1);
        // SAFETY: the caller's.
        bin.keys[unsafe { L::select(&bin.positions, origin, extent as u32, n) }]
    }

    /// Sorts the pixels of a bin.
    ///
    /// # Safety
    /// See [`Block::solve`].
    #[inline(always)]
    unsafe fn learn<L: Lanes>(&mut self, bin: usize) {
        let (keys, placed, width) = (&self.keys, &mut self.placed, self.width);
        placed.clear();
        let hit = |i: usize| placed.push(keys[i].place(((i / width) << 16 | (i % width)) as u32));
        // SAFETY: the caller's.
        unsafe { L::positions(&self.codes, bin as u8, hit) };
        placed.sort_unstable();
        let bin = &mut self.bins[bin];
        bin.known = true;
        let parts = placed.iter().map(|&placed| K::parts(placed));
        bin.keys.extend(parts.clone().map(|(key, _)| key));
        if bin.keys.first() != bin.keys.last() {
            bin.positions.extend(parts.map(|(_, position)| position));
            bin.positions.resize(bin.keys.len().next_multiple_of(CHUNK), u32::MAX);
        }
    }
}
