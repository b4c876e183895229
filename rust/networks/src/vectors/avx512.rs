//! 512 bits.

/// A kind of 512-bit vector: numbers in a 128-bit piece, how they are interleaved and compared, and the recoding of `v`.
macro_rules! vector {
    ($(#[$doc:meta])* $name:ident, $n:literal, $low:ident, $high:ident, $max:ident, $file:literal,
     $v:ident => flip $flip:expr, float $float:expr, magnitude $magnitude:expr, nan $nan:expr) => {
        $(#[$doc])*
        pub(super) mod $name {
            #[allow(clippy::wildcard_imports)]
            use std::arch::x86_64::*;
            use std::arch::x86_64::$max as max;

            use crate::Coding;
            use crate::block::Vector;

            type V = __m512i;

            // SAFETY of all methods: they are called only where there is AVX-512, with addresses of 16 bytes.
            impl Vector<$n> for V {
                const LANES: usize = 4 * $n;
                #[inline(always)]
                unsafe fn gather(pieces: impl Fn(usize) -> *const u8) -> Self {
                    // SAFETY: above.
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
                    // SAFETY: above.
                    unsafe {
                        _mm_storeu_si128(pieces(0).cast(), _mm512_castsi512_si128(self));
                        _mm_storeu_si128(pieces(1).cast(), _mm512_extracti32x4_epi32::<1>(self));
                        _mm_storeu_si128(pieces(2).cast(), _mm512_extracti32x4_epi32::<2>(self));
                        _mm_storeu_si128(pieces(3).cast(), _mm512_extracti32x4_epi32::<3>(self));
                    }
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
                unsafe fn minus_zero(self) -> bool {
                    // SAFETY: above.
                    unsafe { _mm512_cmpeq_epi32_mask(self, _mm512_set1_epi32(i32::MIN)) != 0 }
                }
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: above.
                    unsafe { _mm512_setzero_si512() }
                }
                #[inline(always)]
                #[allow(unused_unsafe)]
                unsafe fn nan(self) -> u64 {
                    let $v = self;
                    // SAFETY: above.
                    unsafe { $nan }
                }
            }

            crate::vectors::networks!(
                $file, V, $n, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            );
        }
    };
}

// Networks of integers narrower than 32 bits know no floats.
vector!(
    /// 64 numbers of 8 bits.
    int8, 16, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8, _mm512_max_epu8, "avx512_u8.rs",
    v => flip _mm512_xor_si512(v, _mm512_set1_epi8(i8::MIN)), float v, magnitude v, nan { let _ = v; 0 }
);
vector!(
    /// 32 numbers of 16 bits.
    int16, 8, _mm512_unpacklo_epi16, _mm512_unpackhi_epi16, _mm512_max_epi16, "avx512_i16.rs",
    v => flip _mm512_xor_si512(v, _mm512_set1_epi16(i16::MIN)), float v, magnitude v, nan { let _ = v; 0 }
);
vector!(
    /// 16 numbers of 32 bits.
    int32, 4, _mm512_unpacklo_epi32, _mm512_unpackhi_epi32, _mm512_max_epi32, "avx512_i32.rs",
    v => flip _mm512_xor_si512(v, _mm512_set1_epi32(i32::MIN)),
    float _mm512_xor_si512(v, _mm512_srli_epi32::<1>(_mm512_srai_epi32::<31>(v))),
    magnitude _mm512_and_si512(v, _mm512_set1_epi32(i32::MAX)),
    nan u64::from(_mm512_cmpgt_epi32_mask(v, _mm512_set1_epi32(f32::INFINITY.to_bits() as i32)))
);
vector!(
    /// 8 numbers of 64 bits.
    int64, 2, _mm512_unpacklo_epi64, _mm512_unpackhi_epi64, _mm512_max_epi64, "avx512_i64.rs",
    v => flip _mm512_xor_si512(v, _mm512_set1_epi64(i64::MIN)),
    float _mm512_xor_si512(v, _mm512_srli_epi64::<1>(_mm512_srai_epi64::<63>(v))),
    magnitude _mm512_and_si512(v, _mm512_set1_epi64(i64::MAX)),
    nan u64::from(_mm512_cmpgt_epi64_mask(v, _mm512_set1_epi64(f64::INFINITY.to_bits() as i64)))
);

/// 16 floats of 32 bits, compared as such.
pub(super) mod float32 {
    type V = std::arch::x86_64::__m512i;
    crate::vectors::networks!("avx512_f32.rs", V, 4, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]);
}
