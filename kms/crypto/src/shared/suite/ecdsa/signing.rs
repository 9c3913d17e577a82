//! The library's signing, for all parties of one signer at once.

use std::collections::BTreeMap;

use dkls23_core::protocols::PartyIndex;
use dkls23_core::protocols::signing::{
    Broadcast3to4, KeepPhase1to2, KeepPhase2to3, SignData, TransmitPhase1to2, TransmitPhase2to3,
    UniqueKeep1to2, UniqueKeep2to3,
};
use k256::elliptic_curve::ops::Reduce as _;
use k256::elliptic_curve::scalar::IsHigh as _;
use k256::{FieldBytes, Scalar};

use super::state::Parties;
use super::{Curve, Refused, index, scalar};
use crate::shared::holders::Holders;
use crate::shared::suite::LibraryError;

/// What goes from party to party: by sender's and receiver's identifier.
pub(crate) type Parts<T> = BTreeMap<(u16, u16), T>;
pub(crate) type First = TransmitPhase1to2;
pub(crate) type Second = TransmitPhase2to3<Curve>;

/// What is signed, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) holders: &'a Holders,
    /// All signing identifiers.
    pub(crate) signers: &'a [u16],
    pub(crate) run: &'a [u8; 32],
    pub(crate) digest: &'a [u8; 32],
}

impl Task<'_> {
    fn data(&self, own: u16) -> Result<SignData, LibraryError> {
        let others = self.signers.iter().filter(|&&number| number != own);
        let counterparties = others.map(|&number| index(number, self.holders)).collect::<Result<_, _>>()?;
        Ok(SignData { sign_id: self.run.to_vec(), counterparties, message_hash: *self.digest })
    }

    /// Parts to one own party.
    fn received<T: Clone>(parts: &Parts<T>, own: u16) -> Vec<T> {
        parts.iter().filter(|((_, to), _)| *to == own).map(|(_, part)| part.clone()).collect()
    }

    fn refused(&self) -> impl Fn(dkls23_core::protocols::Abort) -> Refused {
        |abort| Refused::new(&abort, self.holders)
    }
}

type Kept<U, K> = BTreeMap<u16, (U, BTreeMap<PartyIndex, K>)>;

/// A signer's secrets after the first round: wiped on drop.
pub(crate) struct Committed(Kept<UniqueKeep1to2<Curve>, KeepPhase1to2<Curve>>);

/// The same after the second round.
pub(crate) struct Answered(Kept<UniqueKeep2to3<Curve>, KeepPhase2to3<Curve>>);

/// The first round.
pub(crate) fn commit(task: Task<'_>, parties: &Parties) -> Result<(Committed, Parts<First>), Refused> {
    let (mut kept, mut parts) = (BTreeMap::new(), Parts::new());
    for (&own, party) in parties {
        let (unique, each, sent) = party.sign_phase1(&task.data(own)?).map_err(task.refused())?;
        kept.insert(own, (unique, each));
        parts.extend(
            sent.into_iter()
                .map(|part| ((own, task.holders.identifier_of(part.parties.receiver.as_u8())), part)),
        );
    }
    Ok((Committed(kept), parts))
}

impl Committed {
    /// The second round, from all parts to the own parties.
    pub(crate) fn answer(
        self,
        task: Task<'_>,
        parties: &Parties,
        received: &Parts<First>,
    ) -> Result<(Answered, Parts<Second>), Refused> {
        let (mut kept, mut parts) = (BTreeMap::new(), Parts::new());
        for (own, (unique, each)) in self.0 {
            let party = parties.get(&own).ok_or_else(|| LibraryError::new("no such party", None))?;
            let received = Task::received(received, own);
            let after = party.sign_phase2(&task.data(own)?, unique, each, &received);
            let (unique, each, sent) = after.map_err(task.refused())?;
            kept.insert(own, (unique, each));
            parts.extend(
                sent.into_iter()
                    .map(|part| ((own, task.holders.identifier_of(part.parties.receiver.as_u8())), part)),
            );
        }
        Ok((Answered(kept), parts))
    }
}

/// What a signer broadcasts: the abscissa of the nonce's point, and u and w of each of its parties.
pub(crate) struct Shown {
    pub(crate) abscissa: [u8; 32],
    pub(crate) shares: BTreeMap<u16, [[u8; 32]; 2]>,
}

impl Answered {
    /// The third round, from all parts to the own parties.
    pub(crate) fn share(
        self,
        task: Task<'_>,
        parties: &Parties,
        received: &Parts<Second>,
    ) -> Result<Shown, Refused> {
        let (mut abscissas, mut shares) = (Vec::new(), BTreeMap::new());
        for (own, (unique, each)) in self.0 {
            let party = parties.get(&own).ok_or_else(|| LibraryError::new("no such party", None))?;
            let received = Task::received(received, own);
            let after = party.sign_phase3(&task.data(own)?, unique, each, &received);
            let (abscissa, Broadcast3to4 { u, w }) = after.map_err(task.refused())?;
            let mut bytes = [0; 32];
            hex::decode_to_slice(abscissa, &mut bytes).map_err(|error| LibraryError::new(error, None))?;
            abscissas.push(bytes);
            shares.insert(own, [u.to_bytes().into(), w.to_bytes().into()]);
        }
        abscissas.dedup();
        match abscissas.as_slice() {
            [abscissa] => Ok(Shown { abscissa: *abscissa, shares }),
            _ => Err(LibraryError::new("the own parties have other nonces", None).into()),
        }
    }
}

/// Who told the own parties different things of itself.
pub(crate) fn two_faced(received: &Parts<Second>) -> Option<u16> {
    let mut faces = BTreeMap::new();
    received.iter().find_map(|(&(from, _), part)| {
        let face = (part.instance_point, part.public_share);
        (*faces.entry(from).or_insert(face) != face).then_some(from)
    })
}

/// Whether a share consists of scalars.
pub(crate) fn is_share(share: &[[u8; 32]; 2]) -> bool {
    share.iter().all(|part| scalar(part).is_some())
}

/// The fourth step, anybody's: r and s, with s in the lower half. It is no signature before somebody has verified it.
pub(crate) fn signature<'a>(
    abscissa: &[u8; 32],
    shares: impl Iterator<Item = &'a [[u8; 32]; 2]>,
) -> Option<Vec<u8>> {
    let (mut u, mut w) = (Scalar::ZERO, Scalar::ZERO);
    for share in shares {
        let [one, other] = share.each_ref().map(scalar);
        u += one?;
        w += other?;
    }
    let s = w * Option::<Scalar>::from(u.invert())?;
    let s = if bool::from(s.is_high()) { -s } else { s };
    let r = Scalar::reduce(&FieldBytes::from(*abscissa));
    Some([r.to_bytes(), s.to_bytes()].concat())
}
