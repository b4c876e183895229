use proptest::prelude::*;

use super::*;

pub(super) const BORDERS: [Border; 5] =
    [Border::Reflect, Border::Mirror, Border::Nearest, Border::Wrap, Border::Constant];

/// At the crossings, by sorting each window.
pub(super) fn brute<T: Pixel>(
    a: View2<'_, T>,
    (rows, cols): (&[usize], &[usize]),
    size: (usize, usize),
    border: Border,
    nan: Nan,
) -> Vec<T> {
    let (ny, nx) = a.shape();
    let axis = |i: usize, k: usize, n: usize| -> Vec<_> {
        let start = i as isize - (k / 2) as isize;
        (start..start + k as isize).map(|i| border.source(i, n)).collect()
    };
    let median = |y: usize, x: usize| {
        let xs = axis(x, size.1, nx);
        let window = axis(y, size.0, ny).into_iter().flat_map(|y| xs.iter().map(move |&x| y.zip(x)));
        let values = window.map(|at| at.map_or(T::default(), |(y, x)| a.get(y, x))).filter(|v| !v.is_nan());
        let mut keys: Vec<u64> = values.map(T::key).collect();
        let middle = keys.len() / 2;
        match T::NAN {
            Some(missing) if keys.is_empty() || nan == Nan::Propagate && keys.len() < size.0 * size.1 => missing,
            _ => T::from_key(*keys.select_nth_unstable(middle).1),
        }
    };
    rows.iter().flat_map(|&y| cols.iter().map(move |&x| (y, x))).map(|(y, x)| median(y, x)).collect()
}

pub(super) fn keys<T: Pixel>(a: &[T]) -> Vec<Option<u64>> {
    a.iter().map(|v| (!v.is_nan()).then(|| v.key())).collect()
}

/// All levels of this processor equal brute force, at all pixels and at some.
fn check<T: Pixel>(a: View2<'_, T>, size: (usize, usize), step: usize, border: Border, nan: Nan) {
    let shape = a.shape();
    let nodes = |n: usize, step: usize| (n.min(step) / 2..n).step_by(step).collect::<Vec<_>>();
    for level in Level::ALL.into_iter().filter(|level| level.available()) {
        for step in [1, step] {
            let (rows, cols) = (nodes(shape.0, step), nodes(shape.1, step));
            let mut out = vec![T::default(); rows.len() * cols.len()];
            let target = ViewMut2::from_slice(&mut out, (rows.len(), cols.len()));
            if step == 1 {
                filter(level, a, size, border, nan, target, Some(2)).unwrap();
            } else {
                at(level, a, &rows, &cols, size, border, nan, target, Some(2)).unwrap();
            }
            let expected = brute(a, (&rows, &cols), size, border, nan);
            assert!(keys(&out) == keys(&expected), "{level:?}, {shape:?}, {size:?}, {step}, {border:?}, {nan:?}");
        }
    }
}

/// The same of a part of the image, and of every second pixel backwards.
fn check_views<T: Pixel>(
    a: &[T],
    (ny, nx): (usize, usize),
    size: (usize, usize),
    step: usize,
    border: Border,
    nan: Nan,
) {
    check(View2::from_slice(a, (ny, nx)), size, step, border, nan);
    // SAFETY: the last pixel of every second row is the first, every second pixel of a row to the left follows.
    let strided = unsafe { View2::from_raw(&a[nx - 1], (ny.div_ceil(2), nx.div_ceil(2)), (2 * nx as isize, -2)) };
    check(strided, size, step, border, nan);
}

/// What an image is made of; `i64::MIN` stands for NaN.
fn pixel() -> impl Strategy<Value = BoxedStrategy<i64>> {
    let nan = || Just(i64::MIN);
    let some = || prop_oneof![1 => -2i64..3, 1 => -130i64..130, 1 => any::<i64>()];
    prop_oneof![
        Just((-2i64..3).boxed()),
        Just((-130i64..130).boxed()),
        Just((-400i64..400).boxed()),
        Just(any::<i64>().boxed()),
        Just(prop_oneof![50 => -2i64..3, 1 => nan()].boxed()),
        Just(prop_oneof![9 => any::<i64>(), 1 => nan()].boxed()),
        Just(prop_oneof![1 => some(), 2 => nan()].boxed()),
        Just(prop_oneof![3 => Just(0), 1 => Just(i64::MAX), 1 => nan(), 5 => any::<i64>()].boxed()),
    ]
}

