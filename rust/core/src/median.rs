//! Exact 2-D median.
//!
//! Very small square windows are sorted by columns along the rows ([`rows`]), small ones go through selection networks
//! ([`strips`]), the others through histograms of columns ([`large`]); very long ones through a sliding histogram of ranks
//! ([`histogram`]). What the first two do to windows with a NaN is put right ([`mend`]).

mod histogram;
mod large;
mod mend;
mod rows;
mod strips;

use crate::{
    Border, Error, Pixel, Result, View2, ViewMut2,
    simd::{self, Level},
};

/// What a NaN in the window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nan {
    /// It is left out: the result has rank `n / 2` among the `n` others, and is NaN only where there are none.
    Ignore,
    /// It makes the result NaN.
    Propagate,
}

/// The median of the window `size` around each pixel: rows `y - ky / 2 .. y - ky / 2 + ky`, columns likewise, rank
/// `ky * kx / 2`.
///
/// Parity: `scipy.ndimage.median_filter(a, size, mode=border, cval=0)`, bit for bit where no NaN is in reach (zeros of
/// different sign are equal to scipy, ordered here).
pub fn median_filter<T: Pixel>(
    a: View2<'_, T>,
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    filter(simd::level(), a, size, border, nan, out, threads)
}

fn filter<T: Pixel>(
    level: Level,
    a: View2<'_, T>,
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    if rows::fits(size) {
        return rows::filter(level, a, size.0, border, nan, out, threads);
    }
    let networks = strips::Networks::of::<T>(size.0, level);
    if let Some(networks) = networks.filter(|_| size.0 == size.1) {
        return networks.filter(a, border, nan, out, threads);
    }
    let (rows, cols): (Vec<_>, Vec<_>) = ((0..a.shape().0).collect(), (0..a.shape().1).collect());
    at(level, a, &rows, &cols, size, border, nan, out, threads)
}

/// [`median_filter`], evaluated only where `rows` and `cols` (both ascending) cross.
#[allow(clippy::too_many_arguments)]
pub fn median_at<T: Pixel>(
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    at(simd::level(), a, rows, cols, size, border, nan, out, threads)
}

#[allow(clippy::too_many_arguments)]
fn at<T: Pixel>(
    level: Level,
    a: View2<'_, T>,
    rows: &[usize],
    cols: &[usize],
    size: (usize, usize),
    border: Border,
    nan: Nan,
    out: ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    if size.0 == 0 || size.1 == 0 {
        return Err(Error::Value(format!("size {size:?}: a window has at least one pixel a side")));
    }
    let (ny, nx) = a.shape();
    let large = large::fits(size);
    if !large && !histogram::fits(size, (ny, nx)) {
        return Err(Error::Value(format!("size {size:?}: the window is too large, a side of 10000 is about the most")));
    }
    if out.shape() != (rows.len(), cols.len()) {
        let got = vec![out.shape().0, out.shape().1];
        return Err(Error::Shape { name: "out", got, expected: vec![rows.len(), cols.len()] });
    }
    if rows.iter().any(|&y| y >= ny) || cols.iter().any(|&x| x >= nx) {
        return Err(Error::Value(format!("median_at: rows and columns must lie inside {:?}", a.shape())));
    }
    if !(rows.is_sorted() && cols.is_sorted()) {
        return Err(Error::Value("median_at: rows and columns must ascend".into()));
    }
    if rows.is_empty() || cols.is_empty() {
        return Ok(());
    }
    if large {
        large::median_large(level, a, rows, cols, size, border, nan, out, threads);
    } else {
        histogram::median_any(a, rows, cols, size, border, nan, out, threads);
    }
    Ok(())
}

/// Blocks of outputs that each span at most `sides` pixels: their rows, their columns, and where they go.
fn blocks<'a, T>(
    rows: &'a [usize],
    cols: &'a [usize],
    sides: (usize, usize),
    out: &'a mut ViewMut2<'_, T>,
) -> Vec<(&'a [usize], &'a [usize], ViewMut2<'a, T>)> {
    let (ys, xs) = (cuts(rows, sides.0), cuts(cols, sides.1));
    let pairs = ys.windows(2).flat_map(|y| xs.windows(2).map(move |x| (&rows[y[0]..y[1]], &cols[x[0]..x[1]])));
    pairs.zip(out.blocks_mut(&ys, &xs)).map(|((rows, cols), out)| (rows, cols, out)).collect()
}

/// Cuts ascending `nodes` into runs that each span at most `reach` pixels.
fn cuts(nodes: &[usize], reach: usize) -> Vec<usize> {
    let mut cuts = vec![0];
    for (i, &node) in nodes.iter().enumerate() {
        if node - nodes[cuts[cuts.len() - 1]] >= reach {
            cuts.push(i);
        }
    }
    cuts.push(nodes.len());
    cuts
}

#[cfg(test)]
mod tests;
