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
mod values;
#[cfg(target_arch = "x86_64")]
mod x86;

use rayon::prelude::*;

use self::bins::Chooser;
pub(super) use self::keys::Key;
use self::lanes::{BINS, CHUNK, Counts, Lanes, Scalar, Totals};
use self::values::Values;
use super::{Nan, blocks};
use crate::simd::Level;
use crate::{Border, Pixel, View2, ViewMut2, with_threads};

/// Sides of a block of outputs: that of the window, or four times as much if not all pixels are asked for, within these
/// limits. The larger, the less is seen twice, and the more medians differ, which [`Values`] do not mind.
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
    level: Level,
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
    run(level, a, rows, cols, size, border, nan, out, threads);
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
    let few = values::fits::<T>(size);
    let sides = |rows: &[usize], cols: &[usize], few: bool| (side(rows, size.0, few), side(cols, size.1, few));
    let memory = || (Values::default(), Block::<K>::default());
    with_threads(threads, || {
        let all = blocks(rows, cols, sides(rows, cols, few), &mut out);
        all.into_par_iter().for_each_init(memory, |(values, block), (rows, cols, mut out)| {
            if few && values.medians(level, a, rows, cols, size, border, &mut out) {
                return;
            }
            for (rows, cols, mut out) in blocks(rows, cols, sides(rows, cols, false), &mut out) {
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
            }
        });
    });
}

/// Side of the blocks of outputs at ascending `nodes`, for a side of the window, if there are few values or not.
fn side(nodes: &[usize], k: usize, few: bool) -> usize {
    let gaps = nodes[nodes.len() - 1] - nodes[0] >= nodes.len();
    (k * if gaps || few { 4 } else { 1 }).clamp(if few { SIDES.1 / 2 } else { SIDES.0 }, SIDES.1)
}

/// The pixels of an axis that are counted.
#[derive(Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// Moves on to the `k` pixels from `to` on: whether none of them was counted, and the steps that lead there, each a
    /// pixel that enters, and one that leaves.
    #[inline(always)]
    fn slide(&mut self, to: usize, k: usize) -> (bool, impl Iterator<Item = (usize, Option<usize>)> + use<>) {
        let fresh = to >= self.end;
        let Self { start, end } = if fresh { Self { start: to, end: to } } else { *self };
        *self = Self { start: to, end: to + k };
        (fresh, (end..to + k).zip(start..).map(move |(enter, leave)| (enter, (leave < to).then_some(leave))))
    }
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
        self.width = cols[cols.len() - 1] - cols[0] + size.1;
        self.size = size;
        let height = rows[rows.len() - 1] - rows[0] + size.0;
        let (top, left) = (rows[0] as isize - (size.0 / 2) as isize, cols[0] as isize - (size.1 / 2) as isize);
        let key = |v: &T| if v.is_nan() { K::MAX } else { K::narrow(v.key()) };
        let mut row = vec![T::default(); self.width];
        self.keys.clear();
        for y in (top..).take(height) {
            border.read(a, y, left, &mut row);
            self.keys.extend(row.iter().map(key));
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
        let mut span = Span::default();
        for &row in rows {
            let y = row - rows[0];
            let (fresh, steps) = span.slide(y, ky);
            if fresh {
                self.columns.fill(Counts::ZERO);
            }
            for (enter, leave) in steps {
                let line = |y: usize| &self.codes[y * self.width..][..self.width];
                if let Some(leave) = leave {
                    for ((column, &enter), &leave) in self.columns.iter_mut().zip(line(enter)).zip(line(leave)) {
                        let (enter, leave) = (&Counts::ONE[usize::from(enter)], &Counts::ONE[usize::from(leave)]);
                        for i in 0..BINS {
                            column.0[i] = column.0[i].wrapping_add(enter.0[i]).wrapping_sub(leave.0[i]);
                        }
                    }
                } else {
                    for (column, &enter) in self.columns.iter_mut().zip(line(enter)) {
                        let enter = &Counts::ONE[usize::from(enter)];
                        for i in 0..BINS {
                            column.0[i] += enter.0[i];
                        }
                    }
                }
            }
            // The same of columns.
            let (mut totals, mut span) = (W::zero(), Span::default());
            for &col in cols {
                let x = col - cols[0];
                let (fresh, steps) = span.slide(x, kx);
                if fresh {
                    totals = W::zero();
                }
                for (enter, leave) in steps {
                    let leave = leave.map_or(&Counts::ZERO, |x| &self.columns[x]);
                    // SAFETY: the caller's.
                    unsafe { totals.slide(&self.columns[enter], leave) };
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
