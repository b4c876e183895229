//! The median of large windows, in a time that hardly depends on the window's size.
//!
//! Method: sliding column histograms (Perreault & Hebert 2007, IEEE TIP 16, 2389), for values of any type. The pixels
//! that a block of outputs sees are cut into 64 bins, narrow where a sample expects the medians. Histograms are
//! cumulative: one vector comparison finds the median's bin and its rank in there. The pixels of a bin are sorted when it
//! is asked for the first time; the answer is the one that has as many of the window's before it. Frequent values have
//! bins of their own, which need no search. A NaN is in no bin.

mod bins;
mod keys;
mod lanes;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use rayon::prelude::*;

use self::bins::Chooser;
use self::keys::Key;
use self::lanes::{BINS, CHUNK, Counts, Lanes, Scalar, Totals};
use super::{Nan, cuts};
use crate::simd::{self, Level};
use crate::{Border, Pixel, View2, ViewMut2, with_threads};

/// Sides of a block of outputs: that of the window, or four times as much if not all pixels are asked for, within these
/// limits. The larger, the less is seen twice, and the more medians differ.
const SIDES: (usize, usize) = (96, 512);

/// Longest side of what a block may see, such that a row and a column fit into 32 bits; and most pixels of it, 17 to 29
/// bytes each, a thread.
const MAX_SIDE: usize = 1 << 15;
const MAX_REACH: usize = 1 << 27;

/// Whether the window is none too large for [`median_large`].
pub(super) fn fits(size: (usize, usize)) -> bool {
    let reach = |k: usize| k.saturating_add(SIDES.1);
    reach(size.0.max(size.1)) <= MAX_SIDE && reach(size.0) * reach(size.1) <= MAX_REACH
}

/// The median of the window `size` around the pixels where `rows` and `cols` cross: ascending, not empty, inside. `out`
/// has their shape; the window is one that [`fits`].
#[allow(clippy::too_many_arguments)]
pub(super) fn median_large<T: Pixel>(
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
    let cuts = |nodes: &[usize], k: usize| {
        let gaps = nodes[nodes.len() - 1] - nodes[0] >= nodes.len();
        cuts(nodes, if gaps { 4 * k } else { k }.clamp(SIDES.0, SIDES.1))
    };
    let (ys, xs) = (cuts(rows, size.0), cuts(cols, size.1));
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

/// A piece of `Block::placed`.
#[derive(Clone, Copy, Default)]
struct Bin {
    start: usize,
    end: usize,
    /// Whether it is in order, and all its keys are one.
    sorted: bool,
    single: bool,
}

/// The pixels that a block of outputs sees; one a thread, reused.
struct Block<K: Key> {
    size: (usize, usize),
    /// Keys of the pixels in reach, `width` a row, borders filled in.
    keys: Vec<K>,
    width: usize,
    chooser: Chooser<K>,
    /// Bin of each pixel; `BINS` is NaN.
    codes: Vec<u8>,
    /// Pixels by bin, and in a bin that was asked for by key.
    placed: Vec<K::Placed>,
    bins: [Bin; BINS + 1],
    /// The positions, `y << 16 | x`, of the sorted bins.
    positions: Vec<u32>,
    /// Counts of each column's pixels in the rows of the window.
    columns: Vec<Counts>,
    /// Keys of the outputs, row by row.
    medians: Vec<K>,
    /// Columns of the image, `None` for the constant.
    sources: Vec<Option<usize>>,
}

impl<K: Key> Default for Block<K> {
    fn default() -> Self {
        Self {
            size: (0, 0),
            keys: vec![],
            width: 0,
            chooser: Chooser::default(),
            codes: vec![],
            placed: vec![],
            bins: [Bin::default(); BINS + 1],
            positions: vec![],
            columns: vec![],
            medians: vec![],
            sources: vec![],
        }
    }
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
        unsafe { self.solve::<x86::Avx512>(rows, cols, nan) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,fma,lzcnt,popcnt")]
    fn solve_avx2(&mut self, rows: &[usize], cols: &[usize], nan: Nan) {
        // SAFETY: this function has the instructions.
        unsafe { self.solve::<x86::Avx2>(rows, cols, nan) }
    }

    /// # Safety
    /// The processor has the instructions of `L` (true of all functions here that have an `L`).
    #[inline(always)]
    unsafe fn solve<L: Lanes>(&mut self, rows: &[usize], cols: &[usize], nan: Nan) {
        let edges = self.chooser.edges(&self.keys, self.width, self.size);
        // NaN are in the last bin by their key, and one more by their mark.
        let mut codes = [0; 512];
        for (keys, marks) in self.keys.chunks(codes.len()).zip(self.codes.chunks_mut(codes.len())) {
            let codes = &mut codes[..keys.len()];
            // SAFETY: the caller's.
            unsafe { K::bins::<L>(keys, &edges, codes) };
            marks.iter_mut().zip(codes).for_each(|(mark, code)| *mark += *code);
        }
        self.scatter(&edges);
        // SAFETY: the caller's.
        unsafe {
            if self.size.0 * self.size.1 <= usize::from(u16::MAX) {
                self.slide::<L, L::Totals>(rows, cols, nan);
            } else {
                self.slide::<L, [u32; BINS]>(rows, cols, nan);
            }
        }
    }

    /// Puts the pixels into their bins.
    #[inline(always)]
    fn scatter(&mut self, edges: &[K; BINS - 1]) {
        let mut counts = [0; BINS + 1];
        self.codes.iter().for_each(|&code| counts[usize::from(code)] += 1);
        let mut next = [0; BINS + 1];
        let mut end = 0;
        for (i, bin) in self.bins.iter_mut().enumerate() {
            let single = i > 0 && i < BINS - 1 && edges[i - 1].next() == edges[i];
            *bin = Bin { start: end, end: end + counts[i], sorted: single, single };
            next[i] = end;
            end = bin.end;
        }
        self.placed.resize(end, K::Placed::default());
        self.positions.resize(end + CHUNK, 0);
        let rows = self.keys.chunks(self.width).zip(self.codes.chunks(self.width));
        for (y, (keys, codes)) in (0u32..).zip(rows) {
            for (x, (key, &code)) in (0u32..).zip(keys.iter().zip(codes)) {
                let next = &mut next[usize::from(code)];
                self.placed[*next] = key.place(y << 16 | x);
                *next += 1;
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
        if !self.bins[bin].sorted {
            self.sort(bin);
        }
        let Bin { start, end, single, .. } = self.bins[bin];
        let place = if single {
            start
        } else {
            let extent = (self.size.0 - 1) << 16 | (self.size.1 - 1);
            let len = (end - start).next_multiple_of(CHUNK);
            // SAFETY: the caller's.
            start + unsafe { L::select(&self.positions[start..][..len], origin, extent as u32, n) }
        };
        K::parts(self.placed[place]).0
    }

    #[inline(never)]
    fn sort(&mut self, bin: usize) {
        let bin = &mut self.bins[bin];
        let placed = &mut self.placed[bin.start..bin.end];
        placed.sort_unstable();
        bin.sorted = true;
        bin.single = K::parts(placed[0]).0 == K::parts(placed[placed.len() - 1]).0;
        for (position, &placed) in self.positions[bin.start..].iter_mut().zip(&*placed) {
            *position = K::parts(placed).1;
        }
    }
}
