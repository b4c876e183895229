use proptest::prelude::*;

use super::*;

const BORDERS: [Border; 5] = [Border::Reflect, Border::Mirror, Border::Nearest, Border::Wrap, Border::Constant];

/// At the crossings, by sorting each window.
fn brute<T: Pixel>(
    a: &[T],
    shape: (usize, usize),
    (rows, cols): (&[usize], &[usize]),
    size: (usize, usize),
    border: Border,
    nan: Nan,
) -> Vec<T> {
    let pixel = |y: isize, x: isize| match (border.source(y, shape.0), border.source(x, shape.1)) {
        (Some(y), Some(x)) => a[y * shape.1 + x],
        _ => T::default(),
    };
    let median = |y: usize, x: usize| {
        let (top, left) = (y as isize - (size.0 / 2) as isize, x as isize - (size.1 / 2) as isize);
        let window = (0..size.0 as isize).flat_map(|dy| (0..size.1 as isize).map(move |dx| (top + dy, left + dx)));
        let values = window.map(|(y, x)| pixel(y, x)).filter(|v| !v.is_nan());
        let mut keys: Vec<u64> = values.map(T::key).collect();
        let middle = keys.len() / 2;
        match T::NAN {
            Some(missing) if keys.is_empty() || nan == Nan::Propagate && keys.len() < size.0 * size.1 => missing,
            _ => T::from_key(*keys.select_nth_unstable(middle).1),
        }
    };
    rows.iter().flat_map(|&y| cols.iter().map(move |&x| (y, x))).map(|(y, x)| median(y, x)).collect()
}

fn keys<T: Pixel>(a: &[T]) -> Vec<Option<u64>> {
    a.iter().map(|v| (!v.is_nan()).then(|| v.key())).collect()
}

/// All levels of this processor equal brute force.
fn check<T: Pixel, K: Key>(
    a: &[T],
    shape: (usize, usize),
    (rows, cols): (&[usize], &[usize]),
    size: (usize, usize),
    border: Border,
    nan: Nan,
) {
    let expected = keys(&brute(a, shape, (rows, cols), size, border, nan));
    for level in Level::ALL.into_iter().filter(|level| level.available()) {
        let mut out = vec![T::default(); rows.len() * cols.len()];
        let target = ViewMut2::from_slice(&mut out, (rows.len(), cols.len()));
        run::<T, K>(level, View2::from_slice(a, shape), rows, cols, size, border, nan, target, Some(2));
        assert!(keys(&out) == expected, "{level:?}, {shape:?}, {size:?}, {border:?}, {nan:?}");
    }
}

/// An image of few values, many, or both; `i64::MIN` stands for NaN.
fn images() -> impl Strategy<Value = ((usize, usize), Vec<i64>)> {
    (1usize..40, 1usize..40, 0..3).prop_flat_map(|(ny, nx, kind)| {
        let pixel = match kind {
            0 => prop_oneof![9 => -2i64..3, 1 => Just(i64::MIN)].boxed(),
            1 => any::<i64>().boxed(),
            _ => prop_oneof![3 => Just(0), 1 => Just(i64::MAX), 1 => Just(i64::MIN), 5 => any::<i64>()].boxed(),
        };
        (Just((ny, nx)), prop::collection::vec(pixel, ny * nx))
    })
}

/// Some of the pixels of an axis, or all.
fn nodes(n: usize, step: usize) -> Vec<usize> {
    (n.min(step) / 2..n).step_by(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn all_types_and_levels_equal_brute_force(
        (shape, a) in images(),
        size in (1usize..50, 1usize..50),
        steps in (1usize..9, 1usize..60),
        border in prop::sample::select(&BORDERS),
        nan in prop::sample::select(&[Nan::Ignore, Nan::Propagate]),
    ) {
        let (rows, cols) = (nodes(shape.0, steps.0), nodes(shape.1, steps.1));
        let at = (&rows[..], &cols[..]);
        let is_nan = |v: i64| v == i64::MIN;
        // Floats by their bits: subnormal, infinite, of either sign.
        let f32s: Vec<f32> = a.iter().map(|&v| if is_nan(v) { f32::NAN } else { f32::from_bits(v as u32) }).collect();
        check::<f32, u32>(&f32s, shape, at, size, border, nan);
        let f64s: Vec<f64> = a.iter().map(|&v| if is_nan(v) { -f64::NAN } else { v as f64 }).collect();
        check::<f64, u64>(&f64s, shape, at, size, border, nan);
        check::<i64, u64>(&a, shape, at, size, border, nan);
        let u32s: Vec<u32> = a.iter().map(|&v| v as u32).collect();
        check::<u32, u32>(&u32s, shape, at, size, border, nan);
        let i8s: Vec<i8> = a.iter().map(|&v| v as i8).collect();
        check::<i8, u32>(&i8s, shape, at, size, border, nan);
    }
}

#[test]
fn windows_of_more_than_65535_pixels() {
    let shape = (30, 310);
    let a: Vec<f32> = (0..shape.0 * shape.1).map(|i| (i * 7919 % 10007) as f32).collect();
    let (rows, cols) = (nodes(30, 14), nodes(310, 100));
    for size in [(257, 256), (300, 301)] {
        check::<f32, u32>(&a, shape, (&rows, &cols), size, Border::Reflect, Nan::Ignore);
    }
    // The largest one with counts of 16 bits; all its pixels are in one bin.
    check::<f32, u32>(&[7.0; 600], (20, 30), (&[0, 19], &[0, 29]), (255, 257), Border::Nearest, Nan::Ignore);
}

#[test]
fn blocks_join_without_seams() {
    let shape = (230, 220);
    let a: Vec<f32> = (0..shape.0 * shape.1).map(|i| (i * 7919 % 1009) as f32).collect();
    let (rows, cols) = (nodes(230, 1), nodes(220, 1));
    check::<f32, u32>(&a, shape, (&rows, &cols), (5, 4), Border::Mirror, Nan::Ignore);
}
