//! The pass over float32 pixels in vector instructions.

use std::arch::x86_64::*;

use crate::simd::Level;

/// Signed integers in the order of the floats: of negative ones, all bits but the sign are flipped.
#[inline(always)]
fn signed(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// What is sought, as signed keys.
#[derive(Clone, Copy)]
struct Limits {
    low: i32,
    high: i32,
    /// Least key that counts: those of negative NaN are less.
    least: i32,
}

/// Counts values below `low`, equal to it and equal to `high` (unsigned keys), and collects those between. The values
/// are the bits of float32, with their bytes in this machine's order or in the other one.
///
/// The level must be available, and not the portable one.
pub(super) fn scan<const SWAPPED: bool>(
    level: Level,
    values: &[u32],
    finite: bool,
    [low, high]: [u32; 2],
    inside: &mut Vec<f32>,
) -> [u64; 3] {
    let ends = if finite { [f32::MIN, f32::MAX] } else { [f32::NEG_INFINITY, f32::INFINITY] };
    let [least, most] = ends.map(|v| signed(v.to_bits() as i32));
    let [low, high] = [low, high].map(|key| ((key ^ 1 << 31) as i32).clamp(least - 1, most + 1));
    let limits = Limits { low, high, least };
    let start = inside.len();
    // Whole vectors are written where few values may count.
    inside.resize(start + values.len() + 16, 0.0);
    let (blocks, rest) = values.as_chunks::<16>();
    debug_assert!(level.available());
    // SAFETY: the level is available; there is room for all values and one vector more.
    let (mut counts, mut n) = unsafe {
        let to = inside.as_mut_ptr().add(start);
        if level == Level::Avx512 { avx512::<SWAPPED>(blocks, limits, to) } else { avx2::<SWAPPED>(blocks, limits, to) }
    };
    for &bits in rest {
        let bits = if SWAPPED { bits.swap_bytes() } else { bits };
        let key = signed(bits as i32);
        counts[0] += u32::from((key >= least) & (key < low));
        counts[1] += u32::from(key == low);
        counts[2] += u32::from(key == high);
        inside[start + n] = f32::from_bits(bits);
        n += usize::from((key > low) & (key < high));
    }
    inside.truncate(start + n);
    // Beyond all that count lie only what does not.
    counts[1] = if low < least { 0 } else { counts[1] };
    counts[2] = if high > most { 0 } else { counts[2] };
    counts.map(u64::from)
}

/// The bytes of four integers, each the other way round.
#[inline(always)]
fn reversed() -> __m128i {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12) }
}

/// # Safety
/// `to` must have room for all values and 16 more.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
unsafe fn avx512<const SWAPPED: bool>(blocks: &[[u32; 16]], limits: Limits, to: *mut f32) -> ([u32; 3], usize) {
    let [low, high, least] = [limits.low, limits.high, limits.least].map(|k| _mm512_set1_epi32(k));
    let (magnitude, one) = (_mm512_set1_epi32(i32::MAX), _mm512_set1_epi32(1));
    let mut sums = [_mm512_setzero_si512(); 3];
    let mut n = 0;
    for block in blocks {
        // SAFETY: a block is one vector.
        let v = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        let v = if SWAPPED { _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(reversed())) } else { v };
        let key = _mm512_xor_si512(v, _mm512_and_si512(_mm512_srai_epi32::<31>(v), magnitude));
        let below = _mm512_mask_cmplt_epi32_mask(_mm512_cmpge_epi32_mask(key, least), key, low);
        let at_low = _mm512_cmpeq_epi32_mask(key, low);
        let at_high = _mm512_cmpeq_epi32_mask(key, high);
        let between = _mm512_mask_cmplt_epi32_mask(_mm512_cmpgt_epi32_mask(key, low), key, high);
        for (sum, mask) in sums.iter_mut().zip([below, at_low, at_high]) {
            *sum = _mm512_mask_add_epi32(*sum, mask, *sum, one);
        }
        // SAFETY: at most as many values were written before as were read, and there is room for a vector beyond.
        unsafe { _mm512_storeu_si512(to.add(n).cast(), _mm512_maskz_compress_epi32(between, v)) };
        n += between.count_ones() as usize;
    }
    (sums.map(|s| _mm512_reduce_add_epi32(s) as u32), n)
}

/// # Safety
/// `to` must have room for all values.
#[target_feature(enable = "avx2,bmi1,popcnt")]
unsafe fn avx2<const SWAPPED: bool>(blocks: &[[u32; 16]], limits: Limits, to: *mut f32) -> ([u32; 3], usize) {
    let [low, high, least] = [limits.low, limits.high, limits.least].map(|k| _mm256_set1_epi32(k));
    let magnitude = _mm256_set1_epi32(i32::MAX);
    let mut sums = [_mm256_setzero_si256(); 3];
    let mut n = 0;
    for half in blocks.as_flattened().as_chunks::<8>().0 {
        // SAFETY: half a block is one vector.
        let v = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
        let v = if SWAPPED { _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(reversed())) } else { v };
        let key = _mm256_xor_si256(v, _mm256_and_si256(_mm256_srai_epi32::<31>(v), magnitude));
        let below = _mm256_andnot_si256(_mm256_cmpgt_epi32(least, key), _mm256_cmpgt_epi32(low, key));
        let (at_low, at_high) = (_mm256_cmpeq_epi32(key, low), _mm256_cmpeq_epi32(key, high));
        let between = _mm256_and_si256(_mm256_cmpgt_epi32(key, low), _mm256_cmpgt_epi32(high, key));
        for (sum, mask) in sums.iter_mut().zip([below, at_low, at_high]) {
            *sum = _mm256_sub_epi32(*sum, mask);
        }
        let mut mask = _mm256_movemask_ps(_mm256_castsi256_ps(between)) as u32;
        while mask != 0 {
            let bits = half[mask.trailing_zeros() as usize];
            // SAFETY: no more values are written than were read.
            unsafe { *to.add(n) = f32::from_bits(if SWAPPED { bits.swap_bytes() } else { bits }) };
            mask &= mask - 1;
            n += 1;
        }
    }
    let mut counts = [0; 3];
    for (count, sum) in counts.iter_mut().zip(sums) {
        let mut lanes = [0u32; 8];
        // SAFETY: eight lanes are one vector.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        *count = lanes.iter().sum();
    }
    (counts, n)
}
