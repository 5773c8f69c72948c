//! Where libfastserve is: FASTSERVE_LIB_DIR, else pkg-config, else where the linker looks anyway.
use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=FASTSERVE_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    if env::var_os("CARGO_FEATURE_LOAD_DYNAMIC").is_some() {
        return;
    }
    println!("cargo:rustc-link-lib=dylib=fastserve");
    let folder = env::var("FASTSERVE_LIB_DIR").ok().or_else(from_pkg_config);
    if let Some(folder) = folder {
        println!("cargo:rustc-link-search=native={folder}");
        println!("cargo:lib_dir={folder}"); // DEP_FASTSERVE_LIB_DIR of dependent build scripts
    }
}

fn from_pkg_config() -> Option<String> {
    let output = Command::new("pkg-config").args(["--variable=libdir", "fastserve"]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !folder.is_empty()).then_some(folder)
}
