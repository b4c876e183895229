//! What lies beyond the edge of an image.

use crate::View2;

/// How an image `a b c d` goes on outside; scipy.ndimage's names, numpy.pad's in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// `d c b a | a b c d | d c b a` (`symmetric`).
    Reflect,
    /// `d c b | a b c d | c b a` (`reflect`).
    Mirror,
    /// `a a a | a b c d | d d d` (`edge`).
    Nearest,
    /// `b c d | a b c d | a b c` (`wrap`).
    Wrap,
    /// A constant (`constant`).
    Constant,
}

impl Border {
    /// The pixel of an axis of `n > 0` pixels that stands at index `i`, inside or out; `None` is the constant.
    #[inline]
    pub fn source(self, i: isize, n: usize) -> Option<usize> {
        let len = n as isize;
        if (0..len).contains(&i) {
            return Some(i as usize);
        }
        let at = match self {
            Self::Constant => return None,
            Self::Nearest => i.clamp(0, len - 1),
            Self::Wrap => i.rem_euclid(len),
            Self::Reflect => {
                let j = i.rem_euclid(2 * len);
                j.min(2 * len - 1 - j)
            }
            Self::Mirror if n == 1 => 0,
            Self::Mirror => {
                let j = i.rem_euclid(2 * len - 2);
                j.min(2 * len - 2 - j)
            }
        };
        Some(at as usize)
    }

    /// Pixels of row `y` of an image that is not empty, from column `left` on, inside or out; the constant is
    /// `T::default()`.
    pub fn read<T: Copy + Default>(self, a: View2<'_, T>, y: isize, left: isize, out: &mut [T]) {
        let (ny, nx) = a.shape();
        let Some(y) = self.source(y, ny) else { return out.fill(T::default()) };
        let start = (-left).clamp(0, out.len() as isize);
        let end = (nx as isize - left).clamp(start, out.len() as isize);
        let outside = |x: isize| self.source(left + x, nx).map_or(T::default(), |x| a.get(y, x));
        (0..start).chain(end..out.len() as isize).for_each(|x| out[x as usize] = outside(x));
        if start < end {
            let (inside, first) = (&mut out[start as usize..end as usize], (left + start) as usize);
            match a.row(y) {
                Some(row) => inside.copy_from_slice(&row[first..][..inside.len()]),
                None => (first..).zip(inside).for_each(|(x, pixel)| *pixel = a.get(y, x)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extends_as_documented() {
        let line = |border: Border| -> String {
            (-5..9).map(|i| border.source(i, 4).map_or('.', |j| ['a', 'b', 'c', 'd'][j])).collect()
        };
        assert_eq!(line(Border::Reflect), "ddcbaabcddcbaa");
        assert_eq!(line(Border::Mirror), "bcdcbabcdcbabc");
        assert_eq!(line(Border::Nearest), "aaaaaabcdddddd");
        assert_eq!(line(Border::Wrap), "dabcdabcdabcda");
        assert_eq!(line(Border::Constant), ".....abcd.....");
        assert_eq!(Border::Mirror.source(-7, 1), Some(0));
    }

    #[test]
    fn reads_inside_and_out() {
        let pixels: Vec<u16> = (1..13).collect();
        let row_major = View2::from_slice(&pixels, (3, 4));
        // SAFETY: the same pixels, transposed.
        let column_major = unsafe { View2::from_raw(pixels.as_ptr(), (4, 3), (1, 4)) };
        for border in [Border::Reflect, Border::Mirror, Border::Nearest, Border::Wrap, Border::Constant] {
            for view in [row_major, column_major] {
                let (ny, nx) = view.shape();
                for (y, left, len) in (-5..9).flat_map(|y| (-9..9).flat_map(move |x| (0..12).map(move |n| (y, x, n)))) {
                    let mut row = vec![99; len];
                    border.read(view, y, left, &mut row);
                    for (x, pixel) in (left..).zip(row) {
                        let source = border.source(y, ny).zip(border.source(x, nx));
                        assert_eq!(pixel, source.map_or(0, |(y, x)| view.get(y, x)));
                    }
                }
            }
        }
    }
}
