//! Writes the networks of all sizes as Rust source; `src/lib.rs` includes it once for each vector type.

#[path = "generator/emit.rs"]
mod emit;
#[path = "generator/net.rs"]
mod net;
#[path = "generator/plan.rs"]
mod plan;

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=generator");
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let avx2 = "#[target_feature(enable = \"avx2\")]\n";
    let avx512 = "#[target_feature(enable = \"avx512f,avx512bw,avx512dq,avx512vl\")]\n";
    let files = [
        ("avx2.rs", emit::SIZES, avx2),
        ("avx2_few.rs", emit::FEW_SIZES, avx2),
        ("avx512.rs", emit::SIZES, avx512),
        ("avx512_few.rs", emit::FEW_SIZES, avx512),
    ];
    for (name, sizes, attribute) in files {
        std::fs::write(Path::new(&folder).join(name), emit::source(sizes, attribute)).expect("OUT_DIR is writable");
    }
}
