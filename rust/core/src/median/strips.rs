//! Small square windows: selection networks over strips of the image, one for each lane of a vector.
//!
//! A network knows no NaN. It is exact for the windows without one; the others are done again, where [`Nan::Ignore`] asks for
//! it by the sliding histogram.

use std::any::TypeId;
use std::cell::RefCell;

use rayon::prelude::*;
use starnet_networks::{Coding, Instructions, Job, Kernel, Line, floats_are_faster, kernel};

use super::Nan;
use super::mend::mend;
use crate::simd::Level;
use crate::{Border, Error, Pixel, Result, View2, ViewMut2, with_threads};

/// Most rows of a strip: enough that those above and below it cost little.
const TALLEST: usize = 128;
/// What reading a pixel costs, as a part of what a median of 10 pixels costs.
const READING: f64 = 0.1;

/// The network of a window and a pixel type.
pub(super) struct Networks {
    kernel: Kernel,
    coding: Coding,
    size: usize,
    level: Level,
}

/// How an image is cut: blocks of `down * across` lanes, each `rows * strip` outputs.
#[derive(Debug, Clone, Copy)]
struct Layout {
    across: usize,
    down: usize,
    strip: usize,
    rows: usize,
}

/// What a thread works in.
#[derive(Default)]
struct Memory {
    network: Vec<Line>,
    /// Pixels of the lanes that reach beyond the image.
    padded: Vec<Line>,
    sources: Vec<*const u8>,
    targets: Vec<*mut u8>,
    widths: Vec<usize>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Width in bits and coding of the types that there are networks for.
pub(super) fn coding<T: 'static>() -> Option<(u32, Coding)> {
    let is = |other: TypeId| TypeId::of::<T>() == other;
    Some(match () {
        () if is(TypeId::of::<f32>()) => (32, Coding::Float),
        () if is(TypeId::of::<i32>()) => (32, Coding::Same),
        () if is(TypeId::of::<u32>()) => (32, Coding::Flip),
        () if is(TypeId::of::<i16>()) => (16, Coding::Same),
        () if is(TypeId::of::<u16>()) => (16, Coding::Flip),
        () if is(TypeId::of::<u8>()) => (8, Coding::Same),
        () if is(TypeId::of::<i8>()) => (8, Coding::Flip),
        () if is(TypeId::of::<f64>()) => (64, Coding::Float),
        () if is(TypeId::of::<i64>()) => (64, Coding::Same),
        () if is(TypeId::of::<u64>()) => (64, Coding::Flip),
        () => return None,
    })
}

impl Networks {
    /// The network for windows of `size` by `size` pixels `T`, if there is one.
    pub fn of<T: Pixel>(size: usize, level: Level) -> Option<Self> {
        let (bits, coding) = coding::<T>()?;
        assert!(level.available(), "{level:?} is not available");
        let instructions = match level {
            Level::Scalar => Instructions::Scalar,
            Level::Avx2 => Instructions::Avx2,
            Level::Avx512 if floats_are_faster() => Instructions::Avx512Floats,
            Level::Avx512 => Instructions::Avx512,
        };
        kernel(instructions, bits, size).map(|kernel| Self { kernel, coding, size, level })
    }

    /// [`median_filter`](super::median_filter), by this network.
    ///
    /// `T` must be the type that it was made for.
    pub fn filter<T: Pixel>(
        &self,
        a: View2<'_, T>,
        border: Border,
        nan: Nan,
        mut out: ViewMut2<'_, T>,
        threads: Option<usize>,
    ) -> Result<()> {
        assert_eq!(coding::<T>().map(|c| c.1), Some(self.coding));
        let (ny, nx) = a.shape();
        if out.shape() != (ny, nx) {
            let got = vec![out.shape().0, out.shape().1];
            return Err(Error::Shape { name: "out", got, expected: vec![ny, nx] });
        }
        if ny == 0 || nx == 0 {
            return Ok(());
        }
        let layout = self.layout((ny, nx));
        let cuts = |n: usize, step: usize| (0..n).step_by(step).chain([n]).collect::<Vec<_>>();
        let (ys, xs) = (cuts(ny, layout.down * layout.rows), cuts(nx, layout.across * layout.strip));
        let corners: Vec<_> =
            ys[..ys.len() - 1].iter().flat_map(|&y| xs[..xs.len() - 1].iter().map(move |&x| (y, x))).collect();
        let blocks = out.blocks_mut(&ys, &xs);
        with_threads(threads, || {
            corners.into_par_iter().zip(blocks).for_each(|(corner, mut out)| {
                // Nothing below comes back here on the same thread: no rayon call is made while the memory is borrowed.
                let spoilt = MEMORY.with_borrow_mut(|memory| self.block(a, corner, layout, border, &mut out, memory));
                for lane in (0..self.kernel.lanes).filter(|lane| spoilt >> lane & 1 == 1) {
                    let (y, x) = (lane / layout.across * layout.rows, lane % layout.across * layout.strip);
                    if y < out.shape().0 && x < out.shape().1 {
                        let strip = (y..(y + layout.rows).min(out.shape().0), x..(x + layout.strip).min(out.shape().1));
                        mend(self.level, a, self.size, corner, strip, border, nan, &mut out, threads);
                    }
                }
            });
        });
        Ok(())
    }

