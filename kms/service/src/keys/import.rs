//! A key made elsewhere, a person's or an app's: with proof of possession, sealed to the service; or its own, of mode `self`,
//! whose private part never comes here.

use std::sync::Arc;

use keyward_crypto::{ImportBinding, SigningKey};
use keyward_domain::{
    AccountId, Alias, Challenge, Code, Coded as _, Mode, Purpose, Role,
    challenge::{self, ChallengeError},
    scheme::{self, PublicKey, Scheme},
};
use keyward_policies::Verb;
use keyward_store::{Challenge as Row, Change, Custody as Place, Taken};

use super::{Binding, Proven, scheme_named};
use crate::{
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    hosted::FIRST_VERSION,
    keybook::KnownKey,
    once::{Once, request_hash},
};

/// What the client needs to make and seal a key.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) account: AccountId,
    pub(crate) nonce: [u8; 32],
    pub(crate) not_after: u64,
    pub(crate) sealing_key: [u8; 32],
}

/// What the client made.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    pub(crate) alias: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) public_key: &'a [u8],
    pub(crate) nonce: [u8; 32],
    pub(crate) not_after: u64,
    pub(crate) proof: &'a [u8],
    /// Hosted, or the holder's own.
    pub(crate) mode: Mode,
    /// Empty for mode `self`.
    pub(crate) sealed: &'a [u8],
    /// Of the version before, where it has mode `self`; else empty.
    pub(crate) consent: &'a [u8],
    pub(crate) mark: &'a [u8],
}

impl Import<'_> {
    /// The key with the importer's own proof of it.
    pub(super) fn proven(&self, public_key: PublicKey, place: Place) -> Proven {
        let (nonce, not_after, proof) = (self.nonce, self.not_after, self.proof.to_vec());
        let consent = Some(self.consent.to_vec()).filter(|consent| !consent.is_empty());
        Proven { public_key, place, claims: Vec::new(), nonce, not_after, proof, consent, pin: None }
    }

    /// What the request is known by.
    pub(super) fn fields(&self) -> Vec<&[u8]> {
        let mode: &[u8] = self.mode.name().as_bytes();
        // Requests for hosted keys are known as before there was another mode.
        let mode = Some(mode).filter(|_| self.mode != Mode::Hosted);
        [self.public_key, &self.nonce[..]].into_iter().chain(mode).collect()
    }
}

/// The mode that a request names.
pub(crate) fn mode_named(name: &str) -> Result<Mode, Failure> {
    match name {
        "" => Ok(Mode::Hosted),
        name => match Mode::from_name(name) {
            Some(mode @ (Mode::Hosted | Mode::Own)) => Ok(mode),
            Some(Mode::Linked | Mode::Shared) | None => Err(Failure::new(
                Code::InvalidArgument,
                format!("`{name}` is no mode of a key that is handed in"),
            )),
        },
    }
}

impl Custody {
    /// A challenge for one import.
    pub(crate) async fn prepare_import(&self, caller: &Caller, scheme: &str) -> Result<Prepared, Failure> {
        let account = self.importer(caller).await?;
        let scheme = scheme_named(scheme)?;
        if matches!(scheme, scheme::Scheme::RsaPss | scheme::Scheme::RsaPkcs1 | scheme::Scheme::Sm2) {
            return Err(Failure::new(Code::SchemeNotHosted, format!("`{scheme}` keys are not hosted")));
        }
        let (now_ms, height) = (self.clock.now_ms(), self.ledger.height());
        let made = Challenge::new(Purpose::Key, account, random()?, now_ms, height);
        let row = Row {
            nonce: made.nonce,
            account: account.0,
            scheme: scheme.code(),
            not_after: made.not_after,
            expires_ms: made.expires_ms,
        };
        let most = challenge::OPEN_MAX;
        let keep = Change::KeepChallenges { account: account.0, newest: row.nonce, most };
        self.store.apply(vec![Change::PutChallenge(row), keep]).await?;
        let sealing_key = self.sealing.public();
        Ok(Prepared { account, nonce: made.nonce, not_after: made.not_after, sealing_key })
    }

