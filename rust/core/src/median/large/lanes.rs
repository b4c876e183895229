//! The inner loops, for each [`Level`](crate::simd::Level).

/// Bins of values.
pub(super) const BINS: usize = 64;

/// How many pixels lie in bin `i` or below it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Counts(pub [u16; BINS]);

impl Counts {
    pub const ZERO: Self = Self([0; BINS]);

    /// One pixel of each bin; the last is NaN, which is not counted.
    pub const ONE: [Self; BINS + 1] = {
        let mut one = [Self::ZERO; BINS + 1];
        let mut bin = 0;
        while bin < BINS {
            let mut i = bin;
            while i < BINS {
                one[bin].0[i] = 1;
                i += 1;
            }
            bin += 1;
        }
        one
    };
}

/// The same for a window: the sum of some columns.
pub trait Totals: Copy {
    fn zero() -> Self;
    /// Adds a column and takes another away.
    ///
    /// # Safety
    /// The processor has the instructions of the type's level (true of all methods here).
    unsafe fn slide(&mut self, enter: &Counts, leave: &Counts);
    /// All pixels.
    unsafe fn count(&self) -> u32;
    /// The bin of the pixel that has `rank` others below it, and how many of them lie in lower bins.
    unsafe fn find(&self, rank: u32) -> (usize, u32);
}

macro_rules! portable {
    ($t:ty) => {
        impl Totals for [$t; BINS] {
            #[inline(always)]
            fn zero() -> Self {
                [0; BINS]
            }
            #[inline(always)]
            unsafe fn slide(&mut self, enter: &Counts, leave: &Counts) {
                for i in 0..BINS {
                    self[i] = self[i].wrapping_add(enter.0[i].into()).wrapping_sub(leave.0[i].into());
                }
            }
            #[inline(always)]
            unsafe fn count(&self) -> u32 {
                self[BINS - 1].into()
            }
            #[inline(always)]
            unsafe fn find(&self, rank: u32) -> (usize, u32) {
                let rank = rank as $t;
                let bin = self.iter().map(|&n| <$t>::from(n <= rank)).sum::<$t>() as usize;
                (bin, if bin == 0 { 0 } else { self[bin - 1].into() })
            }
        }
    };
}
portable!(u16);
portable!(u32);

/// The loops; the processor must have the instructions of the implementing level.
pub trait Lanes {
    /// For windows of up to 65535 pixels.
    type Totals: Totals;

    /// The bin of each key: how many of the ascending `edges` do not exceed it.
    ///
    /// # Safety
    /// See the trait (true of all methods here).
    unsafe fn bins(keys: &[u32], edges: &[u32; BINS - 1], out: &mut [u8]);

    /// Index of the position that has `n` others of the window before it. A position is `y << 16 | x`; the window's
    /// first one is `origin`, its last one `extent` farther. The length is a multiple of [`CHUNK`]; what follows the
    /// answer does not matter.
    unsafe fn select(positions: &[u32], origin: u32, extent: u32, n: u32) -> usize;
}

/// Positions are looked at in pieces of this many.
pub(super) const CHUNK: usize = 64;

/// Branchless binary search.
#[inline(always)]
pub(super) fn search<K: Copy + Ord>(keys: &[K], edges: &[K; BINS - 1], out: &mut [u8]) {
    for (out, key) in out.iter_mut().zip(keys) {
        let mut bin = 0;
        for half in [32, 16, 8, 4, 2, 1] {
            bin += if edges[(bin + half - 1) & (BINS - 1)] <= *key { half } else { 0 };
        }
        *out = bin as u8;
    }
}

#[inline(always)]
fn inside(position: u32, origin: u32, extent: u32) -> bool {
    (position >> 16).wrapping_sub(origin >> 16) <= extent >> 16
        && (position & 0xffff).wrapping_sub(origin & 0xffff) <= extent & 0xffff
}

pub(super) struct Scalar;

impl Lanes for Scalar {
    type Totals = [u16; BINS];

    #[inline(always)]
    unsafe fn bins(keys: &[u32], edges: &[u32; BINS - 1], out: &mut [u8]) {
        search(keys, edges, out);
    }

    #[inline(always)]
    unsafe fn select(positions: &[u32], origin: u32, extent: u32, mut n: u32) -> usize {
        for (i, chunk) in positions.as_chunks::<CHUNK>().0.iter().enumerate() {
            let found = chunk.iter().map(|&p| u32::from(inside(p, origin, extent))).sum();
            if n >= found {
                n -= found;
                continue;
            }
            for (j, &p) in chunk.iter().enumerate() {
                match (inside(p, origin, extent), n) {
                    (false, _) => {}
                    (true, 0) => return i * CHUNK + j,
                    (true, _) => n -= 1,
                }
            }
        }
        unreachable!("the counts say that the bin has such a pixel")
    }
}
