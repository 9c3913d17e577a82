//! A certificate authority for one story.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "story authority");
        params.distinguished_name = name;
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub fn server(&self) -> (String, Zeroizing<String>) {
        self.leaf(vec!["localhost".into(), "127.0.0.1".into()], None, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, principal: &str) -> (String, Zeroizing<String>) {
        self.leaf(Vec::new(), Some(principal), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(
        &self,
        names: Vec<String>,
        uri: Option<&str>,
        usage: ExtendedKeyUsagePurpose,
    ) -> (String, Zeroizing<String>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
        (params.signed_by(&key, &self.issuer).unwrap().pem(), Zeroizing::new(key.serialize_pem()))
    }
}
