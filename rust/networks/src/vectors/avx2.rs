//! 256 bits.

/// 8 numbers of 32 bits.
pub(super) mod int32 {
    use std::arch::x86_64::*;
    use std::arch::x86_64::{_mm256_max_epi32 as max, _mm256_min_epi32 as min};

    use crate::Coding;
    use crate::block::Vector;

    type V = __m256i;

    impl Vector<4> for V {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn gather(pieces: impl Fn(usize) -> *const u8) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm256_loadu2_m128i(pieces(1).cast(), pieces(0).cast()) }
        }
        #[inline(always)]
        unsafe fn scatter(self, pieces: impl Fn(usize) -> *mut u8) {
            // SAFETY: the caller's.
            unsafe { _mm256_storeu2_m128i(pieces(1).cast(), pieces(0).cast(), self) }
        }
        #[inline(always)]
        unsafe fn low(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm256_unpacklo_epi32(self, other) }
        }
        #[inline(always)]
        unsafe fn high(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm256_unpackhi_epi32(self, other) }
        }
        #[inline(always)]
        unsafe fn recode(self, coding: Coding) -> Self {
            // SAFETY: the caller's.
            unsafe {
                match coding {
                    Coding::Same => self,
                    Coding::Flip => _mm256_xor_si256(self, _mm256_set1_epi32(i32::MIN)),
                    Coding::Float => _mm256_xor_si256(self, _mm256_srli_epi32::<1>(_mm256_srai_epi32::<31>(self))),
                }
            }
        }
        #[inline(always)]
        unsafe fn magnitude(self, most: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { max(most, _mm256_and_si256(self, _mm256_set1_epi32(i32::MAX))) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's.
            unsafe { _mm256_setzero_si256() }
        }
        #[inline(always)]
        unsafe fn nan(self) -> u64 {
            // SAFETY: the caller's.
            unsafe {
                let above = _mm256_cmpgt_epi32(self, _mm256_set1_epi32(f32::INFINITY.to_bits() as i32));
                u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(above)) as u8)
            }
        }
    }

    crate::vectors::networks!("avx2.rs", V, 4, #[target_feature(enable = "avx2")]);
}
