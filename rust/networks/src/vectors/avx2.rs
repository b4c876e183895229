//! 256 bits.

use std::arch::x86_64::*;

/// A kind of 256-bit vector: numbers in a 128-bit piece, how they are interleaved and compared, and the recoding of `v`.
macro_rules! vector {
    ($(#[$doc:meta])* $name:ident, $n:literal, $low:ident, $high:ident, $max:path, $file:literal,
     $v:ident => flip $flip:expr, float $float:expr, magnitude $magnitude:expr, nan $nan:expr) => {
        $(#[$doc])*
        pub(super) mod $name {
            #[allow(clippy::wildcard_imports)]
            use std::arch::x86_64::*;
            use {$max as max};

            use crate::Coding;
            use crate::block::Vector;

            type V = __m256i;

            // SAFETY of all methods: they are called only where there is AVX2, with addresses of 16 bytes.
            impl Vector<$n> for V {
                const LANES: usize = 2 * $n;
                #[inline(always)]
                unsafe fn gather(pieces: impl Fn(usize) -> *const u8) -> Self {
                    // SAFETY: above.
                    unsafe { _mm256_loadu2_m128i(pieces(1).cast(), pieces(0).cast()) }
                }
                #[inline(always)]
                unsafe fn scatter(self, pieces: impl Fn(usize) -> *mut u8) {
                    // SAFETY: above.
                    unsafe { _mm256_storeu2_m128i(pieces(1).cast(), pieces(0).cast(), self) }
                }
                #[inline(always)]
                unsafe fn low(self, other: Self) -> Self {
                    // SAFETY: above.
                    unsafe { $low(self, other) }
                }
                #[inline(always)]
                unsafe fn high(self, other: Self) -> Self {
                    // SAFETY: above.
                    unsafe { $high(self, other) }
                }
                #[inline(always)]
                unsafe fn recode(self, coding: Coding) -> Self {
                    let $v = self;
                    // SAFETY: above.
                    unsafe {
                        match coding {
                            Coding::Same | Coding::Plain => self,
                            Coding::Flip => $flip,
                            Coding::Float => $float,
                        }
                    }
                }
                #[inline(always)]
                unsafe fn magnitude(self, most: Self) -> Self {
                    let $v = self;
                    // SAFETY: above.
                    unsafe { max(most, $magnitude) }
                }
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: above.
                    unsafe { _mm256_setzero_si256() }
                }
                #[inline(always)]
                #[allow(unused_unsafe)]
                unsafe fn nan(self) -> u64 {
                    let $v = self;
                    // SAFETY: above.
                    unsafe { $nan }
                }
            }

            crate::vectors::networks!($file, V, $n, #[target_feature(enable = "avx2")]);
        }
    };
}

// Networks of integers narrower than 32 bits know no floats.
vector!(
    /// 32 numbers of 8 bits.
    int8, 16, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8, std::arch::x86_64::_mm256_max_epu8, "avx2_u8.rs",
    v => flip _mm256_xor_si256(v, _mm256_set1_epi8(i8::MIN)), float v, magnitude v, nan { let _ = v; 0 }
);
vector!(
    /// 16 numbers of 16 bits.
    int16, 8, _mm256_unpacklo_epi16, _mm256_unpackhi_epi16, std::arch::x86_64::_mm256_max_epi16, "avx2_i16.rs",
    v => flip _mm256_xor_si256(v, _mm256_set1_epi16(i16::MIN)), float v, magnitude v, nan { let _ = v; 0 }
);
vector!(
    /// 8 numbers of 32 bits.
    int32, 4, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32, std::arch::x86_64::_mm256_max_epi32, "avx2_i32.rs",
    v => flip _mm256_xor_si256(v, _mm256_set1_epi32(i32::MIN)),
    float _mm256_xor_si256(v, _mm256_srli_epi32::<1>(_mm256_srai_epi32::<31>(v))),
    magnitude _mm256_and_si256(v, _mm256_set1_epi32(i32::MAX)),
    nan {
        let above = _mm256_cmpgt_epi32(v, _mm256_set1_epi32(f32::INFINITY.to_bits() as i32));
        u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(above)) as u8)
    }
);
vector!(
    /// 4 numbers of 64 bits.
    int64, 2, _mm256_unpacklo_epi64, _mm256_unpackhi_epi64, super::max64, "avx2_i64.rs",
    v => flip _mm256_xor_si256(v, _mm256_set1_epi64x(i64::MIN)),
    float _mm256_xor_si256(v, _mm256_srli_epi64::<1>(_mm256_cmpgt_epi64(_mm256_setzero_si256(), v))),
    magnitude _mm256_and_si256(v, _mm256_set1_epi64x(i64::MAX)),
    nan {
        let above = _mm256_cmpgt_epi64(v, _mm256_set1_epi64x(f64::INFINITY.to_bits() as i64));
        u64::from(_mm256_movemask_pd(_mm256_castsi256_pd(above)) as u8)
    }
);

#[inline]
#[target_feature(enable = "avx2")]
fn max64(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b))
}
