//! Medians: small and large windows, pixels that are easy and hard, types. `cargo bench --bench median`.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use starnet_core::median::{Nan, median_filter};
use starnet_core::rolling::rolling_median;
use starnet_core::{Border, Pixel, View2, ViewMut2};

const SIDE: usize = 768;
const SHAPE: (usize, usize) = (SIDE, SIDE);

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

/// The sky with this value in some pixels, a thousandth of them each.
fn every(sky: &[f32], thousandths: usize, value: f32) -> Vec<f32> {
    let pixel = |(i, &v): (usize, &f32)| if (i * 7919) % 1009 < thousandths { value } else { v };
    sky.iter().enumerate().map(pixel).collect()
}

fn bench<T: Pixel>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, image: &[T], sizes: &[usize]) {
    let mut out = vec![T::default(); image.len()];
    for &size in sizes {
        group.bench_function(BenchmarkId::new(name, size), |b| {
            b.iter(|| {
                let (image, out) = (View2::from_slice(black_box(image), SHAPE), ViewMut2::from_slice(&mut out, SHAPE));
                median_filter(image, (size, size), Border::Reflect, Nan::Ignore, out, Some(1)).unwrap();
            });
        });
    }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements((SIDE * SIDE) as u64));
    group.sample_size(10);
    group
}

fn small(criterion: &mut Criterion) {
    let (sky, sizes) = (sky(), [3, 5, 7, 10, 11, 15, 21]);
    let mut group = group(criterion, "small median");
    bench(&mut group, "f32", &sky, &sizes);
    bench(&mut group, "f64", &sky.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "i32", &sky.iter().map(|v| (1e6 * v) as i32).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "u16", &sky.iter().map(|v| (1000.0 + 30.0 * v) as u16).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "u8", &sky.iter().map(|v| (100.0 + 10.0 * v) as u8).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "0.1 % NaN", &every(&sky, 1, f32::NAN), &sizes);
    bench(&mut group, "1 % NaN", &every(&sky, 10, f32::NAN), &sizes);
    bench(&mut group, "30 % NaN", &every(&sky, 300, f32::NAN), &sizes);
    let covered = |(i, &v): (usize, &f32)| if i % SIDE + i / SIDE / 3 > SIDE / 2 { f32::NAN } else { v };
    bench(&mut group, "half covered", &sky.iter().enumerate().map(covered).collect::<Vec<_>>(), &sizes);
    group.finish();
}

fn large(criterion: &mut Criterion) {
    let (sky, sizes) = (sky(), [31, 51, 101, 201]);
    let mut group = group(criterion, "large median");
    bench(&mut group, "sky", &sky, &sizes);
    bench(&mut group, "constant", &vec![7.0f32; sky.len()], &sizes);
    bench(&mut group, "integers", &sky.iter().map(|v| (10.0 * v).round()).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "30 % zeros", &every(&sky, 300, 0.0), &sizes);
    bench(&mut group, "10 % NaN", &every(&sky, 100, f32::NAN), &sizes);
    bench(&mut group, "u8", &sky.iter().map(|v| (100.0 + 10.0 * v) as u8).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "u16", &sky.iter().map(|v| (1000.0 + 30.0 * v) as u16).collect::<Vec<_>>(), &sizes);
    bench(&mut group, "u16, wide", &sky.iter().map(|v| (3e4 + 4000.0 * v) as u16).collect::<Vec<_>>(), &sizes);
    let mut out = vec![0.0; sky.len()];
    for size in sizes {
        group.bench_function(BenchmarkId::new("sky, step 16", size), |b| {
            b.iter(|| {
                let out = ViewMut2::from_slice(&mut out, SHAPE);
                let image = View2::from_slice(black_box(&sky), SHAPE);
                let window = (size, size);
                rolling_median(image, window, 16, (0, 0), Border::Reflect, Nan::Ignore, out, Some(1)).unwrap();
            })
        });
    }
    group.finish();
}

criterion_group!(benches, small, large);
criterion_main!(benches);
