//! Every form against other people's vectors and other people's programs.

use std::path::Path;
use std::process::Command;

use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};

use super::*;
use crate::SigningKey;

fn rsa(scheme: Scheme) -> PublicKey {
    let pkcs8 = hex::decode(include_str!("../../../../tests/vectors/test-rsa-2048.hex").trim()).unwrap();
    PublicKey::parse(scheme, RsaKeyPair::from_pkcs8(&pkcs8).unwrap().public_key().as_ref()).unwrap()
}

fn of(scheme: Scheme) -> PublicKey {
    match scheme {
        Scheme::RsaPss | Scheme::RsaPkcs1 => rsa(scheme),
        Scheme::Sm2 => PublicKey::from_sec1(
            scheme,
            // GB/T 32918.5-2017, annex A.
            &hex::decode("0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13").unwrap(),
        )
        .unwrap(),
        _ => SigningKey::generate(scheme).unwrap().public_key().clone(),
    }
}

fn text(key: &PublicKey, format: ExportFormat) -> String {
    String::from_utf8(export(key, format, Network::Mainnet).unwrap()).unwrap()
}

#[test]
fn every_scheme_has_its_forms_and_no_others() {
    use ExportFormat::{AddressEthereum, AddressP2tr, AddressP2wpkh, Jwk, OpenSsh, SpkiDer, SpkiPem};
    for scheme in Scheme::ALL {
        let has: &[ExportFormat] = match scheme {
            Scheme::EcdsaSecp256k1 => &[SpkiPem, SpkiDer, Jwk, AddressEthereum, AddressP2wpkh],
            Scheme::Bip340 => &[AddressP2tr],
            Scheme::EcdsaP256 | Scheme::Ed25519 | Scheme::RsaPss | Scheme::RsaPkcs1 => {
                &[SpkiPem, SpkiDer, Jwk, OpenSsh]
            }
            Scheme::Sm2 => &[SpkiPem, SpkiDer],
        };
        for format in ExportFormat::ALL {
            let exported = export(&of(scheme), format, Network::Testnet);
            match has.contains(&format) {
                true => assert!(!exported.unwrap().is_empty()),
                false => assert_eq!(exported.unwrap_err(), ExportError { format, scheme }),
            }
            assert_eq!(ExportFormat::from_name(format.name()), Some(format));
        }
    }
    assert!(ExportFormat::from_name("pem").is_none());
}

#[test]
fn thumbprints_are_those_of_rfc_7638_and_rfc_8037() {
    // RFC 8037, appendix A.2 and A.3.
    let x = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    let jwk = text(&PublicKey::parse(Scheme::Ed25519, &x).unwrap(), ExportFormat::Jwk);
    let golden = r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","use":"sig"}"#;
    assert_eq!(jwk, golden);
    // RFC 7638, section 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let modulus = Base64UrlUnpadded::decode_vec(n).unwrap();
    let key = PublicKey::from_rsa(Scheme::RsaPkcs1, &modulus, &[1, 0, 1]).unwrap();
    let jwk = text(&key, ExportFormat::Jwk);
    assert!(jwk.starts_with(&format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}","alg":"RS256","#)), "{jwk}");
    assert!(jwk.contains(r#""kid":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs""#), "{jwk}");
}

#[test]
fn p256_jwk_is_that_of_rfc_7517() {
    // RFC 7517, appendix A.1.
    let x = "30a0424cd21c2944838a2d75c92b37e76ea20d9f00893a3b4eee8a3c0aafec3e";
    let y = "e04b65e92456d9888b52b379bdfbd51ee869ef1f0fc65b6659695b6cce081723";
    let point = hex::decode(format!("04{x}{y}")).unwrap();
    let jwk = text(&PublicKey::from_sec1(Scheme::EcdsaP256, &point).unwrap(), ExportFormat::Jwk);
    assert!(
        jwk.starts_with(
            r#"{"crv":"P-256","kty":"EC","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","alg":"ES256""#
        ),
        "{jwk}"
    );
}

/// Whether the caller of the tests named a program that is not installed (`tests/run --without`).
pub(crate) fn left_out(program: &str) -> bool {
    std::env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == program))
}

/// Whether the program ended well, and what it said.
fn program(name: &str, arguments: &[&str], file: &Path) -> (bool, String) {
    let needed = format!("`{name}` is needed, or leave it out: `tests/run --without`");
    let output = Command::new(name).args(arguments).arg(file).output().expect(&needed);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_reads_every_exported_key_as_the_same_key() {
    if left_out("openssl") {
        println!("left out: openssl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for scheme in Scheme::ALL {
        let key = of(scheme);
        let Ok(der) = export(&key, ExportFormat::SpkiDer, Network::Mainnet) else { continue };
        let (pem_file, der_file) = (folder.path().join("pem"), folder.path().join("der"));
        std::fs::write(&pem_file, text(&key, ExportFormat::SpkiPem)).unwrap();
        std::fs::write(&der_file, &der).unwrap();
        let read = |form: &str, file: &Path| {
            let arguments = ["pkey", "-pubin", "-inform", form, "-text", "-noout", "-in"];
            program("openssl", &arguments, file)
        };
        let (ok, from_pem) = read("PEM", &pem_file);
        assert!(ok, "{scheme}: {from_pem}");
        assert_eq!(read("DER", &der_file), (true, from_pem.clone()), "{scheme}");
        let digits: String = from_pem.chars().filter(char::is_ascii_hexdigit).collect();
        let bytes = key.to_uncompressed().map(|point| point.to_vec());
        let bytes = bytes.or(key.rsa_parts().map(|(n, _)| n.to_vec())).unwrap_or(key.as_bytes().to_vec());
        assert!(digits.contains(&hex::encode(bytes)), "{scheme}: {from_pem}");
    }
}

#[test]
fn ssh_keygen_reads_every_exported_key() {
    if left_out("openssh-client") {
        println!("left out: openssh-client");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (scheme, kind) in
        [(Scheme::Ed25519, "ED25519"), (Scheme::EcdsaP256, "ECDSA"), (Scheme::RsaPss, "RSA")]
    {
        let file = folder.path().join("key.pub");
        let line = text(&of(scheme), ExportFormat::OpenSsh);
        std::fs::write(&file, &line).unwrap();
        let (ok, told) = program("ssh-keygen", &["-l", "-f"], &file);
        assert!(ok && told.contains(&format!("({kind})")), "{told}");
        // The fingerprint is the hash of the blob that stands in the line.
        use base64ct::{Base64, Base64Unpadded, Encoding as _};
        use sha2::Digest as _;
        let blob = Base64::decode_vec(line.split_once(' ').unwrap().1).unwrap();
        let fingerprint = Base64Unpadded::encode_string(&sha2::Sha256::digest(blob));
        assert!(told.contains(&format!("SHA256:{fingerprint}")), "{told}");
    }
}

#[test]
fn openssh_line_is_that_of_ssh_keygen() {
    // What `ssh-keygen -y` says of the key of RFC 8032, section 7.1, test 1.
    let x = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    let line = text(&PublicKey::parse(Scheme::Ed25519, &x).unwrap(), ExportFormat::OpenSsh);
    assert_eq!(line, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea");
}
