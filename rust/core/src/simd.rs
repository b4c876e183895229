//! Which vector instructions the kernels use, decided once at run time.
//!
//! `STARNET_SIMD=scalar|avx2|avx512` asks for less than the processor has, to test or to compare. All levels give the
//! same bits. `Scalar` is portable code in plain arrays, which the compiler turns into the baseline of its target (SSE2,
//! NEON).

use std::sync::OnceLock;

use crate::{Error, Result};

/// A set of instructions; a later one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of the target has.
    Scalar,
    /// AVX2 with BMI1, BMI2, FMA, LZCNT and POPCNT (x86-64-v3).
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL too (x86-64-v4).
    Avx512,
}

impl Level {
    /// All of them, ascending.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The name in `STARNET_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it. A `#[target_feature]` function of a level may be called only where this holds.
    pub fn available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => avx2(),
            Self::Avx512 => avx2() && avx512(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("popcnt")
}
#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl")
}
#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> bool {
    false
}
#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> bool {
    false
}

/// The level that `name` asks for; without one, the best that this processor has.
fn choose(name: Option<&str>) -> Result<Level> {
    let available = || Level::ALL.into_iter().filter(|level| level.available());
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(available().max().unwrap_or(Level::Scalar));
    };
    let found = available().find(|level| level.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = available().map(Level::name).collect();
        let known =
            if Level::ALL.iter().any(|level| level.name() == name) { "this processor has not" } else { "unknown" };
        Error::Value(format!("STARNET_SIMD={name}: {known}; use {}, or unset it", names.join(", ")))
    })
}

fn chosen() -> &'static Result<Level> {
    static CHOSEN: OnceLock<Result<Level>> = OnceLock::new();
    CHOSEN.get_or_init(|| choose(std::env::var_os("STARNET_SIMD").map(|v| v.to_string_lossy().into_owned()).as_deref()))
}

/// Says what is wrong with `STARNET_SIMD`; to be called before anything else.
pub fn check() -> Result<Level> {
    chosen().clone()
}

/// The level in use: available on this processor. A wrong `STARNET_SIMD`, which [`check`] reports, is the portable one.
pub fn level() -> Level {
    *chosen().as_ref().unwrap_or(&Level::Scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_available_unless_asked() {
        assert!(choose(None).unwrap().available());
        assert_eq!(choose(Some("")), choose(None));
        assert_eq!(choose(Some("scalar")), Ok(Level::Scalar));
        assert!(choose(Some("mmx")).unwrap_err().to_string().starts_with("STARNET_SIMD=mmx: unknown; use scalar"));
        for level in Level::ALL {
            assert_eq!(choose(Some(level.name())).is_ok(), level.available());
        }
        assert!(level().available());
    }
}
