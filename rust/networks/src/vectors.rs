//! The kinds of vectors.

use crate::{Instructions, Kernel};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Wraps the generated networks of a kind of vector.
macro_rules! networks {
    ($file:literal, $vector:ty, $n:literal, $(#[$attribute:meta])*) => {
        #[allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
        mod generated {
            use super::V;
            use crate::block::Network;
            use crate::layout::OUT;
            include!(concat!(env!("OUT_DIR"), "/", $file));
        }
        $(#[$attribute])*
        unsafe fn run(index: usize, job: &crate::Job<'_>, memory: &mut Vec<crate::Line>) -> Option<u64> {
            // SAFETY: the caller's.
            unsafe { crate::block::run::<V, $n>(job, &generated::NETWORKS[index], memory) }
        }
        pub(crate) fn kernel(size: usize) -> Option<crate::Kernel> {
            let index = generated::NETWORKS.iter().position(|network| network.size == size)?;
            let (tile_height, tile_width) = generated::NETWORKS[index].tile;
            let lanes = <V as crate::block::Vector<$n>>::LANES;
            Some(crate::Kernel { lanes, unit: tile_width.max($n), piece: $n, tile_height, index, run, floats: None })
        }
    };
}
pub(crate) use networks;

pub(crate) fn kernel(instructions: Instructions, bits: u32, size: usize) -> Option<Kernel> {
    match (instructions, bits) {
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, 8) => avx2::int8::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, 16) => avx2::int16::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, 32) => avx2::int32::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, 64) => avx2::int64::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512 | Instructions::Avx512Floats, 8) => avx512::int8::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512 | Instructions::Avx512Floats, 16) => avx512::int16::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, 32) => avx512::int32::kernel(size),
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512Floats, 32) => {
            let floats = avx512::float32::kernel(size).map(|kernel| kernel.run);
            avx512::int32::kernel(size).map(|kernel| Kernel { floats, ..kernel })
        }
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512 | Instructions::Avx512Floats, 64) => avx512::int64::kernel(size),
        _ => None,
    }
}
