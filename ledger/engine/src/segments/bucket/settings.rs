//! Which bucket, with which key, and what is refused before anything is sent.
use std::{fmt, io, net::IpAddr, time::Duration};
use thiserror::Error;
use zeroize::Zeroizing;

/// Which bucket, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketConfig {
    /// The bucket's name. It must be there.
    pub bucket: String,
    /// The store's region; what a store without regions calls itself, often `us-east-1`.
    pub region: String,
    /// `https://host[:port]`; none: Amazon's of that region. Plain `http` is taken for a loopback address alone.
    pub endpoint: Option<String>,
    /// What the names of this store's objects begin with, without a slash at either end; may be empty.
    pub prefix: String,
    /// Who asks.
    pub key: BucketKey,
    /// Authorities for the endpoint's certificate, PEM, beside those of the system.
    pub ca_pem: Option<String>,
    /// How long one request may take: 8 MiB at most go up or come down in one.
    pub patience: Duration,
}

impl BucketConfig {
    /// Default of `patience`.
    pub const PATIENCE: Duration = Duration::from_secs(30);
}

/// A key to a bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKey {
    /// Its public half.
    pub id: String,
    /// Its secret half.
    pub secret: Zeroizing<String>,
    /// What stands beside a key that was lent for a time.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketKey(redacted)")
    }
}

/// Why a bucket cannot be set up. Nothing was asked of it yet.
#[derive(Debug, Error)]
pub enum BucketError {
    /// The endpoint is no address, or it is one to which secrets and blocks would go in the clear.
    #[error("`{endpoint}` is not `https://host[:port]` (`http` is for a loopback address alone)")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The name of the bucket is none.
    #[error("`{bucket}` is not the name of a bucket: letters, digits, `-` and `.`")]
    Name {
        /// What was given.
        bucket: String,
    },
    /// The prefix is no name.
    #[error("`{prefix}` is not a prefix: names of letters, digits, `-`, `_` and `.`, with `/` between them")]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// Region or key are empty or hold what a header cannot.
    #[error("the {what} is empty or holds what none may hold")]
    Letters {
        /// What it is of.
        what: &'static str,
    },
    /// The authorities' certificates do not read.
    #[error("the certificates of the authorities do not read")]
    Authorities(#[source] object_store::Error),
    /// The client refuses the rest.
    #[error("the bucket's settings are refused")]
    Client(#[source] object_store::Error),
    /// No thread could be started.
    #[error("no thread for the bucket")]
    Thread(#[source] io::Error),
}

impl BucketConfig {
    /// Whether it can be used as far as that can be seen from here.
    pub fn check(&self) -> Result<(), BucketError> {
        let named = |name: &str, more: &str| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
            !name.is_empty() && name.chars().all(letters) && !name.chars().all(|letter| letter == '.')
        };
        if !named(&self.bucket, "-.") {
            return Err(BucketError::Name { bucket: self.bucket.clone() });
        }
        if !self.prefix.is_empty() && !self.prefix.split('/').all(|name| named(name, "-_.")) {
            return Err(BucketError::Prefix { prefix: self.prefix.clone() });
        }
        if let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| !is_safe(endpoint)) {
            return Err(BucketError::Endpoint { endpoint: endpoint.clone() });
        }
        let token = self.key.session_token.as_ref().map_or("-", |token| token.as_str());
        let given = [
            ("region", self.region.as_str()),
            ("access key", &self.key.id),
            ("secret key", &self.key.secret),
            ("session token", token),
        ];
        match given
            .into_iter()
            .find(|(_, text)| !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.is_empty())
        {
            Some((what, _)) => Err(BucketError::Letters { what }),
            None => Ok(()),
        }
    }
}

/// Whether what goes to an endpoint is read by nobody on the way.
fn is_safe(endpoint: &str) -> bool {
    let (is_tls, rest) = match (endpoint.strip_prefix("https://"), endpoint.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return false,
    };
    let host = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if port.is_empty() || port.starts_with(':') => host,
        Some(_) => return false,
        None => rest.split_once(':').map_or(rest, |(host, _)| host),
    };
    let is_loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-:[]".contains(letter);
    !host.is_empty() && rest.chars().all(is_plain) && (is_tls || is_loopback)
}
