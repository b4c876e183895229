//! Windows cut from an image, and windows blended into one.

use std::borrow::Cow;
use std::ops::Range;

use crate::leveled::leveled;
use crate::rows::{fill_all, fill_rows};
use crate::simd::level;
use crate::stored::row_of;
use crate::{Border, Error, Result, View2, ViewMut2};

/// Copies the windows that begin at `origins` `(y, x)` into `tiles`; they may stick out of the image, which goes on there
/// as `border` says, or with `fill`.
///
/// Parity: the same windows of `numpy.pad(a, ...)`.
pub fn extract_tiles<T: Copy + Send + Sync>(
    a: View2<'_, T>,
    origins: &[(isize, isize)],
    border: Border,
    fill: T,
    tiles: Vec<ViewMut2<'_, T>>,
    threads: Option<usize>,
) -> Result<()> {
    let (ny, nx) = a.shape();
    check_origins(tiles.len(), origins)?;
    if (ny == 0 || nx == 0) && border != Border::Constant {
        return Err(Error::Value(format!(
            "an image of shape {:?} has no pixels to go on with at its border",
            a.shape()
        )));
    }
    let columns: Vec<_> =
        origins.iter().zip(&tiles).map(|(o, tile)| Columns::new(o.1, tile.shape().1, border, nx)).collect();
    fill_all(tiles, threads, Vec::new, |scratch, i, dy, out| {
        let Columns { used, runs } = &columns[i];
        let Some(y) = border.source(origins[i].0 + dy as isize, ny) else {
            out.fill(fill);
            return;
        };
        let row = row_of(a, y, used.clone(), scratch);
        let mut rest = out;
        for &(n, x, step) in runs {
            let (out, after) = rest.split_at_mut(n);
            match (x, step) {
                (None, _) => out.fill(fill),
                (Some(x), 1) => {
                    let pieces = out.chunks_mut(PIECE).zip(row[x..x + n].chunks(PIECE));
                    pieces.for_each(|(out, row)| out.copy_from_slice(row));
                }
                (Some(x), -1) => out.iter_mut().zip(row[..=x].iter().rev()).for_each(|(o, &v)| *o = v),
                (Some(x), _) => out.fill(row[x]),
            }
            rest = after;
        }
    });
    Ok(())
}

/// Pixels that are copied at once. C libraries copy more than 2 KB or so by `rep movsb`, which takes about twice as long
/// where the two sides are aligned differently.
const PIECE: usize = 256;

/// Where the columns of a tile come from.
struct Columns {
    /// The columns of the image that it needs.
    used: Range<usize>,
    /// How many columns of the tile, the first one's place in `used` (none: the fill), and how it goes on: 1 forwards,
    /// -1 backwards, 0 not at all.
    runs: Vec<(usize, Option<usize>, isize)>,
}

impl Columns {
    fn new(x0: isize, width: usize, border: Border, nx: usize) -> Self {
        let sources: Vec<_> = (0..width as isize).map(|dx| border.source(x0 + dx, nx)).collect();
        let used = match (sources.iter().flatten().min(), sources.iter().flatten().max()) {
            (Some(&first), Some(&last)) => first..last + 1,
            _ => 0..0,
        };
        let step = |i: usize| match (sources[i], sources.get(i + 1)?) {
            (Some(x), Some(next)) => Some(*next as isize - x as isize).filter(|step| step.abs() <= 1),
            (None, None) => Some(0),
            _ => None,
        };
        let (mut runs, mut i) = (vec![], 0);
        while i < width {
            let n = 1 + (i..).take_while(|&j| step(j).is_some() && step(j) == step(i)).count();
            runs.push((n, sources[i].map(|x| x - used.start), step(i).unwrap_or(0)));
            i += n;
        }
        Self { used, runs }
    }
}

