//! The inner loops in the vector instructions of x86-64.

use std::arch::x86_64::*;

use super::lanes::{BINS, CHUNK, Counts, Lanes, Totals, search};

/// The level of the binary search that has `N` edges, as a table of `N`; `edges` ascend.
#[inline(always)]
fn tier<const N: usize>(edges: &[u32; BINS - 1], flip: u32) -> [u32; N] {
    let span = BINS / N;
    std::array::from_fn(|i| edges[i * span + span / 2 - 1] ^ flip)
}

/// The count before `bin`, whose own lies in the second array: aligned vectors are forwarded to loads.
#[inline(always)]
fn at(below: &[Counts; 2], bin: u32) -> u32 {
    let before = bin as usize + BINS - 1;
    below[before / BINS].0[before % BINS].into()
}

/// The `n`-th set bit.
#[inline(always)]
fn nth(mut mask: u32, n: u32) -> usize {
    for _ in 0..n {
        mask &= mask - 1;
    }
    mask.trailing_zeros() as usize
}

pub struct Avx512;

#[derive(Clone, Copy)]
pub struct Totals512([__m512i; 2]);

// SAFETY of all `unsafe` blocks below: the callers of these methods vouch for the instructions; loads and stores
// stay inside their arrays.
impl Totals for Totals512 {
    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: plain bits.
        unsafe { std::mem::zeroed() }
    }
    #[inline(always)]
    unsafe fn slide(&mut self, enter: &Counts, leave: &Counts) {
        for i in 0..2 {
            // SAFETY: see above.
            unsafe {
                let enter = _mm512_load_si512(enter.0.as_ptr().add(32 * i).cast());
                let leave = _mm512_load_si512(leave.0.as_ptr().add(32 * i).cast());
                self.0[i] = _mm512_sub_epi16(_mm512_add_epi16(self.0[i], enter), leave);
            }
        }
    }
    #[inline(always)]
    unsafe fn count(&self) -> u32 {
        // SAFETY: see above.
        let last = unsafe { _mm_extract_epi16::<7>(_mm512_extracti32x4_epi32::<3>(self.0[1])) };
        last as u32
    }
    #[inline(always)]
    unsafe fn find(&self, rank: u32) -> (usize, u32) {
        let mut below = [Counts::ZERO; 2];
        // SAFETY: see above.
        let bin = unsafe {
            let rank = _mm512_set1_epi16(rank as i16);
            _mm512_store_si512(below[1].0.as_mut_ptr().cast(), self.0[0]);
            _mm512_store_si512(below[1].0.as_mut_ptr().add(32).cast(), self.0[1]);
            let low = _mm512_cmple_epu16_mask(self.0[0], rank);
            let high = _mm512_cmple_epu16_mask(self.0[1], rank);
            low.count_ones() + high.count_ones()
        };
        (bin as usize, at(&below, bin))
    }
}

impl Lanes for Avx512 {
    type Totals = Totals512;