    /// Takes the key in; returns it with the receipt of its binding.
    pub(crate) async fn import_key(
        &self,
        caller: &Caller,
        import: &Import<'_>,
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let account = self.importer(caller).await?;
        check_mode(import)?;
        let alias = Alias::parse(import.alias).map_err(Failure::of)?;
        let scheme = scheme_named(import.scheme)?;
        let public_key = public_key_of(scheme, import.public_key)?;
        let hash = request_hash("key.import", &[&[import.alias.as_bytes()][..], &import.fields()].concat());
        let name = match self.once(caller, import.mark, hash).await? {
            Once::Done(receipt) => return Ok((self.done_key(account, &alias).await?, receipt)),
            Once::Fresh(name) => name,
        };
        let place = async {
            self.check_alias(account, &alias).await?;
            self.take_in(account, &public_key, import, None).await
        };
        match place.await {
            Ok(place) => {
                let key = import.proven(public_key, place);
                self.bind(Binding { account, alias, key, name, previous: None }).await
            }
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    /// The account that keys are imported into: a person's within a session, or the calling app's own.
    async fn importer(&self, caller: &Caller) -> Result<AccountId, Failure> {
        if caller.person.is_none() && caller.principal.role() == Role::App {
            let (caller, account) = self.with_account(caller, Verb::KeyImport).await?;
            self.authorise_account(&caller, Verb::KeyImport, account)?;
            return Ok(account);
        }
        let account = caller.person()?.account;
        self.authorise_account(caller, Verb::KeyImport, account)?;
        Ok(account)
    }

    /// Uses the challenge up, and checks the proof over it.
    async fn answer(
        &self,
        account: AccountId,
        key: &PublicKey,
        import: &Import<'_>,
        previous: Option<&KnownKey>,
    ) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        let row = match self.store.take_challenge(import.nonce, now_ms).await? {
            Taken::Live(row) => row,
            Taken::Expired => return Err(Failure::new(Code::ChallengeExpired, "the challenge expired")),
            Taken::Unknown => return Err(Failure::of(ChallengeError::Replayed)),
        };
        let challenge = Challenge {
            purpose: Purpose::Key,
            account: AccountId(row.account),
            nonce: row.nonce,
            not_after: row.not_after,
            expires_ms: row.expires_ms,
        };
        let answered = challenge
            .answer(Purpose::Key, &account, now_ms, self.ledger.height())
            .map_err(|error| Failure::because(error.code(), error.to_string(), error))?;
        if answered.not_after != import.not_after || row.scheme != key.scheme().code() {
            return Err(Failure::new(Code::ProofInvalid, "the proof is over another challenge"));
        }
        let replaced = previous.map(|previous| previous.public_key.id());
        let message = self.possession_message(
            account,
            import.mode,
            key,
            &answered.nonce,
            answered.not_after,
            replaced.as_ref(),
        );
        scheme::verify(key, &message, import.proof).map_err(|error| {
            Failure::because(Code::ProofInvalid, "the proof of possession does not verify", error)
        })?;
        match previous.filter(|previous| previous.row.custody == Place::Own) {
            Some(previous) => {
                scheme::verify(&previous.public_key, &message, import.consent).map_err(|error| {
                    Failure::because(Code::ProofInvalid, "the present version does not consent", error)
                })
            }
            None if import.consent.is_empty() => Ok(()),
            None => Err(Failure::new(Code::InvalidArgument, "no present version is to consent")),
        }
    }

    /// Uses the challenge up, opens what the client sealed, compares it with the public key, and seals it for the
    /// database: as the first of its alias, or as the version after `previous`.
    pub(super) async fn take_in(
        &self,
        account: AccountId,
        key: &PublicKey,
        import: &Import<'_>,
        previous: Option<&KnownKey>,
    ) -> Result<Place, Failure> {
        self.answer(account, key, import, previous).await?;
        if import.mode == Mode::Own {
            return Ok(Place::Own);
        }
        let chain_id = self.ledger.chain_id();
        let binding =
            ImportBinding { chain_id: &chain_id, account: &account.0, nonce: &import.nonce, public_key: key };
        let invalid = "the sealed private key does not open under this challenge";
        let secret = self
            .sealing
            .open(&binding, import.sealed)
            .map_err(|error| Failure::because(Code::SealedKeyInvalid, invalid, error))?;
        let private =
            secret.expose(|bytes| SigningKey::from_secret(key.scheme(), bytes)).map_err(|error| {
                Failure::because(Code::SealedKeyInvalid, "what was sealed is no private key", error)
            })?;
        if private.public_key() != key {
            return Err(Failure::new(
                Code::SealedKeyInvalid,
                "what was sealed is not this public key's private key",
            ));
        }
        let version = previous.map_or(FIRST_VERSION, |previous| previous.row.version.saturating_add(1));
        self.seal_key(&private, account, version).await
    }
}

/// Keys of mode `self` bring no private part.
pub(super) fn check_mode(import: &Import<'_>) -> Result<(), Failure> {
    match import.mode {
        Mode::Own if !import.sealed.is_empty() => Err(Failure::new(
            Code::InvalidArgument,
            "the private part of a key of mode `self` is not handed in",
        )),
        _ => Ok(()),
    }
}

/// The public key that a client hands in.
pub(super) fn public_key_of(scheme: Scheme, bytes: &[u8]) -> Result<PublicKey, Failure> {
    PublicKey::parse(scheme, bytes).map_err(|error| {
        let message = format!("the public key is not a canonical one: {error}");
        Failure::because(Code::PublicKeyInvalid, message, error)
    })
}
