//! The yardstick of `keyward bench token`: the same token used by plain threads, each calling `cryptoki` in a loop.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use keyward_domain::scheme::Scheme;

use crate::error::{DeviceCause, TokenError};
use crate::types::{Pin, TokenName};
use crate::worker::while_doing;

/// Signs 32 bytes over and over, with so many threads for so long; the time that each signature took. The library is
/// started for it and ended after it: no [`Module`](crate::Module) may use it meanwhile.
pub fn sign_bare(
    path: &Path,
    token: &TokenName,
    pin: &Pin,
    id: &[u8],
    scheme: Scheme,
    threads: usize,
    seconds: Duration,
) -> Result<Vec<Duration>, TokenError> {
    let failed = |error| TokenError::from(while_doing(token, "sign in a bare loop")(error));
    let library = Pkcs11::new(path).map_err(failed)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(failed)?;
    let measured = (|| {
        let slots = library.get_slots_with_initialized_token().map_err(failed)?;
        let is_ours =
            |slot: &_| library.get_token_info(*slot).is_ok_and(|info| info.label() == token.as_str());
        let slot =
            slots.into_iter().find(is_ours).ok_or_else(|| crate::library::missing(token, Vec::new()))?;
        let anchor = library.open_rw_session(slot).map_err(failed)?;
        anchor.login(UserType::User, Some(pin.auth())).map_err(failed)?;
        // All of them first: threads that have begun wait for each other.
        let sessions: Vec<_> =
            (0..threads).map(|_| library.open_rw_session(slot).map_err(failed)).collect::<Result<_, _>>()?;
        let start = &Barrier::new(threads);
        thread::scope(|scope| {
            let loops: Vec<_> = sessions
                .into_iter()
                .map(|session| scope.spawn(move || repeat(&session, id, scheme, start, seconds)))
                .collect();
            let mut all = Vec::new();
            for one in loops {
                let broke_down = || TokenError::Stopped { path: path.to_owned() };
                all.extend(one.join().map_err(|_panic| broke_down())?.map_err(failed)?);
            }
            Ok(all)
        })
    })();
    library.finalize().map_err(|error| TokenError::ModuleUnusable {
        path: path.to_owned(),
        source: DeviceCause::from(error),
    })?;
    measured
}

fn repeat(
    session: &Session,
    id: &[u8],
    scheme: Scheme,
    start: &Barrier,
    seconds: Duration,
) -> Result<Vec<Duration>, cryptoki::error::Error> {
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.to_vec())];
    let found = session.find_objects(&wanted);
    start.wait();
    let Some(key) = found?.first().copied() else { return Ok(Vec::new()) };
    let mechanism = match scheme {
        Scheme::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        _ => Mechanism::Ecdsa,
    };
    let (mut took, began) = (Vec::new(), Instant::now());
    while began.elapsed() < seconds {
        let asked = Instant::now();
        session.sign(&mechanism, key, &[7; 32])?;
        took.push(asked.elapsed());
    }
    Ok(took)
}