/// Blends tiles that begin at `origins`, and may stick out, into `out`: `sum(w t) / sum(w)` in float32, summed in the
/// order of the tiles; NaN where the weights add up to 0. `weights` is the same for all tiles; 1 if there is none.
///
/// Parity: the same sums in NumPy, bit for bit.
pub fn stitch(
    tiles: &[View2<'_, f32>],
    origins: &[(isize, isize)],
    weights: Option<View2<'_, f32>>,
    out: ViewMut2<'_, f32>,
    threads: Option<usize>,
) -> Result<()> {
    check_origins(tiles.len(), origins)?;
    for tile in tiles {
        if let Some(w) = weights.filter(|w| w.shape() != tile.shape()) {
            let (got, expected) = (w.shape(), tile.shape());
            return Err(Error::Shape {
                name: "weights",
                got: vec![got.0, got.1],
                expected: vec![expected.0, expected.1],
            });
        }
    }
    let nx = out.shape().1;
    let level = level();
    let ones = vec![1.0; tiles.iter().map(|tile| tile.shape().1).max().unwrap_or(0)];
    fill_rows(
        out,
        threads,
        || (vec![], vec![]),
        |(cuts, here), y, out| {
            let mut layers = vec![];
            cuts.clear();
            cuts.extend([0, nx]);
            for (tile, &(y0, x0)) in tiles.iter().zip(origins) {
                let (dy, inside) = (y as isize - y0, overlap(x0, tile.shape().1, nx));
                if !(0..tile.shape().0 as isize).contains(&dy) || inside.is_empty() {
                    continue;
                }
                let start = x0.max(0) as usize;
                let stop = start + inside.len();
                let weights = match weights {
                    Some(weights) => columns(weights, dy as usize, inside.clone()),
                    None => Cow::Borrowed(&ones[inside.clone()]),
                };
                layers.push(Layer { columns: start..stop, pixels: columns(*tile, dy as usize, inside), weights });
                cuts.extend([start, stop]);
            }
            cuts.sort_unstable();
            // Between two cuts, the same tiles lie under all pixels.
            for (start, stop) in cuts.windows(2).map(|cut| (cut[0], cut[1])).filter(|(start, stop)| start < stop) {
                here.clear();
                here.extend((0..layers.len()).filter(|&i| layers[i].columns.contains(&start)));
                blend(level, &layers, here, start, &mut out[start..stop]);
            }
        },
    );
    Ok(())
}

/// The columns of a tile, of `width` pixels from `x0` on, that lie inside an image of `nx`.
fn overlap(x0: isize, width: usize, nx: usize) -> Range<usize> {
    let start = x0.saturating_neg().clamp(0, width as isize);
    let stop = (nx as isize).saturating_sub(x0).clamp(start, width as isize);
    start as usize..stop as usize
}

/// Columns of a row; copied where its pixels lie apart.
fn columns(view: View2<'_, f32>, y: usize, columns: Range<usize>) -> Cow<'_, [f32]> {
    match view.row(y) {
        Some(row) => Cow::Borrowed(&row[columns]),
        None => columns.map(|x| view.get(y, x)).collect(),
    }
}

/// What one tile has in a row of the image.
struct Layer<'a> {
    columns: Range<usize>,
    pixels: Cow<'a, [f32]>,
    weights: Cow<'a, [f32]>,
}

leveled! {
    /// Blends the layers `here`, which all have the columns from `start` on.
    fn blend(layers: &[Layer<'_>], here: &[usize], start: usize, out: &mut [f32]) {
        let _ = blocks::<64>(layers, here, start, out)
            || blocks::<8>(layers, here, start, out)
            || blocks::<1>(layers, here, start, out);
    }
}

/// Blends in blocks of `N` pixels, of which the last may reach back; false if there are fewer.
#[inline(always)]
fn blocks<const N: usize>(layers: &[Layer<'_>], here: &[usize], start: usize, out: &mut [f32]) -> bool {
    let Some(last) = out.len().checked_sub(N) else { return false };
    for x in (0..last).step_by(N).chain([last]) {
        out[x..x + N].copy_from_slice(&block::<N>(layers, here, start + x));
    }
    true
}

/// `sum(w t) / sum(w)` of the pixels from `x` on; 0 / 0 where nothing lies.
#[inline(always)]
fn block<const N: usize>(layers: &[Layer<'_>], here: &[usize], x: usize) -> [f32; N] {
    let (mut sum, mut total) = ([0.0; N], [0.0; N]);
    for &i in here {
        let Layer { columns, pixels, weights } = &layers[i];
        let (t, w) = (&pixels[x - columns.start..][..N], &weights[x - columns.start..][..N]);
        for l in 0..N {
            sum[l] += w[l] * t[l];
            total[l] += w[l];
        }
    }
    // Most pixels of a grid lie in the middle of one tile, and a quotient by 1 is known.
    if total.iter().fold(false, |any, &t| any | (t != 1.0)) {
        for l in 0..N {
            sum[l] = if total[l] == 0.0 { f32::NAN } else { sum[l] / total[l] };
        }
    }
    sum
}

/// Far enough for any image, near enough that no sum of pixel numbers overflows.
const FARTHEST: isize = 1 << 40;

fn check_origins(tiles: usize, origins: &[(isize, isize)]) -> Result<()> {
    if tiles != origins.len() {
        return Err(Error::Value(format!("{tiles} tiles, but {} boxes", origins.len())));
    }
    match origins.iter().find(|o| o.0.unsigned_abs().max(o.1.unsigned_abs()) > FARTHEST as usize) {
        Some(o) => Err(Error::Value(format!("a box begins at {o:?}: more than {FARTHEST} pixels away"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_may_stick_out() {
        let a = [1, 2, 3, 4, 5, 6];
        let mut tiles = [0; 32];
        let (one, two) = tiles.split_at_mut(16);
        let views = vec![ViewMut2::from_slice(one, (4, 4)), ViewMut2::from_slice(two, (4, 4))];
        let view = View2::from_slice(&a, (2, 3));
        extract_tiles(view, &[(-1, -1), (9, 9)], Border::Constant, 0, views, Some(2)).unwrap();
        assert_eq!(tiles[..16], [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0]);
        assert_eq!(tiles[16..], [0; 16]);
    }

    #[test]
    fn blends_by_weight_and_leaves_gaps() {
        let (a, b, w) = ([1.0f32, 1.0], [4.0f32, 4.0], [1.0f32, 2.0]);
        let tiles = [View2::from_slice(&a, (1, 2)), View2::from_slice(&b, (1, 2))];
        let mut out = [0.0; 5];
        let target = ViewMut2::from_slice(&mut out, (1, 5));
        stitch(&tiles, &[(0, 0), (0, 1)], Some(View2::from_slice(&w, (1, 2))), target, Some(1)).unwrap();
        assert_eq!(out[..3], [1.0, 2.0, 4.0]);
        assert!(out[3].is_nan() && out[4].is_nan());
    }
}
