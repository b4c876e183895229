//! What lies beyond the edge of an image.

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
}
