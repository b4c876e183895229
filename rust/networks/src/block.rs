//! A block of an image through a network: pixels in, transposed into lanes, medians out.

use crate::layout::{OUT, PITCH};
use crate::{Coding, Job, Line};

/// A generated network for vectors `V`.
pub(crate) struct Network<V> {
    pub size: usize,
    /// Outputs of a tile, (height, width).
    pub tile: (usize, usize),
    /// Rows of a presorted column.
    pub column: usize,
    /// Vectors of scratch memory.
    pub scratch: usize,
    /// Sorts columns of the pixels around a row of tiles, with scratch memory, as many as said.
    pub sort_columns: unsafe fn(*const V, *mut V, *mut V, usize),
    /// The medians of a tile, of its pixels, its columns, in scratch memory.
    pub run: unsafe fn(*const V, *const V, *mut V, *mut V),
}

/// A vector of `LANES` pixels, which is made of 128-bit pieces of `N` pixels.
///
/// # Safety
/// Methods may be called only where the processor has the instructions of the type.
pub(crate) trait Vector<const N: usize>: Copy {
    const LANES: usize;
    const BYTES: usize = 16 / N;
    /// Pieces of 16 bytes from any addresses.
    unsafe fn gather(pieces: impl Fn(usize) -> *const u8) -> Self;
    unsafe fn scatter(self, pieces: impl Fn(usize) -> *mut u8);
    /// In each piece, the first halves of `self` and `other`, pixel by pixel in turn.
    unsafe fn low(self, other: Self) -> Self;
    /// The second halves.
    unsafe fn high(self, other: Self) -> Self;
    /// To and from a number that orders as the network's minima do.
    unsafe fn recode(self, coding: Coding) -> Self;
    /// The greatest magnitude so far, sign bit off, as integers.
    unsafe fn magnitude(self, most: Self) -> Self;
    /// Whether a 32-bit lane is -0.
    unsafe fn minus_zero(self) -> bool {
        unreachable!("no floats of 32 bits are compared")
    }
    unsafe fn zero() -> Self;
    /// Lanes of a magnitude that is not a number's.
    unsafe fn nan(self) -> u64;
}

/// Transposes the pixels of each 128-bit column of `rows`.
#[inline(always)]
unsafe fn transpose<V: Vector<N>, const N: usize>(mut rows: [V; N]) -> [V; N] {
    let mut stage = 1;
    while stage < N {
        let mut next = rows;
        for i in 0..N / 2 {
            // SAFETY: the caller's.
            unsafe {
                next[2 * i] = rows[i].low(rows[i + N / 2]);
                next[2 * i + 1] = rows[i].high(rows[i + N / 2]);
            }
        }
        rows = next;
        stage *= 2;
    }
    rows
}

