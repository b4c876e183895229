//! The clipped statistics of a box against their definition.

use proptest::prelude::*;

use super::*;

/// The definition, step by step, on all values of a box.
fn reference(values: &[f32], clip: SigmaClip) -> (f64, f64, u32) {
    let moments = |v: &[f64]| {
        let mut v = v.to_vec();
        v.sort_by(f64::total_cmp);
        let n = v.len();
        let median = if n % 2 == 1 { v[n / 2] } else { 0.5 * (v[n / 2 - 1] + v[n / 2]) };
        let mean = v.iter().sum::<f64>() / n as f64;
        let std = (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        (median, mean, std)
    };
    let good: Vec<f64> = values.iter().filter(|v| v.is_finite()).map(|&v| v.into()).collect();
    let (mut kept, mut low, mut high) = (good.clone(), f64::NEG_INFINITY, f64::INFINITY);
    for _ in 0..clip.iterations {
        let (median, _, std) = moments(&kept);
        (low, high) = (median - clip.sigma * std, median + clip.sigma * std);
        let before = kept.len();
        kept.retain(|&v| v >= low && v <= high);
        if kept.len() == before || kept.is_empty() {
            break;
        }
    }
    let last: Vec<f64> = good.into_iter().filter(|&v| v >= low && v <= high).collect();
    let (median, mean, std) = moments(&last);
    let skewed = (mean - median).abs() / std >= 0.3;
    let level = if std == 0.0 {
        mean
    } else if skewed {
        median
    } else {
        2.5 * median - 1.5 * mean
    };
    (level, std, last.len() as u32)
}

fn values() -> impl Strategy<Value = Vec<f32>> {
    let normal = (-3f32..3.0, -3f32..3.0, -3f32..3.0).prop_map(|(a, b, c)| a + b + c);
    let value = prop_oneof![
        20 => normal,
        4 => Just(0.0f32),
        4 => (-4i8..4).prop_map(f32::from),
        2 => -1e3f32..1e6,
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(-3e38f32), Just(3e38f32)],
    ];
    proptest::collection::vec(value, 1..400)
}

proptest! {
    #[test]
    fn one_box_is_the_definition(values in values(), pedestal in prop_oneof![Just(0f32), Just(1000f32)]) {
        let values: Vec<f32> = values.iter().map(|v| v + pedestal).collect();
        let image = View2::from_slice(&values, (1, values.len()));
        let s = mesh_statistics(image, None, (1, values.len()), SigmaClip::default(), Some(1)).unwrap();
        if !values.iter().any(|v| v.is_finite()) {
            prop_assert!(s.level[0].is_nan() && s.rms[0].is_nan() && s.ngood[0] == 0);
            return Ok(());
        }
        let (level, rms, ngood) = reference(&values, SigmaClip::default());
        prop_assert_eq!(s.ngood[0], ngood);
        // The two branches of the level may swap places where |mean - median| / std is 0.3 to rounding.
        let scale = rms + 1e-9 * level.abs();
        prop_assert!((s.rms[0] - rms).abs() <= 1e-9 * scale, "rms {} {}", s.rms[0], rms);
        prop_assert!((s.level[0] - level).abs() <= 1e-9 * scale, "level {} {}", s.level[0], level);
    }

    #[test]
    fn all_levels_give_the_same_bits(values in values(), swap: bool) {
        let foreign: Vec<_> = values.iter().map(|v| crate::BigEndian(v.to_bits().to_be())).collect();
        let shape = (1, values.len());
        let results: Vec<_> = Level::ALL
            .into_iter()
            .filter(|level| level.available())
            .map(|level| {
                let s = if swap {
                    at_level(level, View2::from_slice(&foreign, shape), None, shape, SigmaClip::default(), Some(1))
                } else {
                    at_level(level, View2::from_slice(&values, shape), None, shape, SigmaClip::default(), Some(1))
                };
                let s = s.unwrap();
                (s.level[0].to_bits(), s.rms[0].to_bits(), s.ngood)
            })
            .collect();
        prop_assert!(results.iter().all(|r| *r == results[0]));
    }

    #[test]
    fn boxes_do_not_see_their_neighbours(seed in 0u32..1000, ny in 1usize..40, nx in 1usize..40, b in 1usize..20) {
        let mut state = seed.wrapping_mul(2_654_435_769) | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32
        };
        let image: Vec<f32> = (0..ny * nx).map(|_| random()).collect();
        let mask: Vec<bool> = (0..ny * nx).map(|_| random() < 0.2).collect();
        let view = View2::from_slice(&image, (ny, nx));
        let whole = mesh_statistics(view, Some(View2::from_slice(&mask, (ny, nx))), (b, b), SigmaClip::default(), Some(3)).unwrap();
        prop_assert_eq!(whole.shape, (ny.div_ceil(b), nx.div_ceil(b)));
        for (i, &level) in whole.level.iter().enumerate() {
            let (y, x) = (i / whole.shape.1 * b, i % whole.shape.1 * b);
            let pixels: Vec<f32> = (y..ny.min(y + b))
                .flat_map(|y| (x..nx.min(x + b)).map(move |x| y * nx + x))
                .map(|p| if mask[p] { f32::NAN } else { image[p] })
                .collect();
            let one = View2::from_slice(&pixels, (1, pixels.len()));
            let one = mesh_statistics(one, None, (1, pixels.len()), SigmaClip::default(), Some(1)).unwrap();
            prop_assert_eq!(one.level[0].to_bits(), level.to_bits());
            prop_assert_eq!(one.rms[0].to_bits(), whole.rms[i].to_bits());
            prop_assert_eq!(one.ngood[0], whole.ngood[i]);
        }
    }
}

#[test]
fn a_constant_box_has_no_rms() {
    for v in [0.0f32, 0.1, -1e30, 1e-40] {
        let s =
            mesh_statistics(View2::from_slice(&[v; 77], (7, 11)), None, (64, 64), SigmaClip::default(), None).unwrap();
        assert_eq!((s.level[0], s.rms[0], s.ngood[0]), (f64::from(v), 0.0, 77));
    }
}

#[test]
fn wrong_arguments_are_said() {
    let image = View2::from_slice(&[0.0; 6], (2, 3));
    let mask = View2::from_slice(&[false; 6], (3, 2));
    assert!(mesh_statistics(image, Some(mask), (1, 1), SigmaClip::default(), None).is_err());
    assert!(mesh_statistics(image, None, (0, 1), SigmaClip::default(), None).is_err());
    assert!(mesh_statistics(image, None, (1, 1), SigmaClip { sigma: f64::NAN, iterations: 1 }, None).is_err());
}
