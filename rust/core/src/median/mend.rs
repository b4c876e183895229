//! Windows with a NaN in them, done again after a method that knows no NaN: where [`Nan::Ignore`] asks for it by the sliding
//! histogram.

use std::ops::Range;

use super::{Nan, median_at};
use crate::{Border, Pixel, Result, View2, ViewMut2};

/// Side of the squares in which windows with NaN are looked for.
const SQUARE: usize = 32;

/// Outputs of a strip whose windows have a NaN.
#[allow(clippy::too_many_arguments)]
pub(super) fn mend<T: Pixel>(
    a: View2<'_, T>,
    size: usize,
    corner: (usize, usize),
    (ys, xs): (Range<usize>, Range<usize>),
    border: Border,
    nan: Nan,
    out: &mut ViewMut2<'_, T>,
    threads: Option<usize>,
) -> Result<()> {
    let Some(not_a_number) = T::NAN else { return Ok(()) };
    for y in ys.clone().step_by(SQUARE) {
        for x in xs.clone().step_by(SQUARE) {
            let (height, width) = (SQUARE.min(ys.end - y), SQUARE.min(xs.end - x));
            let missing = missing(a, size, (corner.0 + y, corner.1 + x), (height, width), border);
            let (mut rows, mut cols) = ((usize::MAX, 0), (usize::MAX, 0));
            for (i, &n) in missing.iter().enumerate() {
                let (row, col) = (i / width, i % width);
                if n == size * size || n > 0 && nan == Nan::Propagate {
                    out.row_mut(y + row)[x + col] = not_a_number;
                } else if n > 0 {
                    rows = (rows.0.min(row), rows.1.max(row + 1));
                    cols = (cols.0.min(col), cols.1.max(col + 1));
                }
            }
            if rows.0 < rows.1 {
                let (y, x) = ((y + rows.0, y + rows.1), (x + cols.0, x + cols.1));
                let all_y: Vec<_> = (corner.0 + y.0..corner.0 + y.1).collect();
                let all_x: Vec<_> = (corner.1 + x.0..corner.1 + x.1).collect();
                let (height, width) = out.shape();
                let part = out.blocks_mut(&[0, y.0, y.1, height], &[0, x.0, x.1, width]).swap_remove(4);
                median_at(a, &all_y, &all_x, (size, size), border, nan, part, threads)?;
            }
        }
    }
    Ok(())
}

/// Number of NaN in each window of a rectangle of outputs.
fn missing<T: Pixel>(
    a: View2<'_, T>,
    size: usize,
    (y0, x0): (usize, usize),
    (height, width): (usize, usize),
    border: Border,
) -> Vec<usize> {
    let (ny, nx) = a.shape();
    let before = (size / 2) as isize;
    let columns: Vec<_> = (0..width + size - 1).map(|x| border.source((x0 + x) as isize - before, nx)).collect();
    let mut above = vec![0; width];
    // Row i: NaN in the windows' rows up to and without i.
    let mut sums = vec![above.clone()];
    for row in 0..height + size - 1 {
        if let Some(y) = border.source((y0 + row) as isize - before, ny) {
            let nan = |x: &Option<usize>| usize::from(x.is_some_and(|x| a.get(y, x).is_nan()));
            let mut n: usize = columns[..size - 1].iter().map(nan).sum();
            for x in 0..width {
                n += nan(&columns[x + size - 1]);
                above[x] += n;
                n -= nan(&columns[x]);
            }
        }
        sums.push(above.clone());
    }
    let windows = sums.iter().zip(&sums[size..]);
    windows.flat_map(|(above, through)| through.iter().zip(above).map(|(b, a)| b - a)).collect()
}
