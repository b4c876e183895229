//! Medians of small windows by selection networks.
//!
//! The networks are generated (`generator/`) as calls of functions in assembly, once for each kind of vector. Each lane of a
//! vector works on its own strip of the image, so that a network costs the same for 4 pixels as for 64.

mod block;
mod layout;
#[cfg(test)]
mod tests;
mod vectors;

/// 64 bytes of aligned memory.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

/// How pixels become numbers that order as signed integers (unsigned ones of 8 bits); and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// They are.
    Same,
    /// The sign bit is flipped.
    Flip,
    /// Floats: all other bits are flipped where the sign is set.
    Float,
    /// Floats of 32 bits that are compared as floats, without -0, which would be equal to 0.
    Plain,
}

/// A block: a strip of outputs for each lane.
pub struct Job<'a> {
    /// For each row of pixels from the first window's first to the last one's last, for each lane, the pixels from the first
    /// window's first on.
    pub sources: &'a [*const u8],
    /// For each row of outputs, for each lane, where they go; null for nowhere.
    pub targets: &'a [*mut u8],
    /// For each lane, the outputs of a row that are wanted.
    pub widths: &'a [usize],
    /// Outputs of a row: a multiple of [`Kernel::unit`], at most [`Kernel::WIDEST`].
    pub strip: usize,
    /// Rows of outputs: a multiple of [`Kernel::tile_height`].
    pub rows: usize,
    /// What the pixels are.
    pub coding: Coding,
}

/// A network for one kind of vector.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Pixels of a vector.
    pub lanes: usize,
    /// What a strip is a multiple of.
    pub unit: usize,
    /// Pixels of 16 bytes.
    pub piece: usize,
    /// Rows of outputs that are made at a time.
    pub tile_height: usize,
    index: usize,
    run: Run,
    /// The same network of float minima.
    floats: Option<Run>,
}

/// Runs the network of an index; returns lanes as [`Kernel::run`], or nothing where a pixel was -0 in [`Coding::Plain`].
type Run = unsafe fn(usize, &Job<'_>, &mut Vec<Line>) -> Option<u64>;

impl Kernel {
    /// The widest strip.
    pub const WIDEST: usize = layout::OUT;

    /// Pixels that are read of each source: the strip's windows, and then on to a multiple of 16 bytes.
    pub fn reach(&self, size: usize, strip: usize) -> usize {
        (strip + size - 1).next_multiple_of(self.piece)
    }

    /// Fills the targets, with `memory` to work in; returns the lanes that saw a NaN, as bits. Their medians are not valid.
    ///
    /// # Safety
    /// The processor has the instructions that this kernel was asked for; each source has [`Kernel::reach`] readable pixels,
    /// of the width and kind that it was asked for, and each target that is not null has room for its lane's width.
    pub unsafe fn run(&self, job: &Job<'_>, memory: &mut Vec<Line>) -> u64 {
        // SAFETY: the caller's.
        unsafe {
            if let (Some(floats), Coding::Float) = (self.floats, job.coding)
                && let Some(nan) = floats(self.index, &Job { coding: Coding::Plain, ..*job }, memory)
            {
                return nan;
            }
            (self.run)(self.index, job, memory).expect("only plain floats stop")
        }
    }
}

/// The kinds of vectors there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// Portable.
    Scalar,
    /// AVX2.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
    /// The same; floats of 32 bits are compared as floats, see [`floats_are_faster`].
    Avx512Floats,
}

/// Whether 512-bit minima of floats have a higher rate than those of integers: twice on Intel's processors, half on AMD's.
#[cfg(target_arch = "x86_64")]
pub fn floats_are_faster() -> bool {
    static INTEL: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let vendor = std::arch::x86_64::__cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
    });
    *INTEL
}
/// Whether 512-bit minima of floats have a higher rate than those of integers.
#[cfg(not(target_arch = "x86_64"))]
pub fn floats_are_faster() -> bool {
    false
}

/// The network for windows of `size` by `size` pixels of `bits`, if there is one.
pub fn kernel(instructions: Instructions, bits: u32, size: usize) -> Option<Kernel> {
    vectors::kernel(instructions, bits, size)
}
