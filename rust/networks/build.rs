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

/// Sides of the windows; smaller ones are sorted along the rows instead. At 31 networks are still faster than histograms of columns (1.3 times for 32 bits, 3.6 times for
/// 8), but each size takes 0.8 MB of the library.
const SIZES: std::ops::RangeInclusive<usize> = 6..=25;
/// Even windows of these sizes are hardly asked for.
const ODD_SIZES: [usize; 3] = [27, 29, 31];
/// For 64 bits, and for floats that are compared as such. An index means the same size as in the tables of all sizes.
const FEW_SIZES: std::ops::RangeInclusive<usize> = 6..=21;

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
        ("avx512", avx512, narrow.to_vec()),
        ("avx512", avx512, vec![wide, floats]),
    ];
    for (level, machine, types) in sets {
        let sizes: Vec<_> = if types[0] == wide { FEW_SIZES.collect() } else { SIZES.chain(ODD_SIZES).collect() };
        let source = emit::source(&sizes, &machine);
        for (name, [min, max]) in types {
            let source = source.replace(asm::PAIR[0], min).replace(asm::PAIR[1], max);
            std::fs::write(Path::new(&folder).join(format!("{level}_{name}.rs")), source).expect("OUT_DIR is writable");
        }
    }
}
