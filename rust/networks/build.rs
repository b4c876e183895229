//! Writes the networks of all sizes for each kind of vector; `src/vectors.rs` includes them.

#[path = "generator/asm.rs"]
mod asm;
#[path = "generator/emit.rs"]
mod emit;
#[path = "src/layout.rs"]
mod layout;
#[path = "generator/net.rs"]
mod net;
#[path = "generator/plan.rs"]
mod plan;

use std::path::Path;

use asm::Machine;

/// Sides of the windows; larger ones are no faster than the histograms of columns.
const SIZES: std::ops::RangeInclusive<usize> = 2..=25;
/// Even windows of these sizes are hardly asked for, and each takes half a megabyte.
const ODD_SIZES: [usize; 3] = [27, 29, 31];
/// For 64 bits.
const WIDE_SIZES: std::ops::RangeInclusive<usize> = 2..=21;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=generator");
    println!("cargo::rerun-if-changed=src/layout.rs");
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let avx2 = Machine { letter: 'y', registers: 16, bytes: 32, load: "vmovdqa", pair: true, fused: 300 };
    let avx2_masks = Machine { registers: 15, pair: false, ..avx2 };
    let avx512 = Machine { letter: 'z', registers: 32, bytes: 64, load: "vmovdqa64", ..avx2 };
    let narrow = [("u8", ["vpminub", "vpmaxub"]), ("i16", ["vpminsw", "vpmaxsw"]), ("i32", ["vpminsd", "vpmaxsd"])];
    let wide = ("i64", ["vpminsq", "vpmaxsq"]);
    let floats = ("f32", ["vminps", "vmaxps"]);
    let sets = [
        ("avx2", avx2, narrow.to_vec()),
        ("avx2", avx2_masks, vec![wide]),
        ("avx512", avx512, [&narrow[..], &[floats]].concat()),
        ("avx512", avx512, vec![wide]),
    ];
    for (level, machine, types) in sets {
        let sizes: Vec<_> = if types == [wide] { WIDE_SIZES.collect() } else { SIZES.chain(ODD_SIZES).collect() };
        let source = emit::source(&sizes, &machine);
        for (name, [min, max]) in types {
            let source = source.replace(asm::PAIR[0], min).replace(asm::PAIR[1], max);
            std::fs::write(Path::new(&folder).join(format!("{level}_{name}.rs")), source).expect("OUT_DIR is writable");
        }
    }
}
