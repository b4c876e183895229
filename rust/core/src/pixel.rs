//! The pixel types of the order-based kernels, and their order.

/// A number a pixel may be. Floats are ordered `-inf < ... < -0.0 < 0.0 < ... < inf`; NaN stands outside the order.
pub trait Pixel: Copy + Default + PartialOrd + Send + Sync + 'static {
    /// Key and position in one sortable integer.
    type Ranked: Ord + Copy + Send + Sync;
    /// Width of a key.
    const BITS: u32;
    /// NaN, for the types that have one.
    const NAN: Option<Self>;

    /// Order-preserving key, in the low `BITS`; of a NaN, meaningless.
    fn key(self) -> u64;
    /// The number of a key.
    fn from_key(key: u64) -> Self;
    /// Sorts by key, then by position.
    fn ranked(self, position: u32) -> Self::Ranked;
    /// The position in a [`Pixel::Ranked`].
    fn position(ranked: Self::Ranked) -> u32;

    /// Not a number.
    #[inline]
    fn is_nan(self) -> bool {
        false
    }
    /// Neither NaN nor infinite.
    #[inline]
    fn is_finite(self) -> bool {
        true
    }
}

/// A pixel between which values can be interpolated.
pub trait Real: Pixel {
    /// As float64, exactly.
    fn to_f64(self) -> f64;
    /// From float64, rounded to nearest.
    fn from_f64(v: f64) -> Self;
}

macro_rules! ranked {
    ($ranked:ty, $unsigned:ty) => {
        type Ranked = $ranked;
        const BITS: u32 = <$unsigned>::BITS;
        #[inline]
        fn ranked(self, position: u32) -> $ranked {
            (self.key() as $ranked) << 32 | position as $ranked
        }
        #[inline]
        fn position(ranked: $ranked) -> u32 {
            ranked as u32
        }
    };
}

macro_rules! unsigned {
    ($t:ty, $ranked:ty) => {
        impl Pixel for $t {
            ranked!($ranked, $t);
            const NAN: Option<Self> = None;
            #[inline]
            fn key(self) -> u64 {
                self as u64
            }
            #[inline]
            fn from_key(key: u64) -> Self {
                key as $t
            }
        }
    };
}

macro_rules! signed {
    ($t:ty, $u:ty, $ranked:ty) => {
        impl Pixel for $t {
            ranked!($ranked, $u);
            const NAN: Option<Self> = None;
            #[inline]
            fn key(self) -> u64 {
                ((self as $u) ^ (1 << (<$u>::BITS - 1))) as u64
            }
            #[inline]
            fn from_key(key: u64) -> Self {
                ((key as $u) ^ (1 << (<$u>::BITS - 1))) as $t
            }
        }
    };
}

macro_rules! float {
    ($t:ty, $u:ty, $i:ty, $ranked:ty) => {
        impl Pixel for $t {
            ranked!($ranked, $u);
            const NAN: Option<Self> = Some(<$t>::NAN);
            // Negative numbers sort backwards by their bits: flip them all; of the others, flip the sign alone.
            #[inline]
            fn key(self) -> u64 {
                let bits = self.to_bits();
                let negative = (bits as $i >> (<$u>::BITS - 1)) as $u;
                (bits ^ (negative | 1 << (<$u>::BITS - 1))) as u64
            }
            #[inline]
            fn from_key(key: u64) -> Self {
                let key = key as $u;
                let positive = (key as $i >> (<$u>::BITS - 1)) as $u;
                Self::from_bits(key ^ (!positive | 1 << (<$u>::BITS - 1)))
            }
            #[inline]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
            #[inline]
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
        }
        impl Real for $t {
            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline]
            fn from_f64(v: f64) -> Self {
                v as $t
            }
        }
    };
}

unsigned!(u8, u64);
unsigned!(u16, u64);
unsigned!(u32, u64);
unsigned!(u64, u128);
signed!(i8, u8, u64);
signed!(i16, u16, u64);
signed!(i32, u32, u64);
signed!(i64, u64, u128);
float!(f32, u32, i32, u64);
float!(f64, u64, i64, u128);

#[cfg(test)]
mod tests {
    use super::*;

    fn ascending<T: Pixel + std::fmt::Debug>(values: &[T]) {
        for pair in values.windows(2) {
            assert!(pair[0].key() < pair[1].key(), "{pair:?}");
        }
        for &v in values {
            assert_eq!(T::from_key(v.key()), v);
            assert!(v.key() >> (T::BITS - 1) <= 1, "{v:?} has a key wider than its type");
        }
    }

    #[test]
    fn keys_keep_the_order() {
        ascending(&[f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY]);
        ascending(&[f64::NEG_INFINITY, f64::MIN, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY]);
        ascending(&[i8::MIN, -1, 0, 1, i8::MAX]);
        ascending(&[i64::MIN, -1, 0, 1, i64::MAX]);
        ascending(&[0u16, 1, u16::MAX]);
        ascending(&[0u64, 1, u64::MAX]);
    }
}
