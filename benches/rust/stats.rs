//! Percentiles, box statistics, scaling, noise units and tiles. `cargo bench --bench stats`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use starnet_core::background::{SigmaClip, mesh_statistics};
use starnet_core::noise::{Noise, NoiseUnits, noise_units};
use starnet_core::normalize::{normalize, stack_rgb};
use starnet_core::order::OrderStatistics;
use starnet_core::tiling::stitch;
use starnet_core::{View2, ViewMut2};

const SIDE: usize = 1024;
const SHAPE: (usize, usize) = (SIDE, SIDE);

/// Noise of about unit scatter.
fn sky() -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..SIDE * SIDE).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn statistics(criterion: &mut Criterion) {
    let sky = sky();
    let every = |n: usize, value: f32| {
        let pixel = |(i, &v): (usize, &f32)| if (i * 7919) % 1009 < n * 1009 / 100 { value } else { v };
        sky.iter().enumerate().map(pixel).collect::<Vec<f32>>()
    };
    let images = [
        ("sky", sky.clone()),
        ("constant", vec![7.0; sky.len()]),
        ("30 % zeros", every(30, 0.0)),
        ("30 % NaN", every(30, f32::NAN)),
    ];
    let mut group = criterion.benchmark_group("statistics");
    group.throughput(Throughput::Elements(sky.len() as u64));
    for (name, image) in &images {
        let view = View2::from_slice(image, SHAPE);
        group.bench_with_input(BenchmarkId::new("percentiles", name), &view, |b, &view| {
            b.iter(|| {
                let mut order = OrderStatistics::<f32>::new(false);
                order.aim(&[view], &[0.025, 0.975]).unwrap();
                order.add(view, Some(1)).unwrap();
                let last = (order.count() - 1) as f64;
                order.choose(&[0.025, 0.975].map(|q| (q * last) as u64)).unwrap();
                while !order.end_pass().unwrap() {
                    order.add(view, Some(1)).unwrap();
                }
                black_box(order.values().map(<[f32]>::to_vec))
            });
        });
        group.bench_with_input(BenchmarkId::new("boxes of 64", name), &view, |b, &view| {
            b.iter(|| black_box(mesh_statistics(view, None, (64, 64), SigmaClip::default(), Some(1))));
        });
    }
    group.finish();
}

fn scaling(criterion: &mut Criterion) {
    let sky = sky();
    let view = View2::from_slice(&sky, SHAPE);
    let mut group = criterion.benchmark_group("scaling");
    group.throughput(Throughput::Elements(sky.len() as u64));
    let mut out = vec![0.0; sky.len()];
    group.bench_function("normalize", |b| {
        b.iter(|| normalize(view, -2.0, 2.0, ViewMut2::from_slice(&mut out, SHAPE), Some(1)).unwrap());
    });
    let mut rgb = vec![0u8; 3 * sky.len()];
    group.bench_function("stack to bytes", |b| {
        b.iter(|| {
            let out = ViewMut2::from_slice(&mut rgb, (SIDE, 3 * SIDE));
            stack_rgb([view; 3], [-2.0; 3], [2.0; 3], out, Some(1)).unwrap();
        });
    });
    let (mut flux, mut sigma, mut snr) = (vec![0.0; sky.len()], vec![1.0; sky.len()], vec![0.0; sky.len()]);
    let mut valid = vec![true; sky.len()];
    group.bench_function("noise units", |b| {
        b.iter(|| {
            let units = NoiseUnits {
                flux: ViewMut2::from_slice(&mut flux, SHAPE),
                sigma: ViewMut2::from_slice(&mut sigma, SHAPE),
                snr: ViewMut2::from_slice(&mut snr, SHAPE),
                image: ViewMut2::from_slice(&mut out, SHAPE),
                valid: ViewMut2::from_slice(&mut valid, SHAPE),
            };
            noise_units(view, Noise::Known, 1.0, units, Some(1)).unwrap();
        });
    });
    group.bench_function("stitch", |b| {
        b.iter(|| {
            let target = ViewMut2::from_slice(&mut out, SHAPE);
            stitch(&[view, view], &[(0, 0), (0, 512)], Some(view), target, Some(1)).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, statistics, scaling);
criterion_main!(benches);
