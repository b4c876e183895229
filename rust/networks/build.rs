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

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=generator");
    println!("cargo::rerun-if-changed=src/layout.rs");
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let avx2 = Machine { letter: 'y', registers: 16, bytes: 32, load: "vmovdqa", pair: None, fused: 120 };
    let avx512 = Machine { letter: 'z', registers: 32, bytes: 64, load: "vmovdqa64", pair: None, fused: 120 };
    let files = [
        ("avx2_u8.rs", avx2, Some(["vpminub", "vpmaxub"])),
        ("avx2_i16.rs", avx2, Some(["vpminsw", "vpmaxsw"])),
        ("avx2_i32.rs", avx2, Some(["vpminsd", "vpmaxsd"])),
        ("avx2_i64.rs", Machine { registers: 15, ..avx2 }, None),
        ("avx512_u8.rs", avx512, Some(["vpminub", "vpmaxub"])),
        ("avx512_i16.rs", avx512, Some(["vpminsw", "vpmaxsw"])),
        ("avx512_i32.rs", avx512, Some(["vpminsd", "vpmaxsd"])),
        ("avx512_i64.rs", avx512, Some(["vpminsq", "vpmaxsq"])),
    ];
    for (name, machine, pair) in files {
        let sizes = if name.ends_with("i32.rs") { emit::SIZES } else { emit::FEW_SIZES };
        let source = emit::source(sizes, &Machine { pair, ..machine });
        std::fs::write(Path::new(&folder).join(name), source).expect("OUT_DIR is writable");
    }
}
