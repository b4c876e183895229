//! Medians of large windows, on pixels that are easy and hard. `cargo bench --bench large_median`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use starnet_core::median::{Nan, median_filter};
use starnet_core::rolling::rolling_median;
use starnet_core::{Border, View2, ViewMut2};

const SIDE: usize = 768;

/// Noise of about unit scatter, on a sky that slopes.
fn sky() -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let noise = |i: usize| (0..12).map(|_| uniform()).sum::<f32>() - 6.0 + i as f32 / (SIDE * SIDE) as f32;
    (0..SIDE * SIDE).map(noise).collect()
}

fn large(criterion: &mut Criterion) {
    let sky = sky();
    let every = |n: usize, value: f32| {
        let pixel = |(i, &v): (usize, &f32)| if (i * 7919) % 1009 < n * 1009 / 100 { value } else { v };
        sky.iter().enumerate().map(pixel).collect::<Vec<f32>>()
    };
    let images = [
        ("constant", vec![7.0; sky.len()]),
        ("integers", sky.iter().map(|v| (10.0 * v).round()).collect()),
        ("30 % zeros", every(30, 0.0)),
        ("10 % NaN", every(10, f32::NAN)),
        ("sky", sky.clone()),
    ];
    let shape = (SIDE, SIDE);
    let mut out = vec![0.0; sky.len()];
    let mut group = criterion.benchmark_group("large median");
    group.throughput(Throughput::Elements(sky.len() as u64));
    group.sample_size(10);
    for size in [31, 51, 101, 201] {
        for (name, image) in &images {
            group.bench_function(BenchmarkId::new(*name, size), |b| {
                b.iter(|| {
                    let out = ViewMut2::from_slice(&mut out, shape);
                    let image = View2::from_slice(black_box(image), shape);
                    median_filter(image, (size, size), Border::Reflect, Nan::Ignore, out, Some(1)).unwrap();
                })
            });
        }
        group.bench_function(BenchmarkId::new("sky, step 16", size), |b| {
            b.iter(|| {
                let out = ViewMut2::from_slice(&mut out, shape);
                let image = View2::from_slice(black_box(&sky), shape);
                let window = (size, size);
                rolling_median(image, window, 16, (0, 0), Border::Reflect, Nan::Ignore, out, Some(1)).unwrap();
            })
        });
    }
    group.finish();
}

criterion_group!(benches, large);
criterion_main!(benches);
