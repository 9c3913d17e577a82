//! The bytes of a history: one encoding for each, as SPEC.md has it.

use keyward_ledger_core::codec::{DecodeError, Reader, Writer};

use super::currency::Currency;
use super::habit::{Habit, Today};
use super::history::{CURRENCIES_MAX, HISTORY_LEN_MAX, History};
use super::known::{Known, Seen, Share};
use super::request::{self, Mark};
use super::window::Window;

const VERSION: u8 = 1;
const STEPS_MAX: usize = 252;

impl History {
    /// Its bytes: at most [`HISTORY_LEN_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(2048);
        out.u8(VERSION).u32(self.day).u64(self.last_ms);
        self.pace.iter().chain([&self.failed]).for_each(|window| put_window(&mut out, window));
        self.pace_today.iter().for_each(|most| {
            out.u64(*most);
        });
        self.paces.iter().for_each(|habit| put_steps(&mut out, &habit.weights));
        put_steps(&mut out, &self.hours_today);
        put_steps(&mut out, &self.hours.weights);
        out.u32(self.currencies.len().try_into().unwrap_or(u32::MAX));
        self.currencies.iter().for_each(|currency| put_currency(&mut out, currency));
        put_known(&mut out, &self.counterparties.seen);
        put_known(&mut out, &self.apps.seen);
        put_known(&mut out, &self.origins.seen);
        for share in &self.shares {
            out.u32(share.so).u32(share.all).u32(share.so_today).u32(share.all_today);
        }
        out.finish()
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > HISTORY_LEN_MAX {
            return Err(DecodeError::TooLong { what: "history", len: bytes.len(), max: HISTORY_LEN_MAX });
        }
        let mut reader = Reader::new(bytes);
        let from = &mut reader;
        from.version("history", VERSION)?;
        let (day, last_ms) = (from.u32("day")?, from.u64("time")?);
        let pace = [window(from)?, window(from)?, window(from)?];
        let failed = window(from)?;
        let pace_today = [from.u64("pace")?, from.u64("pace")?, from.u64("pace")?];
        let paces = [habit(from)?, habit(from)?, habit(from)?];
        let (hours_today, hours) = (steps(from, 24)?, Habit { weights: steps(from, 24)? });
        let currencies = from.list("currencies", CURRENCIES_MAX, currency)?;
        in_order("currencies", currencies.iter().map(|currency| &currency.name))?;
        let (counterparties, apps, origins) = (known(from)?, known(from)?, known(from)?);
        let mut shares = [Share::default(); 6];
        for share in &mut shares {
            *share = read_share(from)?;
        }
        reader.finish("history")?;
        Ok(Self {
            day,
            last_ms,
            pace,
            pace_today,
            paces,
            hours_today,
            hours,
            currencies,
            counterparties,
            apps,
            origins,
            shares,
            failed,
        })
    }
}

fn put_window(out: &mut Writer, window: &Window) {
    out.u32(window.slot).u64(window.now).u64(window.before);
}

fn window(from: &mut Reader<'_>) -> Result<Window, DecodeError> {
    Ok(Window { slot: from.u32("window")?, now: from.u64("window")?, before: from.u64("window")? })
}

fn put_steps(out: &mut Writer, steps: &Today) {
    out.u32(steps.len().try_into().unwrap_or(u32::MAX));
    for (step, weight) in steps {
        out.u8(*step).u32(*weight);
    }
}

fn steps(from: &mut Reader<'_>, max: usize) -> Result<Today, DecodeError> {
    let list = from.list("steps", max, |from| Ok((from.u8("step")?, from.u32("weight")?)))?;
    in_order("steps", list.iter().map(|(step, _)| step))?;
    if list.iter().any(|(step, weight)| usize::from(*step) >= max || *weight == 0) {
        return Err(DecodeError::Invalid { what: "steps", why: "has a step or weight that cannot be" });
    }
    Ok(list.into_iter().collect())
}

fn habit(from: &mut Reader<'_>) -> Result<Habit, DecodeError> {
    Ok(Habit { weights: steps(from, STEPS_MAX)? })
}

fn put_currency(out: &mut Writer, currency: &Currency) {
    out.bytes(currency.name.as_bytes()).u32(currency.last_minute);
    put_steps(out, &currency.amounts.weights);
    put_steps(out, &currency.amounts_today);
    put_window(out, &currency.total);
    out.u64(currency.total_today);
    put_steps(out, &currency.totals.weights);
}

fn currency(from: &mut Reader<'_>) -> Result<Currency, DecodeError> {
    Ok(Currency {
        name: request::currency(from)?,
        last_minute: from.u32("minute")?,
        amounts: habit(from)?,
        amounts_today: steps(from, STEPS_MAX)?,
        total: window(from)?,
        total_today: from.u64("total")?,
        totals: habit(from)?,
    })
}

fn put_known(out: &mut Writer, all: &[Seen]) {
    out.u32(all.len().try_into().unwrap_or(u32::MAX));
    for Seen { mark, first_minute, last_minute, approved } in all {
        out.raw(&mark.0).u32(*first_minute).u32(*last_minute).u8((*approved).into());
    }
}

fn known<const MAX: usize>(from: &mut Reader<'_>) -> Result<Known<MAX>, DecodeError> {
    let seen = from.list("known", MAX, |from| {
        let mark = Mark(from.array("mark")?);
        let (first_minute, last_minute) = (from.u32("first minute")?, from.u32("last minute")?);
        let approved = match from.u8("approved")? {
            0 => false,
            1 => true,
            code => return Err(DecodeError::UnknownCode { what: "approved", code: code.into() }),
        };
        Ok(Seen { mark, first_minute, last_minute, approved })
    })?;
    in_order("known", seen.iter().map(|seen| seen.mark))?;
    Ok(Known { seen })
}

fn read_share(from: &mut Reader<'_>) -> Result<Share, DecodeError> {
    let (so, all) = (from.u32("share")?, from.u32("share")?);
    let (so_today, all_today) = (from.u32("share")?, from.u32("share")?);
    if so > all || so_today > all_today {
        return Err(DecodeError::Invalid { what: "share", why: "is more than all" });
    }
    Ok(Share { so, all, so_today, all_today })
}

fn in_order<T: PartialOrd>(
    what: &'static str,
    items: impl Iterator<Item = T> + Clone,
) -> Result<(), DecodeError> {
    if items.clone().zip(items.skip(1)).all(|(one, next)| one < next) {
        return Ok(());
    }
    Err(DecodeError::Invalid { what, why: "is not in order" })
}