    /// The cheapest layout: no work beyond the image, little around the strips.
    fn layout(&self, (ny, nx): (usize, usize)) -> Layout {
        let Kernel { lanes, unit, tile_height, .. } = self.kernel;
        let mut best = (f64::INFINITY, Layout { across: lanes, down: 1, strip: unit, rows: tile_height });
        for across in (0..=lanes.ilog2()).rev().map(|i| 1 << i) {
            let down = lanes / across;
            let count = ny.div_ceil(TALLEST * down);
            let rows = ny.div_ceil(count * down).next_multiple_of(tile_height);
            for strip in (unit..=Kernel::WIDEST).step_by(unit) {
                let computed = nx.next_multiple_of(across * strip) * ny.next_multiple_of(down * rows);
                let around = |n: usize| (n + self.size - 1) as f64 / n as f64;
                let cost = computed as f64 * (1.0 + READING * around(strip) * around(rows));
                if cost < best.0 {
                    best = (cost, Layout { across, down, strip, rows });
                }
            }
        }
        best.1
    }

    /// Runs the network over a block of the image from `corner` on; returns the lanes that saw a NaN.
    fn block<T: Pixel>(
        &self,
        a: View2<'_, T>,
        corner: (usize, usize),
        layout: Layout,
        border: Border,
        out: &mut ViewMut2<'_, T>,
        memory: &mut Memory,
    ) -> u64 {
        let (ny, nx) = a.shape();
        let (lanes, before) = (self.kernel.lanes, self.size / 2);
        let reach = self.kernel.reach(self.size, layout.strip);
        let rows = layout.rows + self.size - 1;
        let origin = |lane: usize| (lane / layout.across * layout.rows, lane % layout.across * layout.strip);
        let (height, width) = out.shape();

        // First pixel of a lane's windows, where the lane has outputs, and whether all its pixels can be read in place.
        let lane_start = |lane: usize| {
            let (y, x) = origin(lane);
            let wanted = y < height && x < width;
            let left = (corner.1 + x) as isize - before as isize;
            let inside = left >= 0 && left as usize + reach <= nx && a.row(0).is_some();
            (wanted, (corner.0 + y) as isize - before as isize, left, inside)
        };
        let padded = (0..lanes).filter(|&lane| matches!(lane_start(lane), (true, _, _, false))).count();
        // One row more, of the constant.
        let lines = ((padded * rows + 1) * reach * size_of::<T>()).div_ceil(size_of::<Line>());
        memory.padded.clear();
        memory.padded.resize(lines, Line([0; 64]));
        let mut free: *mut T = memory.padded.as_mut_ptr().cast();
        let constant = free.cast_const();
        free = free.wrapping_add(reach);

        memory.sources.clear();
        memory.sources.resize(rows * lanes, constant.cast());
        memory.targets.clear();
        memory.targets.resize(layout.rows * lanes, std::ptr::null_mut());
        memory.widths.clear();
        memory.widths.resize(lanes, 0);
        for lane in 0..lanes {
            let (wanted, top, left, inside) = lane_start(lane);
            if !wanted {
                continue;
            }
            for row in 0..rows {
                let source = &mut memory.sources[row * lanes + lane];
                let y = border.source(top + row as isize, ny);
                if let (true, Some(y)) = (inside, y) {
                    *source = a.row(y).map_or(constant, |row| row[left as usize..][..reach].as_ptr()).cast();
                } else if inside {
                    *source = constant.cast();
                } else {
                    // SAFETY: `padded` counted this lane: there is memory for its rows, zeroed, which is a value of `T`.
                    let pixels = unsafe { std::slice::from_raw_parts_mut(free, reach) };
                    border.read(a, top + row as isize, left, &mut pixels[..layout.strip + self.size - 1]);
                    *source = free.cast_const().cast();
                    free = free.wrapping_add(reach);
                }
            }
            let (y, x) = origin(lane);
            memory.widths[lane] = layout.strip.min(width - x);
            for row in 0..layout.rows.min(height - y) {
                memory.targets[row * lanes + lane] = out.row_mut(y + row)[x..].as_mut_ptr().cast();
            }
        }
        let Memory { network, sources, targets, widths, .. } = memory;
        let job = Job { sources, targets, widths, strip: layout.strip, rows: layout.rows, coding: self.coding };
        // SAFETY: the level was available when the kernel was asked for, for the width of `T`. Sources are `reach` pixels of
        // the image or of `padded`, targets the rest of rows of `out`, at least as long as the lane's width.
        unsafe { self.kernel.run(&job, network) }
    }
}
