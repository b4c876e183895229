//! Objects: detection image, labels, measurements, watershed. `cargo bench --bench objects`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use starnet_core::detection::detection_image;
use starnet_core::labels::{Connectivity, label};
use starnet_core::measure::{Planes, measure};
use starnet_core::watershed::watershed;
use starnet_core::{View2, ViewMut2};

const SHAPE: (usize, usize) = (1024, 1024);

/// Noise of unit scatter, smoothed over a few pixels: a sky whose peaks are objects.
fn sky() -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let noise: Vec<f32> = (0..SHAPE.0 * SHAPE.1)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let mut image = vec![0.0; noise.len()];
    let valid = vec![1; noise.len()];
    let views = (View2::from_slice(&noise, SHAPE), View2::from_slice(&valid, SHAPE));
    let profile: Vec<f32> = (-6i32..=6).map(|i| (-0.5 * (i as f32 / 2.0).powi(2)).exp()).collect();
    detection_image(&[views.0], &[views.1], &profile, ViewMut2::from_slice(&mut image, SHAPE), Some(1)).unwrap();
    image
}

fn objects(criterion: &mut Criterion) {
    let image = sky();
    let view = View2::from_slice(&image, SHAPE);
    let mask: Vec<u8> = image.iter().map(|&v| u8::from(v > 0.5)).collect();
    let mask = View2::from_slice(&mask, SHAPE);
    let mut labels = vec![0; image.len()];
    let count = label(mask, Connectivity::Eight, ViewMut2::from_slice(&mut labels, SHAPE), Some(1)).unwrap();
    let landscape: Vec<f32> = image.iter().map(|v| -v).collect();
    let markers: Vec<i32> = (0..image.len() as i32).map(|i| if i % 97 == 0 { i / 97 + 1 } else { 0 }).collect();

    let mut group = criterion.benchmark_group("objects");
    group.throughput(Throughput::Elements(image.len() as u64));
    group.sample_size(20);
    for threads in [1, 2] {
        let id = |name: &str| BenchmarkId::new(name, threads);
        let mut out = vec![0.0; image.len()];
        let mut numbers = vec![0; image.len()];
        group.bench_function(id("detection_image 3 bands"), |b| {
            b.iter(|| {
                let out = ViewMut2::from_slice(&mut out, SHAPE);
                detection_image(&[view; 3], &[mask; 3], &[0.1, 0.5, 1.0, 0.5, 0.1], out, Some(threads)).unwrap();
            });
        });
        group.bench_function(id("label"), |b| {
            b.iter(|| label(mask, Connectivity::Eight, ViewMut2::from_slice(&mut numbers, SHAPE), Some(threads)));
        });
        group.bench_function(id("measure 3 bands"), |b| {
            let planes = Planes { detection: view, flags: mask, flux: vec![view; 3], sigma: vec![view; 3] };
            b.iter(|| black_box(measure(View2::from_slice(&labels, SHAPE), count, &planes, (0, 0), Some(threads))));
        });
    }
    group.bench_function("watershed", |b| {
        let mut out = vec![0; image.len()];
        let views = (View2::from_slice(&landscape, SHAPE), View2::from_slice(&markers, SHAPE));
        b.iter(|| watershed(views.0, views.1, Some(mask), 2, ViewMut2::from_slice(&mut out, SHAPE)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, objects);
criterion_main!(benches);
