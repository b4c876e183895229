//! 512 bits.

/// 16 numbers of 32 bits.
pub(super) mod int32 {
    use std::arch::x86_64::*;
    use std::arch::x86_64::{_mm512_max_epi32 as max, _mm512_min_epi32 as min};

    use crate::Coding;
    use crate::block::Vector;

    type V = __m512i;

    impl Vector<4> for V {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn gather(pieces: impl Fn(usize) -> *const u8) -> Self {
            // SAFETY: the caller's.
            unsafe {
                let piece = |i| _mm_loadu_si128(pieces(i).cast());
                let v = _mm512_castsi128_si512(piece(0));
                let v = _mm512_inserti32x4::<1>(v, piece(1));
                let v = _mm512_inserti32x4::<2>(v, piece(2));
                _mm512_inserti32x4::<3>(v, piece(3))
            }
        }
        #[inline(always)]
        unsafe fn scatter(self, pieces: impl Fn(usize) -> *mut u8) {
            // SAFETY: the caller's.
            unsafe {
                _mm_storeu_si128(pieces(0).cast(), _mm512_castsi512_si128(self));
                _mm_storeu_si128(pieces(1).cast(), _mm512_extracti32x4_epi32::<1>(self));
                _mm_storeu_si128(pieces(2).cast(), _mm512_extracti32x4_epi32::<2>(self));
                _mm_storeu_si128(pieces(3).cast(), _mm512_extracti32x4_epi32::<3>(self));
            }
        }
        #[inline(always)]
        unsafe fn low(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_unpacklo_epi32(self, other) }
        }
        #[inline(always)]
        unsafe fn high(self, other: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_unpackhi_epi32(self, other) }
        }
        #[inline(always)]
        unsafe fn recode(self, coding: Coding) -> Self {
            // SAFETY: the caller's.
            unsafe {
                match coding {
                    Coding::Same => self,
                    Coding::Flip => _mm512_xor_si512(self, _mm512_set1_epi32(i32::MIN)),
                    Coding::Float => _mm512_xor_si512(self, _mm512_srli_epi32::<1>(_mm512_srai_epi32::<31>(self))),
                }
            }
        }
        #[inline(always)]
        unsafe fn magnitude(self, most: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { max(most, _mm512_and_si512(self, _mm512_set1_epi32(i32::MAX))) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's.
            unsafe { _mm512_setzero_si512() }
        }
        #[inline(always)]
        unsafe fn nan(self) -> u64 {
            // SAFETY: the caller's.
            unsafe { u64::from(_mm512_cmpgt_epi32_mask(self, _mm512_set1_epi32(f32::INFINITY.to_bits() as i32))) }
        }
    }

    crate::vectors::networks!("avx512.rs", V, 4, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]);
}
