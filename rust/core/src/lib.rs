//! Image kernels for survey mosaics.
//!
//! No Python here: the crate is usable from Rust alone. Images are row-major, `(ny, nx)`, and may be strided
//! views ([`View2`]), so that a window of a larger image costs no copy. Results never depend on the number of threads.

mod border;
mod error;
mod leveled;
mod pixel;
mod rows;
mod stored;
mod threads;
mod view;

pub mod background;
pub mod detection;
pub mod files;
pub mod labels;
pub mod measure;
pub mod median;
pub mod noise;
pub mod normalize;
pub mod order;
pub mod rolling;
pub mod seeds;
pub mod simd;
pub mod tiling;
pub mod watershed;

pub use border::Border;
pub use error::{Error, Result};
pub use pixel::{Pixel, Real};
pub use stored::{BigEndian, Stored};
pub use threads::{set_threads, with_threads};
pub use view::{View2, ViewMut2};
