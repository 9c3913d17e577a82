//! Compiles the .proto files with protox, so that no protoc needs to be installed.
use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "keyward/ledger/v1/ledger.proto",
        "keyward/v1/keyward.proto",
        "keyward/v1/agent.proto",
        "keyward/v1/keeper.proto",
        "keyward/v1/vault.proto",
        "keyward/v1/delegation.proto",
        "keyward/v1/approvals.proto",
        "keyward/v1/policies.proto",
        "keyward/v1/risk.proto",
        "keyward/v1/cosign.proto",
        "keyward/v1/shared.proto",
        "keyward/v1/association.proto",
        "keyward/v1/addresses.proto",
        "keyward/v1/audit.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let set = protox::compile(files, ["."])?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), set.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