/// An image, perhaps with a part that is not covered.
fn image(most: usize) -> impl Strategy<Value = ((usize, usize), Vec<i64>)> {
    let side = move || prop_oneof![2 => 1..most + 1, 1 => Just(1), 1 => 1usize..9];
    (side(), side(), pixel(), any::<bool>()).prop_flat_map(|(ny, nx, pixel, covered)| {
        prop::collection::vec(pixel, ny * nx).prop_map(move |mut a| {
            let missing = |i: usize| !covered && 2 * (i / nx) > ny && 3 * (i % nx) > nx + i / nx;
            a.iter_mut().enumerate().filter(|(i, _)| missing(*i)).for_each(|(_, v)| *v = i64::MIN);
            ((ny, nx), a)
        })
    })
}

fn check_all(a: &[i64], shape: (usize, usize), size: (usize, usize), step: usize, border: Border, nan: Nan) {
    fn all<T: Pixel>(a: &[i64], pixel: impl Fn(i64) -> T) -> Vec<T> {
        a.iter().map(|&v| pixel(v)).collect()
    }
    let is_nan = |v: i64| v == i64::MIN;
    // By their bits: subnormal, infinite, of either sign; NaN of either sign too.
    let f32s = all(a, |v| if is_nan(v) { f32::NAN } else { f32::from_bits(v as u32) });
    check_views(&f32s, shape, size, step, border, nan);
    let f32s = all(a, |v| if is_nan(v) { -f32::NAN } else { v as f32 });
    check_views(&f32s, shape, size, step, border, nan);
    let f64s = all(a, |v| if is_nan(v) { f64::NAN } else { f64::from_bits(v as u64) });
    check_views(&f64s, shape, size, step, border, nan);
    check_views(&all(a, |v| v as u8), shape, size, step, border, nan);
    check_views(&all(a, |v| v as i8), shape, size, step, border, nan);
    check_views(&all(a, |v| v as u16), shape, size, step, border, nan);
    check_views(&all(a, |v| v as i16), shape, size, step, border, nan);
    check_views(&all(a, |v| v as u32), shape, size, step, border, nan);
    check_views(&all(a, |v| v as i32), shape, size, step, border, nan);
    check_views(&all(a, |v| v as u64), shape, size, step, border, nan);
    check_views(&all(a, |v| v), shape, size, step, border, nan);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn small_windows_equal_brute_force(
        (shape, a) in image(60),
        size in 1usize..14,
        step in 2usize..9,
        border in prop::sample::select(&BORDERS),
        nan in prop::sample::select(&[Nan::Ignore, Nan::Propagate]),
    ) {
        check_all(&a, shape, (size, size), step, border, nan);
    }

    #[test]
    fn windows_of_any_size_equal_brute_force(
        (shape, a) in image(40),
        size in (1usize..50, 1usize..50),
        step in 2usize..60,
        border in prop::sample::select(&BORDERS),
        nan in prop::sample::select(&[Nan::Ignore, Nan::Propagate]),
    ) {
        check_all(&a, shape, size, step, border, nan);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn images_of_many_blocks_equal_brute_force(
        (shape, a) in image(300),
        size in prop_oneof![(1usize..12).prop_map(|k| (k, k)), (1usize..12, 1usize..12)],
        border in prop::sample::select(&BORDERS),
    ) {
        check_all(&a, shape, size, 100, border, Nan::Ignore);
    }
}

#[test]
fn windows_of_more_than_65535_pixels() {
    let shape = (30, 310);
    let a: Vec<f32> = (0..shape.0 * shape.1).map(|i| (i * 7919 % 10007) as f32).collect();
    for size in [(257, 256), (300, 301)] {
        let (rows, cols) = ([0, 14, 28], [0, 100, 309]);
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let mut out = [0.0; 9];
            let (view, target) = (View2::from_slice(&a, shape), ViewMut2::from_slice(&mut out, (3, 3)));
            at(level, view, &rows, &cols, size, Border::Reflect, Nan::Ignore, target, Some(2)).unwrap();
            assert_eq!(out[..], brute(view, (&rows, &cols), size, Border::Reflect, Nan::Ignore));
        }
    }
    // The largest one with counts of 16 bits; all its pixels are in one bin.
    check(View2::from_slice(&[7.0f32; 600], (20, 30)), (255, 257), 19, Border::Nearest, Nan::Ignore);
    check(View2::from_slice(&[7u8; 600], (20, 30)), (255, 257), 19, Border::Nearest, Nan::Ignore);
}

#[test]
fn arguments_are_checked() {
    let a = [1.0f32; 4];
    let mut out = [0.0; 4];
    let view = View2::from_slice(&a, (2, 2));
    for size in [(0, 3), (usize::MAX, usize::MAX), (1 << 16, 1 << 16)] {
        let target = ViewMut2::from_slice(&mut out, (2, 2));
        assert!(median_filter(view, size, Border::Reflect, Nan::Ignore, target, None).is_err());
    }
    let target = ViewMut2::from_slice(&mut out[..2], (1, 2));
    assert!(median_filter(view, (3, 3), Border::Reflect, Nan::Ignore, target, None).is_err());
}