/// Runs `job`, and returns the lanes that saw a NaN; or nothing, halfway, where [`Coding::Plain`] does not suit the pixels.
///
/// # Safety
/// The processor has the instructions of `V`, and `job` keeps its promises.
#[inline(always)]
pub(crate) unsafe fn run<V: Vector<N>, const N: usize>(
    job: &Job<'_>,
    network: &Network<V>,
    memory: &mut Vec<Line>,
) -> Option<u64> {
    let (size, (th, tw)) = (network.size, network.tile);
    let reach = (job.strip + size - 1).next_multiple_of(N);
    assert!(job.strip.is_multiple_of(tw) && job.strip.is_multiple_of(N) && job.strip <= OUT && reach < PITCH);
    assert!(job.rows.is_multiple_of(th));
    assert_eq!(job.sources.len(), (job.rows + size - 1) * V::LANES);
    assert_eq!(job.targets.len(), job.rows * V::LANES);
    assert_eq!(job.widths.len(), V::LANES);

    // Rows of pixels in memory; when it is full, those still needed go to its start.
    let capacity = (2 * (size + th)).min(job.rows + size - 1);
    let columns = (job.strip + size - 1) * network.column;
    let vectors = capacity * PITCH + columns + network.scratch + th * OUT;
    let lines = (vectors * size_of::<V>()).div_ceil(size_of::<Line>());
    if memory.len() < lines {
        memory.resize(lines, Line([0; 64]));
    }
    let pixels: *mut V = memory.as_mut_ptr().cast();
    // SAFETY: the four areas lie in `memory` one after the other, as was computed above. Sources, targets and widths have the
    // lengths that were checked, and what they point to is the caller's promise.
    unsafe {
        let sorted = pixels.add(capacity * PITCH);
        let scratch = sorted.add(columns);
        let medians = scratch.add(network.scratch);
        let (mut first, mut loaded) = (0, 0);
        let floats = matches!(job.coding, Coding::Float | Coding::Plain);
        let mut most = V::zero();
        for y in (0..job.rows).step_by(th) {
            let end = y + th + size - 1;
            if end - first > capacity {
                std::ptr::copy(pixels.add((y - first) * PITCH), pixels, (loaded - y) * PITCH);
                first = y;
            }
            for row in loaded..end {
                let sources = &job.sources[row * V::LANES..][..V::LANES];
                let to = pixels.add((row - first) * PITCH);
                for x in (0..reach).step_by(N) {
                    let pieces: [V; N] = std::array::from_fn(|j| {
                        V::gather(|piece| sources.get_unchecked(piece * N + j).add(x * V::BYTES))
                    });
                    for (i, v) in transpose(pieces).into_iter().enumerate() {
                        if floats {
                            most = v.magnitude(most);
                        }
                        if job.coding == Coding::Plain && v.minus_zero() {
                            return None;
                        }
                        *to.add(x + i) = v.recode(job.coding);
                    }
                }
            }
            loaded = end;
            let tiles = pixels.add((y - first) * PITCH);
            let mut ready = 0;
            for x in (0..job.strip).step_by(tw) {
                // Columns are sorted just before the first tile that needs them: the pixels are then still in the cache.
                let needed = x + tw + size - 1;
                let to = sorted.add(ready * network.column);
                (network.sort_columns)(tiles.add(ready), to, scratch, needed - ready);
                ready = needed;
                (network.run)(tiles.add(x), sorted.add(x * network.column), scratch, medians.add(x));
            }
            for row in 0..th {
                store(job, y + row, medians.add(row * OUT));
            }
        }
        Some(if floats { most.nan() } else { 0 })
    }
}

/// Stores a row of medians in all lanes.
#[inline(always)]
unsafe fn store<V: Vector<N>, const N: usize>(job: &Job<'_>, row: usize, medians: *const V) {
    let targets = &job.targets[row * V::LANES..][..V::LANES];
    let whole = targets.iter().zip(job.widths).all(|(target, &width)| !target.is_null() && width == job.strip);
    let mut buffer = [Line([0; 64]); 16];
    for x in (0..job.strip).step_by(N) {
        // SAFETY: medians holds the strip; a target has room for its lane's width, the buffer for 16 bytes of each of 64 lanes.
        unsafe {
            let pieces = transpose(std::array::from_fn(|i| (*medians.add(x + i)).recode(job.coding)));
            if whole {
                for (j, v) in pieces.into_iter().enumerate() {
                    v.scatter(|piece| targets.get_unchecked(piece * N + j).add(x * V::BYTES));
                }
                continue;
            }
            let buffer: *mut u8 = buffer.as_mut_ptr().cast();
            for (j, v) in pieces.into_iter().enumerate() {
                v.scatter(|piece| buffer.add((piece * N + j) * 16));
            }
            for (lane, (target, &width)) in targets.iter().zip(job.widths).enumerate() {
                let n = width.saturating_sub(x).min(N);
                if !target.is_null() && n > 0 {
                    std::ptr::copy_nonoverlapping(buffer.add(lane * 16), target.add(x * V::BYTES), n * V::BYTES);
                }
            }
        }
    }
}
