//! A bucket of an S3-compatible store as a shelf.
//!
//! Whoever runs the store may lie, stop half-way or be somebody else: every request has a time limit, an answer is
//! read no further than it was asked for, and what it says is checked by whoever reads. An object is whole or not
//! there: long ones go up in parts that count only once all of them are named.
mod amended;
mod settings;

pub use settings::{BucketConfig, BucketError, BucketKey};

use super::shelf::{Shelf, ShelfMark};
use amended::Amended;
use futures::TryStreamExt as _;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore,
    ObjectStoreExt as _, PutMode, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use std::{
    error::Error as _,
    fmt,
    io::{self, Read},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

const MARK_OBJECT: &str = "keyward-cold";
/// Written twice before a mark is left, to see whether the store keeps conditions.
const TEST_OBJECT: &str = "keyward-cold-test";
/// What goes up or comes down at a time.
const PART_BYTES: usize = 8 << 20;
/// No segment is longer, whatever a store says.
const LENGTH_MAX: u64 = (4 << 30) - 1;
/// How long one who reads a record waits: a block of 4 MiB comes in time over a link of 4 Mbit/s.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// Objects that are looked at before a prefix is taken.
const LISTED_MAX: usize = 1000;
/// Letters of a stranger's error that are passed on.
const SAID_MAX: usize = 300;

/// A bucket as a shelf. All objects below its prefix belong to one store.
pub struct Bucket {
    name: String,
    prefix: String,
    store: AmazonS3,
    patience: Duration,
    /// One thread that moves bytes; callers wait on threads of their own. Empty once dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Where it is dropped nobody may wait for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    /// A bucket that is asked for nothing yet.
    pub fn new(config: &BucketConfig) -> Result<Self, BucketError> {
        config.check()?;
        let mut client = ClientOptions::new()
            .with_timeout(config.patience)
            .with_connect_timeout(config.patience)
            .with_allow_http(
                config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")),
            );
        if let Some(pem) = &config.ca_pem {
            let authorities =
                Certificate::from_pem_bundle(pem.as_bytes()).map_err(BucketError::Authorities)?;
            client = authorities.into_iter().fold(client, ClientOptions::with_root_certificate);
        }
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(1), ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: 3, retry_timeout: config.patience };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.key.id)
            .with_secret_access_key(config.key.secret.as_str())
            .with_client_options(client)
            .with_retry(retry);
        if let Some(token) = &config.key.session_token {
            builder = builder.with_token(token.as_str());
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("ledger-bucket").enable_all();
        let name = [config.bucket.as_str(), &config.prefix].join("/");
        Ok(Self {
            name: format!("s3://{}", name.trim_end_matches('/')),
            prefix: config.prefix.clone(),
            store: builder.build().map_err(BucketError::Client)?,
            patience: config.patience,
            runtime: Some(runtime.build().map_err(BucketError::Thread)?),
        })
    }

    fn place(&self, name: &str) -> Path {
        Path::from([self.prefix.as_str(), name].join("/"))
    }

    fn segment(&self, segment: u32) -> Path {
        self.place(&super::file_name(segment))
    }

    /// Waits for an answer, on the caller's thread.
    fn wait<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> io::Result<T> {
        // INVARIANT: it is there until this is dropped.
        let runtime = self.runtime.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let limited = async { tokio::time::timeout(self.patience, work).await };
        match runtime.block_on(limited) {
            Ok(done) => done.map_err(said),
            Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "the store does not answer")),
        }
    }

    /// A range of an object, and no byte more.
    async fn range(&self, place: &Path, offset: u64, buffer: &mut [u8]) -> object_store::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        let options = GetOptions { range: Some(GetRange::Bounded(offset..end)), ..GetOptions::default() };
        let mut bytes = self.store.get_opts(place, options).await?.into_stream();
        let mut filled = 0;
        while let Some(piece) = bytes.try_next().await? {
            let room = buffer.get_mut(filled..).and_then(|room| room.get_mut(..piece.len()));
            let Some(room) = room else {
                let source = "more was answered than was asked for".into();
                return Err(Error::Generic { store: "S3", source });
            };
            room.copy_from_slice(&piece);
            filled += piece.len();
        }
        Ok(filled)
    }

    fn put_new(&self, place: &Path, bytes: &[u8]) -> io::Result<()> {
        let create = PutMode::Create.into();
        self.wait(self.store.put_opts(place, bytes.to_vec().into(), create)).map(|_put| ())
    }

    /// Two stores must not both take a prefix: a store that overwrites what it was told not to is none for us.
    fn keeps_conditions(&self) -> io::Result<()> {
        let place = self.place(TEST_OBJECT);
        self.wait(self.store.put(&place, b"keyward".to_vec().into()))?;
        match self.put_new(&place, b"overwritten") {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let what =
                    "the store overwrites what `If-None-Match: *` protects: two nodes could take one prefix";
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
        }
        self.wait(self.store.delete(&place))
    }

    fn refuse_segments(&self) -> io::Result<()> {
        let prefix = Path::from(self.prefix.as_str());
        // What lies deeper is another prefix's.
        let is_segment = |place: &Path| {
            let mut names = place.prefix_match(&prefix).into_iter().flatten();
            let name = names.next().filter(|_| names.next().is_none());
            name.is_some_and(|name| name.as_ref().ends_with(".segment"))
        };
        let listed = async {
            let mut objects = self.store.list(Some(&prefix));
            for _ in 0..LISTED_MAX {
                match objects.try_next().await? {
                    Some(object) if is_segment(&object.location) => return Ok(true),
                    Some(_) => {}
                    None => break,
                }
            }
            Ok(false)
        };
        match self.wait(listed)? {
            true => Err(io::Error::other("segments without a mark lie there; name another prefix")),
            false => Ok(()),
        }
    }

    /// The parts of a long object, the first of which was read.
    fn parts(
        &self,
        upload: &mut dyn MultipartUpload,
        first: Vec<u8>,
        body: &mut dyn Read,
    ) -> io::Result<u64> {
        let (mut part, mut bytes) = (first, 0);
        while !part.is_empty() {
            bytes += part.len() as u64;
            self.wait(upload.put_part(part.into()))?;
            // Read outside of the wait: a body may wait for itself.
            part = next_part(body)?;
        }
        self.wait(upload.complete()).map(|_put| bytes)
    }
}

