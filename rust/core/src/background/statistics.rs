//! Sigma-clipped level and rms of each box.

mod pixels;

use crate::simd::{Level, level};
use crate::threads::map;
use crate::{Error, Result, Stored, View2};
use pixels::Pixels;

/// How outliers are removed from a box: `astropy.stats.SigmaClip` about the median, in units of the standard deviation.
#[derive(Debug, Clone, Copy)]
pub struct SigmaClip {
    /// Pixels farther than this from the median, in standard deviations, are clipped.
    pub sigma: f64,
    /// How often at most.
    pub iterations: usize,
}

/// `photutils.Background2D`'s own.
impl Default for SigmaClip {
    fn default() -> Self {
        Self { sigma: 3.0, iterations: 10 }
    }
}

/// Statistics of the boxes of an image, row-major, `(ny, nx)` boxes.
#[derive(Debug, Clone)]
pub struct MeshStatistics {
    /// Boxes along y and x.
    pub shape: (usize, usize),
    /// Sky level: SExtractor's mode; NaN where a box has no good pixel.
    pub level: Vec<f64>,
    /// Standard deviation of the pixels that survive the clipping; NaN where there are none.
    pub rms: Vec<f64>,
    /// Number of pixels that survive.
    pub ngood: Vec<u32>,
}

/// Level, rms and number of good pixels of the boxes of `box_shape` pixels; the last ones of a row or column may be partial.
///
/// Good pixels are finite and not in `mask` (true: left out). The level is `2.5 median - 1.5 mean` of the pixels that
/// survive the clipping, or the median where `|mean - median| >= 0.3 std`, or the mean where `std == 0`.
///
/// Parity: `photutils.Background2D` 3.0 on the same pixels in float64, to rounding (on float32 input photutils itself
/// rounds its means to float32). As in astropy's compiled `SigmaClip`, the bounds of the last iteration are applied to all
/// good pixels of the box, those clipped earlier included; photutils' single corner box, which goes another way through
/// astropy, can differ where such a pixel comes back.
///
/// Method: the pixels of a box are counted once in 256 bins of value; each iteration adds them up in vector instructions,
/// and looks for its median only in the bin that holds it. Exact whatever the values: bins that fit badly cost time, not
/// accuracy.
pub fn mesh_statistics<S: Stored<f32>>(
    image: View2<'_, S>,
    mask: Option<View2<'_, bool>>,
    box_shape: (usize, usize),
    clip: SigmaClip,
    threads: Option<usize>,
) -> Result<MeshStatistics> {
    at_level(level(), image, mask, box_shape, clip, threads)
}

/// The same at a level that is available.
fn at_level<S: Stored<f32>>(
    level: Level,
    image: View2<'_, S>,
    mask: Option<View2<'_, bool>>,
    box_shape: (usize, usize),
    clip: SigmaClip,
    threads: Option<usize>,
) -> Result<MeshStatistics> {
    let (ny, nx) = image.shape();
    if let Some(m) = mask.filter(|m| m.shape() != (ny, nx)) {
        let got = m.shape();
        return Err(Error::Shape { name: "mask", got: vec![got.0, got.1], expected: vec![ny, nx] });
    }
    let (by, bx) = box_shape;
    if by == 0 || bx == 0 || by.saturating_mul(bx) > u32::MAX as usize {
        return Err(Error::Value(format!(
            "box_size ({by}, {bx}): both sides must be positive, and the box below 2^32 pixels"
        )));
    }
    if clip.sigma.is_nan() || clip.sigma <= 0.0 {
        return Err(Error::Value(format!("sigma {}: must be positive", clip.sigma)));
    }
    let shape = (ny.div_ceil(by), nx.div_ceil(bx));
    let boxes = map(
        threads,
        shape.0 * shape.1,
        || Pixels::new(level),
        |pixels, i| {
            let (y0, x0) = (i / shape.1 * by, i % shape.1 * bx);
            pixels.gather(image, mask, y0..ny.min(y0 + by), x0..nx.min(x0 + bx));
            pixels.statistics(clip)
        },
    );
    Ok(MeshStatistics {
        shape,
        level: boxes.iter().map(|b| b.0).collect(),
        rms: boxes.iter().map(|b| b.1).collect(),
        ngood: boxes.iter().map(|b| b.2).collect(),
    })
}

#[cfg(test)]
mod tests;
