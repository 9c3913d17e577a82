//! How fast the token signs, one session on one core, as an application calls it: `C_SignInit` and `C_Sign` on
//! the safe layer, the store in a temporary folder. Prints one line per mechanism.
#![allow(clippy::print_stdout, reason = "a command-line example")]

use std::time::Instant;

use cryptoki_sys as sys;
use hsm_sim::{CKM_KEYWARD_BIP340, Mechanism, Module, Parameter, Result, Role, Room, Template};
use zeroize::Zeroizing;

const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let module = Module::new(folder.path());
    module.init_token(0, b"officer", [b' '; 32])?;
    let session = module.open_session(0, true)?;
    module.login(session, Role::Officer, b"officer")?;
    module.init_pin(session, b"user-pin")?;
    module.logout(session)?;
    let start = Instant::now();
    module.login(session, Role::User, b"user-pin")?;
    println!("login                {:>10.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let curve = |params: &[u8]| vec![(sys::CKA_EC_PARAMS, params.to_vec())];
    let bits = |bits: u64| vec![(sys::CKA_MODULUS_BITS, bits.to_ne_bytes().to_vec())];
    let ec = sys::CKM_EC_KEY_PAIR_GEN;
    measure(&module, session, "secp256k1 ECDSA", ec, curve(SECP256K1), sys::CKM_ECDSA, 5000)?;
    measure(&module, session, "secp256k1 BIP340", ec, curve(SECP256K1), CKM_KEYWARD_BIP340, 5000)?;
    measure(&module, session, "P-256 ECDSA", ec, curve(P256), sys::CKM_ECDSA, 5000)?;
    let edwards = sys::CKM_EC_EDWARDS_KEY_PAIR_GEN;
    measure(&module, session, "Ed25519", edwards, curve(ED25519), sys::CKM_EDDSA, 5000)?;
    let rsa = sys::CKM_RSA_PKCS_KEY_PAIR_GEN;
    measure(&module, session, "RSA-2048 PKCS#1", rsa, bits(2048), sys::CKM_SHA256_RSA_PKCS, 100)?;
    measure(&module, session, "RSA-4096 PKCS#1", rsa, bits(4096), sys::CKM_SHA256_RSA_PKCS, 20)?;
    Ok(())
}

fn measure(
    module: &Module,
    session: u64,
    name: &str,
    generation: u64,
    public: Vec<(u64, Vec<u8>)>,
    signing: u64,
    rounds: u32,
) -> Result<()> {
    let on_token = || (sys::CKA_TOKEN, Zeroizing::new(vec![1]));
    let mut public: Template =
        public.into_iter().map(|(kind, value)| (kind, Zeroizing::new(value))).collect();
    public.push(on_token());
    let start = Instant::now();
    let mechanism = |kind| Mechanism { kind, parameter: Parameter::None };
    let (_, key) = module.generate_key_pair(session, &mechanism(generation), &public, &vec![on_token()])?;
    let made = start.elapsed().as_secs_f64() * 1e3;
    let mut digest = [0_u8; 32];
    let start = Instant::now();
    for round in 0..rounds {
        digest.iter_mut().zip(round.to_be_bytes()).for_each(|(to, from)| *to = from);
        module.sign_init(session, &mechanism(signing), key)?;
        module.sign(session, &digest, Room::Query)?;
        module.sign(session, &digest, Room::Bytes(512))?;
    }
    let each = start.elapsed().as_secs_f64() / f64::from(rounds);
    println!(
        "{name:<20} {:>10.0} signatures/s, {:.1} us each, key made in {made:.1} ms",
        1.0 / each,
        each * 1e6
    );
    Ok(())
}