/// As much as goes up at a time; less at the end alone.
fn next_part(body: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    body.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part)
}

/// What a stranger says goes into logs: one line, cut off.
fn said(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let line = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    io::Error::new(kind, line.take(SAID_MAX).collect::<String>())
}

impl Shelf for Bucket {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn patience(&self) -> Duration {
        self.patience.min(READ_PATIENCE)
    }

    fn mark(&self) -> io::Result<Option<ShelfMark>> {
        let (mut bytes, place) = ([0; 64], self.place(MARK_OBJECT));
        match self.wait(self.range(&place, 0, &mut bytes)) {
            Ok(filled) => {
                let mark = bytes.get(..filled).unwrap_or_default().try_into();
                mark.map(Some).map_err(|_| io::Error::other("the mark there is none of a store"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_mark(&self, mark: &ShelfMark) -> io::Result<()> {
        self.refuse_segments()?;
        self.keeps_conditions()?;
        match self.put_new(&self.place(MARK_OBJECT), mark) {
            // An answer that was lost on the way: it is ours.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.mark()? == Some(*mark) => {
                Ok(())
            }
            put => put,
        }
    }

    fn put(&self, segment: u32, body: &mut dyn Read) -> io::Result<u64> {
        let (place, first) = (self.segment(segment), next_part(body)?);
        if first.len() < PART_BYTES {
            let bytes = first.len() as u64;
            return self.wait(self.store.put(&place, first.into())).map(|_put| bytes);
        }
        let mut upload = self.wait(self.store.put_multipart(&place))?;
        let put = self.parts(&mut *upload, first, body);
        if put.is_err() {
            // Parts that stay all the same are no object; the bucket's own rules clear them away.
            let _stays = self.wait(upload.abort());
        }
        put
    }

    fn length(&self, segment: u32) -> io::Result<u64> {
        match self.wait(self.store.head(&self.segment(segment)))?.size {
            size if size > LENGTH_MAX => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "what lies there is longer than any segment"))
            }
            size => Ok(size),
        }
    }

    fn read(&self, segment: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (place, length) = (self.segment(segment), buffer.len());
        if length == 0 {
            // A range of no bytes is none.
            return self.length(segment).map(|_length| ());
        }
        match self.wait(self.range(&place, offset, buffer)) {
            Ok(filled) if filled == length => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            // Stores do not agree on what is said past an end.
            other => {
                if self.length(segment)? < offset.saturating_add(length as u64) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                match other {
                    Ok(filled) if filled < length => {
                        Err(io::Error::other("less was answered than was asked for"))
                    }
                    other => other.map(|_filled| ()),
                }
            }
        }
    }

    fn amend(&self, segment: u32, patches: &[(u64, Vec<u8>)]) -> io::Result<()> {
        let mut body = Amended::new(self, segment, patches)?;
        let mut body = io::BufReader::with_capacity(PART_BYTES, &mut body);
        self.put(segment, &mut body).map(|_bytes| ())
    }
}