    #[inline(always)]
    unsafe fn bins(keys: &[u32], edges: &[u32; BINS - 1], out: &mut [u8]) {
        let padded = |tier: &[u32]| -> [u32; 16] { std::array::from_fn(|i| tier.get(i).copied().unwrap_or(0)) };
        let tiers = [
            padded(&tier::<1>(edges, 0)),
            padded(&tier::<2>(edges, 0)),
            padded(&tier::<4>(edges, 0)),
            padded(&tier::<8>(edges, 0)),
            tier::<16>(edges, 0),
        ];
        let last = tier::<32>(edges, 0);
        let (keys, rest) = keys.as_chunks::<16>();
        let (out, rest_out) = out.as_chunks_mut::<16>();
        // SAFETY: see above.
        unsafe {
            let tiers = tiers.map(|tier| _mm512_loadu_si512(tier.as_ptr().cast()));
            let low = _mm512_loadu_si512(last.as_ptr().cast());
            let high = _mm512_loadu_si512(last.as_ptr().add(16).cast());
            let one = _mm512_set1_epi32(1);
            for (out, key) in out.iter_mut().zip(keys) {
                let key = _mm512_loadu_si512(key.as_ptr().cast());
                let mut bin = _mm512_setzero_si512();
                for tier in tiers {
                    let right = _mm512_cmple_epu32_mask(_mm512_permutexvar_epi32(bin, tier), key);
                    bin = _mm512_add_epi32(bin, bin);
                    bin = _mm512_mask_add_epi32(bin, right, bin, one);
                }
                let right = _mm512_cmple_epu32_mask(_mm512_permutex2var_epi32(low, bin, high), key);
                bin = _mm512_add_epi32(bin, bin);
                bin = _mm512_mask_add_epi32(bin, right, bin, one);
                _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(bin));
            }
        }
        search(rest, edges, rest_out);
    }

    #[inline(always)]
    unsafe fn select(positions: &[u32], origin: u32, extent: u32, mut n: u32) -> usize {
        // SAFETY: see above.
        unsafe {
            let (origin, extent) = (_mm512_set1_epi32(origin as i32), _mm512_set1_epi32(extent as i32));
            for (i, chunk) in positions.as_chunks::<CHUNK>().0.iter().enumerate() {
                let inside = |j: usize| {
                    let away = _mm512_sub_epi16(_mm512_loadu_si512(chunk.as_ptr().add(16 * j).cast()), origin);
                    _mm512_cmpeq_epi32_mask(_mm512_max_epu16(away, extent), extent)
                };
                let low = _mm512_kunpackw(inside(1).into(), inside(0).into());
                let high = _mm512_kunpackw(inside(3).into(), inside(2).into());
                let inside = _mm512_kunpackd(high.into(), low.into());
                let found = inside.count_ones();
                if n < found {
                    return i * CHUNK + _pdep_u64(1 << n, inside).trailing_zeros() as usize;
                }
                n -= found;
            }
        }
        unreachable!("the counts say that the bin has such a pixel")
    }
}

pub struct Avx2;

#[derive(Clone, Copy)]
pub struct Totals256([__m256i; 4]);

impl Totals for Totals256 {
    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: plain bits.
        unsafe { std::mem::zeroed() }
    }
    #[inline(always)]
    unsafe fn slide(&mut self, enter: &Counts, leave: &Counts) {
        for i in 0..4 {
            // SAFETY: see above.
            unsafe {
                let enter = _mm256_load_si256(enter.0.as_ptr().add(16 * i).cast());
                let leave = _mm256_load_si256(leave.0.as_ptr().add(16 * i).cast());
                self.0[i] = _mm256_sub_epi16(_mm256_add_epi16(self.0[i], enter), leave);
            }
        }
    }
    #[inline(always)]
    unsafe fn count(&self) -> u32 {
        // SAFETY: see above.
        unsafe { _mm256_extract_epi16::<15>(self.0[3]) as u32 }
    }
    #[inline(always)]
    unsafe fn find(&self, rank: u32) -> (usize, u32) {
        let mut below = [Counts::ZERO; 2];
        // SAFETY: see above.
        let bin = unsafe {
            let rank = _mm256_set1_epi16(rank as i16);
            let mut masks = [rank; 4];
            for (i, &totals) in self.0.iter().enumerate() {
                _mm256_store_si256(below[1].0.as_mut_ptr().add(16 * i).cast(), totals);
                masks[i] = _mm256_cmpeq_epi16(_mm256_min_epu16(totals, rank), totals);
            }
            // The order of the bytes does not matter to their number.
            let low = _mm256_movemask_epi8(_mm256_packs_epi16(masks[0], masks[1]));
            let high = _mm256_movemask_epi8(_mm256_packs_epi16(masks[2], masks[3]));
            low.count_ones() + high.count_ones()
        };
        (bin as usize, at(&below, bin))
    }
}

impl Lanes for Avx2 {
    type Totals = Totals256;

