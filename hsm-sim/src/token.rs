//! One token: its file, its PINs, who is logged in, and the objects that this process may see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_FLAGS, CK_OBJECT_HANDLE};
use zeroize::Zeroizing;

use crate::codec::Reader;
use crate::error::{Damage, Error, Refusal, Result};
use crate::image::{Image, OBJECTS_MAX, Objects, VERSION, decode_objects, encode_objects};
use crate::object::Object;
use crate::seal::{Role, TokenKey, Wrap, random};
use crate::store::{Guard, Home, Stamp};

/// Wrong PINs in a row until a PIN is locked.
pub const PIN_FAILURES_MAX: u8 = 5;
/// Lengths of a PIN, in bytes.
pub const PIN_BYTES: std::ops::RangeInclusive<usize> = 4..=255;

/// Numbers for sessions and objects: never zero, never given twice.
#[derive(Debug, Clone)]
pub(crate) struct Handles(Arc<AtomicU64>);

impl Handles {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Whether the token is still the one that sessions were opened on.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Freshness {
    Same,
    /// Another process initialised it for the first time.
    Made,
    /// Another process initialised it anew or removed its file.
    Replaced,
}

#[derive(Debug)]
struct Login {
    role: Role,
    key: TokenKey,
}

/// A token in its slot.
#[derive(Debug)]
pub(crate) struct Token {
    home: Home,
    handles: Handles,
    seen: Option<Stamp>,
    image: Option<Image>,
    login: Option<Login>,
    /// Public objects, and the private ones while the user is logged in.
    objects: Objects,
    numbers: BTreeMap<CK_OBJECT_HANDLE, u64>,
}

impl Token {
    pub(crate) fn new(folder: &Path, slot: u64, handles: Handles) -> Self {
        Self {
            home: Home::new(folder, slot),
            handles,
            seen: None,
            image: None,
            login: None,
            objects: Objects::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Looks whether the file was replaced, and reads it if so. Costs one `stat` if not.
    pub(crate) fn refresh(&mut self) -> Result<Freshness> {
        if self.home.stamp()? == self.seen { Ok(Freshness::Same) } else { self.reload() }
    }

    fn reload(&mut self) -> Result<Freshness> {
        let loaded = self.home.load()?;
        self.take_up(loaded)
    }

    fn take_up(&mut self, loaded: Option<(Stamp, Image)>) -> Result<Freshness> {
        let known = self.image.as_ref().map(|image| image.incarnation);
        let now = loaded.as_ref().map(|(_, image)| image.incarnation);
        let replaced = known.is_some() && known != now;
        if replaced {
            self.login = None;
            // Numbers start anew with a token, handles do not.
            self.numbers.clear();
        }
        let (stamp, image) = loaded.unzip();
        let objects = match (&image, &self.login) {
            (Some(image), Some(Login { role: Role::User, key })) => self.whole(key, image)?,
            (Some(image), _) => listed(image),
            (None, _) => Objects::new(),
        };
        self.image = image;
        self.seen = stamp;
        self.install(objects);
        Ok(match (replaced, known.is_none() && now.is_some()) {
            (true, _) => Freshness::Replaced,
            (false, true) => Freshness::Made,
            (false, false) => Freshness::Same,
        })
    }

    /// Every object, public or private.
    fn whole(&self, key: &TokenKey, image: &Image) -> Result<Objects> {
        let opened = open_objects(key, image);
        let private = opened.map_err(|source| Error::Damaged { path: self.home.path(), source })?;
        let mut objects = image.public.clone();
        // The private half of a public secret key takes the place of its public half.
        objects.extend(private);
        image.upgrade(&mut objects);
        Ok(objects)
    }

    /// Takes the objects over; those known keep their handle and, if unchanged, their ready key.
    fn install(&mut self, mut objects: Objects) {
        for (number, object) in &mut objects {
            match self.objects.get(number) {
                Some(known) if known.attributes() == object.attributes() => *object = Arc::clone(known),
                _ => {}
            }
        }
        self.numbers.retain(|_, number| objects.contains_key(number));
        let named: BTreeSet<u64> = self.numbers.values().copied().collect();
        for number in objects.keys().filter(|number| !named.contains(number)) {
            self.numbers.insert(self.handles.next(), *number);
        }
        self.objects = objects;
    }

    pub(crate) fn is_initialised(&self) -> bool {
        self.image.is_some()
    }

    pub(crate) fn label(&self) -> [u8; 32] {
        self.image.as_ref().map_or([b' '; 32], |image| image.label)
    }

    pub(crate) fn serial(&self) -> [u8; 16] {
        self.image.as_ref().map_or([b' '; 16], |image| image.serial)
    }

    /// The flags of `CK_TOKEN_INFO`.
    pub(crate) fn flags(&self) -> CK_FLAGS {
        let always = sys::CKF_RNG | sys::CKF_LOGIN_REQUIRED;
        let Some(image) = &self.image else { return always };
        let officer = [sys::CKF_SO_PIN_COUNT_LOW, sys::CKF_SO_PIN_FINAL_TRY, sys::CKF_SO_PIN_LOCKED];
        let user = [sys::CKF_USER_PIN_COUNT_LOW, sys::CKF_USER_PIN_FINAL_TRY, sys::CKF_USER_PIN_LOCKED];
        let mut flags = always | sys::CKF_TOKEN_INITIALIZED | failure_flags(&image.officer, officer);
        if let Some(wrap) = &image.user {
            flags |= sys::CKF_USER_PIN_INITIALIZED | failure_flags(wrap, user);
        }
        flags
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.login.as_ref().map(|login| login.role)
    }

    /// Makes the token, or makes it anew if `pin` is its security officer's.
    pub(crate) fn initialise(&mut self, pin: &[u8], label: [u8; 32]) -> Result<()> {
        let guard = self.home.lock()?;
        self.reload()?;
        if self.image.is_some() {
            self.authenticate(&guard, Role::Officer, pin)?;
        } else {
            check_pin(pin)?;
        }
        let key = TokenKey::generate()?;
        let incarnation = random()?;
        let image = Image {
            version: VERSION,
            generation: self.image.as_ref().map_or(0, |image| image.generation),
            incarnation,
            serial: self.image.as_ref().map_or_else(new_serial, |image| Ok(image.serial))?,
            label,
            officer: key.wrap(pin, Role::Officer, &incarnation)?,
            user: None,
            next_object: 1,
            public: Objects::new(),
            sealed: Vec::new(),
        };
        self.login = None;
        self.install(Objects::new());
        self.save(&guard, image)
    }

    pub(crate) fn login(&mut self, role: Role, pin: &[u8]) -> Result<()> {
        let guard = self.home.lock()?;
        self.expect_same()?;
        let key = self.authenticate(&guard, role, pin)?;
        self.login = Some(Login { role, key });
        let opened = self.reload();
        if opened.is_err() {
            self.logout();
        }
        opened.map(|_| ())
    }

    /// Forgets the token key and every private object.
    pub(crate) fn logout(&mut self) {
        self.login = None;
        let public = self.image.as_ref().map(listed);
        self.install(public.unwrap_or_default());
    }

    /// Sets the user's PIN; the security officer is logged in.
    pub(crate) fn set_user_pin(&mut self, pin: &[u8]) -> Result<()> {
        check_pin(pin)?;
        let guard = self.home.lock()?;
        self.expect_same()?;
        let Some(Login { role: Role::Officer, key }) = &self.login else {
            return Err(Refusal::NotLoggedIn.into());
        };
        let mut image = self.image.take().ok_or(Refusal::TokenNotRecognized)?;
        image.user = Some(key.wrap(pin, Role::User, &image.incarnation)?);
        self.save(&guard, image)
    }

    /// Checks the user's PIN once more, while the user is logged in.
    pub(crate) fn confirm_user(&mut self, pin: &[u8]) -> Result<()> {
        let guard = self.home.lock()?;
        self.expect_same()?;
        self.authenticate(&guard, Role::User, pin).map(|_| ())
    }

    /// Changes the PIN of whoever is logged in, or the user's if nobody is.
    pub(crate) fn change_pin(&mut self, old: &[u8], new: &[u8]) -> Result<()> {
        check_pin(new)?;
        let guard = self.home.lock()?;
        self.expect_same()?;
        let role = self.role().unwrap_or(Role::User);
        let key = self.authenticate(&guard, role, old)?;
        let mut image = self.image.take().ok_or(Refusal::TokenNotRecognized)?;
        let wrap = key.wrap(new, role, &image.incarnation)?;
        match role {
            Role::Officer => image.officer = wrap,
            Role::User => image.user = Some(wrap),
        }
        self.save(&guard, image)
    }

    /// Opens the token key. INVARIANT: the failure is on disk before the PIN is tried, so that a process
    /// killed in between has used up an attempt.
    fn authenticate(&mut self, guard: &Guard, role: Role, pin: &[u8]) -> Result<TokenKey> {
        let wrap = self.count(guard, role, |failures| failures.saturating_add(1))?;
        let incarnation = self.image.as_ref().ok_or(Refusal::TokenNotRecognized)?.incarnation;
        let key = TokenKey::unwrap(&wrap, pin, role, &incarnation)?.ok_or(Refusal::PinIncorrect)?;
        self.count(guard, role, |_| 0)?;
        Ok(key)
    }

    fn count(&mut self, guard: &Guard, role: Role, change: impl FnOnce(u8) -> u8) -> Result<Wrap> {
        let image = self.image.as_mut().ok_or(Refusal::TokenNotRecognized)?;
        let wrap = match role {
            Role::Officer => &mut image.officer,
            Role::User => image.user.as_mut().ok_or(Refusal::UserPinMissing)?,
        };
        let failures = change(wrap.failures);
        if failures > PIN_FAILURES_MAX {
            return Err(Refusal::PinLocked.into());
        }
        wrap.failures = failures;
        let counted = wrap.clone();
        image.generation += 1;
        self.seen = Some(self.home.save(guard, image)?);
        Ok(counted)
    }

    fn save(&mut self, guard: &Guard, mut image: Image) -> Result<()> {
        image.generation += 1;
        // If writing fails, what is on disk is read again on the next call.
        self.seen = None;
        self.seen = Some(self.home.save(guard, &image)?);
        self.image = Some(image);
        Ok(())
    }

    fn expect_same(&mut self) -> Result<()> {
        let loaded = self.home.load()?;
        let now = loaded.as_ref().map(|(_, image)| image.incarnation);
        if self.image.as_ref().is_some_and(|known| Some(known.incarnation) != now) {
            // Left for the next `refresh`, which closes the sessions of the token that is gone.
            return Err(Refusal::TokenRemoved.into());
        }
        self.take_up(loaded).map(|_| ())
    }

    pub(crate) fn object(&self, handle: CK_OBJECT_HANDLE) -> Option<&Arc<Object>> {
        self.objects.get(self.numbers.get(&handle)?)
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = (CK_OBJECT_HANDLE, &Arc<Object>)> {
        self.numbers.iter().filter_map(|(handle, number)| Some((*handle, self.objects.get(number)?)))
    }

    /// Adds objects and gives their handles, in order.
    pub(crate) fn add(&mut self, added: Vec<Object>) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let numbers = self.change(|objects, next| {
            if objects.len() + added.len() > OBJECTS_MAX {
                return Err(Refusal::TokenMemory.into());
            }
            let first = *next;
            *next += added.len() as u64;
            objects.extend((first..).zip(added.into_iter().map(Arc::new)));
            Ok(first..*next)
        })?;
        let handles = &self.numbers;
        let found = numbers.filter_map(|wanted| handles.iter().find(|(_, number)| **number == wanted));
        Ok(found.map(|(handle, _)| *handle).collect())
    }

    /// Replaces an object, or destroys it, if `change` says so.
    pub(crate) fn alter(
        &mut self,
        handle: CK_OBJECT_HANDLE,
        change: impl FnOnce(&Object) -> Result<Option<Object>>,
    ) -> Result<()> {
        let number = *self.numbers.get(&handle).ok_or(Refusal::ObjectHandle)?;
        self.change(|objects, _| {
            let object = objects.get(&number).ok_or(Refusal::ObjectHandle)?;
            match change(object)? {
                Some(altered) => objects.insert(number, Arc::new(altered)),
                None => objects.remove(&number),
            };
            Ok(())
        })
    }

    /// Load, modify, store under the lock, so that what other processes wrote is kept.
    fn change<R>(&mut self, work: impl FnOnce(&mut Objects, &mut u64) -> Result<R>) -> Result<R> {
        let guard = self.home.lock()?;
        self.expect_same()?;
        let Some(Login { role, key }) = &self.login else { return Err(Refusal::NotLoggedIn.into()) };
        let old = self.image.as_ref().ok_or(Refusal::TokenNotRecognized)?;
        let mut next_object = old.next_object;
        // The security officer does not see private objects, but they are sealed anew with the public ones.
        let mut objects = match role {
            Role::User => self.objects.clone(),
            Role::Officer => self.whole(key, old)?,
        };
        let result = work(&mut objects, &mut next_object)?;
        let (private, public) = split(&objects);
        let mut image = Image {
            version: VERSION,
            generation: old.generation,
            incarnation: old.incarnation,
            serial: old.serial,
            label: old.label,
            officer: old.officer.clone(),
            user: old.user.clone(),
            next_object,
            public,
            sealed: Vec::new(),
        };
        image.sealed = seal_objects(key, &image, &private)?;
        let seen = if *role == Role::User { objects } else { image.public.clone() };
        self.save(&guard, image)?;
        self.install(seen);
        Ok(result)
    }
}

/// The objects that anybody may see.
fn listed(image: &Image) -> Objects {
    let mut objects = image.public.clone();
    image.upgrade(&mut objects);
    objects
}

/// The objects that the sealed half completes: private ones, and secret keys that are listed in public.
fn open_objects(key: &TokenKey, image: &Image) -> Result<Objects, Damage> {
    if image.sealed.is_empty() && image.public.is_empty() {
        return Ok(Objects::new());
    }
    let plain = key.open(&image.sealed, &image.context())?;
    let mut reader = Reader::new(&plain);
    let mut objects = decode_objects(&mut reader)?;
    reader.end()?;
    for (number, object) in &mut objects {
        if let Some(listed) = image.public.get(number) {
            *object = Arc::new(listed.joined(object));
        }
    }
    Ok(objects)
}

/// The half to seal and the half that anybody may read.
fn split(objects: &Objects) -> (Objects, Objects) {
    let (mut private, mut public) = (Objects::new(), Objects::new());
    for (number, object) in objects {
        match (object.is_private(), object.halves()) {
            (true, _) => drop(private.insert(*number, Arc::clone(object))),
            (false, None) => drop(public.insert(*number, Arc::clone(object))),
            (false, Some((sealed, listed))) => {
                private.insert(*number, Arc::new(sealed));
                public.insert(*number, Arc::new(listed));
            }
        }
    }
    (private, public)
}

fn seal_objects(key: &TokenKey, image: &Image, private: &Objects) -> Result<Vec<u8>> {
    let bytes = private.values().map(|object| 8 + object.attributes().encoded_bytes()).sum::<usize>();
    let mut plain = Zeroizing::new(Vec::with_capacity(4 + bytes));
    encode_objects(&mut plain, private);
    key.seal(&plain, &image.context())
}

fn check_pin(pin: &[u8]) -> Result<(), Refusal> {
    if !PIN_BYTES.contains(&pin.len()) {
        return Err(Refusal::PinLength);
    }
    std::str::from_utf8(pin).map(|_| ()).or(Err(Refusal::PinInvalid))
}

fn new_serial() -> Result<[u8; 16]> {
    let digits = random::<16>()?;
    Ok(digits.map(|byte| match byte & 15 {
        digit @ 0..=9 => b'0' + digit,
        letter => b'a' + letter - 10,
    }))
}

fn failure_flags(wrap: &Wrap, [low, last, locked]: [CK_FLAGS; 3]) -> CK_FLAGS {
    match wrap.failures {
        0 => 0,
        failures if failures >= PIN_FAILURES_MAX => locked,
        failures if failures + 1 == PIN_FAILURES_MAX => low | last,
        _ => low,
    }
}
