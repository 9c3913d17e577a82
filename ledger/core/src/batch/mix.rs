//! The order of a batch's entries: those that must not tell by their place who asked first change places at random.
//!
//! Who sees requests arrive would otherwise find the same order in the log, and with it whose each entry is.

use crate::entry::kind;
use crate::entry::kind_of;

/// Entries that say nothing of whose they are. None of them takes effect on another one: a payment is announced without effect, an
/// address is used once and for one intent, a tag closes one epoch, and a release waits for the finality of its intent, which a batch
/// before had. So whatever their order, the same ones are accepted; but where several do the same (use one address, count against
/// the last that a limit allows), it is not the first to arrive that is.
///
/// Cases that name nobody keep their places: what decides of them (a rule that is defined anew, a word that is taken back) does too, and
/// an opening or a use on the other side of it would fare otherwise than its request did.
const MIXED: [u16; 4] = [kind::RELEASE, kind::USE_ADDRESS, kind::CLOSE_EPOCH, kind::ANNOUNCE_PAYMENT];

/// Brings items whose entries are of these kinds into a uniformly random order among their places. All others keep theirs.
///
/// `draw` gives 64 random bits; Fisher and Yates' shuffle, without bias.
pub fn mix<T, E>(
    items: &mut [T],
    entry: impl Fn(&T) -> &[u8],
    mut draw: impl FnMut() -> Result<u64, E>,
) -> Result<(), E> {
    let is_mixed = |item: &T| kind_of(entry(item)).is_some_and(|kind| MIXED.contains(&kind));
    let places: Vec<usize> =
        (0..).zip(&*items).filter(|(_, item)| is_mixed(item)).map(|(at, _)| at).collect();
    let mut open = places.as_slice();
    while let Some((last, before)) = open.split_last() {
        let chosen = below(open.len(), &mut draw)?;
        // The last one chooses itself where `chosen` is its own.
        items.swap(*last, *before.get(chosen).unwrap_or(last));
        open = before;
    }
    Ok(())
}

/// A uniformly random number below a bound of at least 1.
fn below<E>(bound: usize, mut draw: impl FnMut() -> Result<u64, E>) -> Result<usize, E> {
    let bound = bound as u64;
    loop {
        let drawn = draw()?;
        let number = drawn % bound;
        // Numbers above the last whole run of `bound` would favour small ones. Once in 2^50 draws, at most.
        if (drawn - number).checked_add(bound - 1).is_some() {
            return Ok(number as usize);
        }
    }
}

#[cfg(test)]
mod tests;
