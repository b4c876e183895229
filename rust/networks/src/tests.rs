//! Every network against the definition of the median.

use crate::{Coding, Instructions, Job, kernel};

/// The kinds that this processor has.
fn available() -> Vec<Instructions> {
    let mut all = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx2") {
            all.push(Instructions::Avx2);
        }
        if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
            all.extend([Instructions::Avx512, Instructions::Avx512Floats]);
        }
    }
    all
}

/// All sizes for pixels `T`, on two rows of tiles in strips one unit wide; `bits` turns a median into what is compared.
fn check<T: Copy + Default, B: PartialEq + std::fmt::Debug>(
    coding: Coding,
    pixel: impl Fn(u64) -> T,
    order: impl Fn(&T, &T) -> std::cmp::Ordering + Copy,
    bits: impl Fn(T) -> B,
) {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    };
    for instructions in available() {
        let mut found = 0;
        for size in 1..40 {
            let Some(kernel) = kernel(instructions, 8 * size_of::<T>() as u32, size) else { continue };
            found += 1;
            let (strip, rows) = (kernel.unit, 2 * kernel.tile_height);
            let (height, reach) = (rows + size - 1, kernel.reach(size, strip));
            let pixels: Vec<T> = (0..height * kernel.lanes * reach).map(|_| pixel(random())).collect();
            let mut medians = vec![T::default(); rows * kernel.lanes * strip];
            let sources: Vec<*const u8> = pixels.chunks(reach).map(|line| line.as_ptr().cast()).collect();
            let targets: Vec<*mut u8> = medians.chunks_mut(strip).map(|line| line.as_mut_ptr().cast()).collect();
            let widths = vec![strip; kernel.lanes];
            let job = Job { sources: &sources, targets: &targets, widths: &widths, strip, rows, coding };
            // SAFETY: the processor has the instructions; sources and targets have the lengths that the job says.
            unsafe { kernel.run(&job, &mut vec![]) };
            for (i, &median) in medians.iter().enumerate() {
                let (y, lane, x) = (i / strip / kernel.lanes, i / strip % kernel.lanes, i % strip);
                // All lanes do the same; two are looked at, others of other sizes.
                if lane != size % kernel.lanes && lane != kernel.lanes - 1 {
                    continue;
                }
                let line = |y: usize| &pixels[(y * kernel.lanes + lane) * reach + x..][..size];
                let mut window: Vec<T> = (y..y + size).flat_map(line).copied().collect();
                let expected = *window.select_nth_unstable_by(size * size / 2, order).1;
                assert_eq!(bits(median), bits(expected), "{instructions:?} size {size} lane {lane} ({y}, {x})");
            }
        }
        assert!(found > 10, "{instructions:?}");
    }
}

#[test]
fn integers_equal_brute_force() {
    check(Coding::Same, |r| r as u8, u8::cmp, |v| v);
    check(Coding::Flip, |r| r as i8, i8::cmp, |v| v);
    check(Coding::Same, |r| r as i16, i16::cmp, |v| v);
    check(Coding::Flip, |r| r as u16, u16::cmp, |v| v);
    check(Coding::Same, |r| r as i32, i32::cmp, |v| v);
    check(Coding::Flip, |r| r as u32, u32::cmp, |v| v);
    check(Coding::Same, |r| (r << 8) as i64, i64::cmp, |v| v);
    check(Coding::Flip, |r| r << 8, u64::cmp, |v| v);
}

#[test]
fn floats_equal_brute_force() {
    check(Coding::Float, |r| r as i32 as f32, f32::total_cmp, f32::to_bits);
    check(Coding::Float, |r| (r as i64 - (1 << 55)) as f64, f64::total_cmp, f64::to_bits);
    // Zeros of both signs, which are equal as floats, and infinities.
    let special = [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 4.0];
    check(Coding::Float, |r| special[r as usize % special.len()], f32::total_cmp, f32::to_bits);
    let positive = [0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 4.0];
    check(Coding::Float, |r| positive[r as usize % positive.len()], f32::total_cmp, f32::to_bits);
}

#[test]
fn lanes_with_a_nan_are_told_and_harm_no_other() {
    for instructions in available() {
        for size in [7, 10, 17] {
            let kernel = kernel(instructions, 32, size).expect("there is one");
            let (strip, rows) = (kernel.unit, kernel.tile_height);
            let (height, reach) = (rows + size - 1, kernel.reach(size, strip));
            let mut pixels = vec![1.0f32; height * kernel.lanes * reach];
            let seen = kernel.lanes - 2;
            pixels[seen * reach] = -f32::NAN;
            let mut medians = vec![0.0f32; rows * kernel.lanes * strip];
            let sources: Vec<*const u8> = pixels.chunks(reach).map(|line| line.as_ptr().cast()).collect();
            let targets: Vec<*mut u8> = medians.chunks_mut(strip).map(|line| line.as_mut_ptr().cast()).collect();
            let widths = vec![strip; kernel.lanes];
            let coding = Coding::Float;
            let job = Job { sources: &sources, targets: &targets, widths: &widths, strip, rows, coding };
            // SAFETY: the processor has the instructions; sources and targets have the lengths that the job says.
            let nan = unsafe { kernel.run(&job, &mut vec![]) };
            assert_eq!(nan, 1 << seen);
            // Of all windows, only the lane's first has the NaN.
            let wrong: Vec<_> = (0..medians.len()).filter(|&i| medians[i] != 1.0).collect();
            assert!(wrong.iter().all(|&i| i == seen * strip), "{instructions:?} size {size}: {wrong:?}");
        }
    }
}
