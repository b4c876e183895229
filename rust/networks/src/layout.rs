//! Where the rows of a block lie in memory: known to the generator too.

/// Vectors from one row of pixels to the next: odd, so that the pixels of a column do not share a set of the cache.
pub const PITCH: usize = 97;
/// Vectors from one row of outputs to the next; the widest strip.
pub const OUT: usize = 64;
