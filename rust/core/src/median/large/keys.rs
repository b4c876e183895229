//! Sortable integers for pixels.

use super::lanes::{BINS, Lanes, search};

/// [`Pixel::key`](crate::Pixel::key) at its width. No number has the key `MAX` if its type has NaN.
pub trait Key: Copy + Ord + Default + Send + Sync {
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
        search(keys, edges, out);
    }
}