    #[inline(always)]
    unsafe fn bins(keys: &[u32], edges: &[u32; BINS - 1], out: &mut [u8]) {
        // Comparisons are signed.
        const FLIP: u32 = 1 << 31;
        let padded = |tier: &[u32]| -> [u32; 8] { std::array::from_fn(|i| tier.get(i).copied().unwrap_or(0)) };
        let tiers = [
            padded(&tier::<1>(edges, FLIP)),
            padded(&tier::<2>(edges, FLIP)),
            padded(&tier::<4>(edges, FLIP)),
            tier::<8>(edges, FLIP),
        ];
        let (fifth, sixth) = (tier::<16>(edges, FLIP), tier::<32>(edges, FLIP));
        let (keys, rest) = keys.as_chunks::<8>();
        let (out, rest_out) = out.as_chunks_mut::<8>();
        // SAFETY: see above.
        unsafe {
            let load = |table: &[u32], i: usize| _mm256_loadu_si256(table[8 * i..][..8].as_ptr().cast());
            let tiers = tiers.map(|tier| load(&tier, 0));
            let fifth = [load(&fifth, 0), load(&fifth, 1)];
            let sixth = [load(&sixth, 0), load(&sixth, 1), load(&sixth, 2), load(&sixth, 3)];
            let ones = _mm256_set1_epi32(-1);
            // By the sign of each lane.
            let either = |no: __m256i, yes: __m256i, sign: __m256i| {
                _mm256_castps_si256(_mm256_blendv_ps(
                    _mm256_castsi256_ps(no),
                    _mm256_castsi256_ps(yes),
                    _mm256_castsi256_ps(sign),
                ))
            };
            for (out, key) in out.iter_mut().zip(keys) {
                let key = _mm256_loadu_si256(key.as_ptr().cast());
                let key = _mm256_xor_si256(key, _mm256_set1_epi32(FLIP as i32));
                // Edges that exceed the key make -1; less their absence is 1.
                let step = |bin: __m256i, edge: __m256i| {
                    let left = _mm256_cmpgt_epi32(edge, key);
                    _mm256_sub_epi32(_mm256_add_epi32(bin, bin), _mm256_xor_si256(left, ones))
                };
                let mut bin = _mm256_setzero_si256();
                for tier in tiers {
                    bin = step(bin, _mm256_permutevar8x32_epi32(tier, bin));
                }
                let at = |table: __m256i| _mm256_permutevar8x32_epi32(table, bin);
                let edge = either(at(fifth[0]), at(fifth[1]), _mm256_slli_epi32::<28>(bin));
                bin = step(bin, edge);
                let at = |table: __m256i| _mm256_permutevar8x32_epi32(table, bin);
                let bit = _mm256_slli_epi32::<28>(bin);
                let (low, high) = (either(at(sixth[0]), at(sixth[1]), bit), either(at(sixth[2]), at(sixth[3]), bit));
                bin = step(bin, either(low, high, _mm256_slli_epi32::<27>(bin)));
                let words = _mm_packus_epi32(_mm256_castsi256_si128(bin), _mm256_extracti128_si256::<1>(bin));
                _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packus_epi16(words, words));
            }
        }
        search(rest, edges, rest_out);
    }

    #[inline(always)]
    unsafe fn select(positions: &[u32], origin: u32, extent: u32, mut n: u32) -> usize {
        // SAFETY: see above.
        unsafe {
            let (origin, extent) = (_mm256_set1_epi32(origin as i32), _mm256_set1_epi32(extent as i32));
            for (i, chunk) in positions.as_chunks::<8>().0.iter().enumerate() {
                let away = _mm256_sub_epi16(_mm256_loadu_si256(chunk.as_ptr().cast()), origin);
                let near = _mm256_cmpeq_epi16(_mm256_min_epu16(away, extent), away);
                let both = _mm256_cmpeq_epi32(near, _mm256_set1_epi32(-1));
                let inside = _mm256_movemask_ps(_mm256_castsi256_ps(both)) as u32;
                let found = inside.count_ones();
                if n < found {
                    return i * 8 + nth(inside, n);
                }
                n -= found;
            }
        }
        unreachable!("the counts say that the bin has such a pixel")
    }
}
