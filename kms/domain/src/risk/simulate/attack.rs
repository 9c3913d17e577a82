//! Thieves and their ways.

use super::account::Account;
use super::random::Random;
use super::{DAY_MS, Happening};
use crate::risk::{Mark, Request};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
/// No owner pays these, and no owner asks from there.
const THIEF: u64 = 1 << 60;

/// A way to steal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Somebody else logs in, from elsewhere, with another program, and takes one large amount.
    Takeover,
    /// From the owner's own device, twenty amounts below the owner's larger ones, within six hours.
    Structuring,
    /// From the owner's own device, sixty usual amounts within ten minutes.
    Burst,
    /// From the owner's own device, at three in the morning, a somewhat larger amount to somebody new.
    Night,
    /// From the owner's own device, once a day for a month, 8 per cent more each day; then twenty times the usual.
    Poisoning,
    /// With the app's own certificate, from elsewhere, ten amounts of twice the usual within an hour.
    StolenApp,
}

impl Attack {
    /// Every attack.
    pub const ALL: [Self; 6] =
        [Self::Takeover, Self::Structuring, Self::Burst, Self::Night, Self::Poisoning, Self::StolenApp];

    /// The name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Takeover => "takeover",
            Self::Structuring => "structuring",
            Self::Burst => "burst",
            Self::Night => "night",
            Self::Poisoning => "poisoning",
            Self::StolenApp => "stolen-app",
        }
    }

    /// The attack, from a day on.
    pub(super) fn strike(self, account: &Account, day: u32, random: &mut Random) -> Vec<Happening> {
        let midnight = u64::from(day) * DAY_MS;
        let start = midnight + random.within(9, 15) * HOUR_MS;
        let payee = THIEF + random.below(1 << 40);
        let base = account.base;
        let elsewhere = |request: Request, random: &mut Random| Request {
            origin: Some(account.origin(THIEF + random.below(1 << 40))),
            ..request
        };
        let mut all = Vec::new();
        let requests = match self {
            Self::Takeover => {
                if random.chance(500) {
                    let failed = random.within(2, 8);
                    all.extend((0..failed).map(|n| Happening::LoginFailed(start - (n + 2) * MINUTE_MS)));
                }
                let amount = base * random.within(10, 40);
                let request = elsewhere(account.pay(start, amount, payee), random);
                vec![Request { app: Some(Mark::of_app(&account.id, "app/thief")), ..request }]
            }
            Self::Structuring => (0..20)
                .map(|n| {
                    account.pay(start + n * 18 * MINUTE_MS, base * random.within(15, 22) / 10, payee + n % 2)
                })
                .collect(),
            Self::Burst => {
                (0..60).map(|n| account.pay(start + n * 10_000, random.spread(base, 100), payee)).collect()
            }
            Self::Night => {
                vec![account.pay(midnight + 3 * HOUR_MS, base * random.within(25, 50) / 10, payee)]
            }
            Self::Poisoning => poison(account, start, payee),
            Self::StolenApp => (0..10)
                .map(|n| account.pay(start + n * 6 * MINUTE_MS, base * 2, payee + n))
                .map(|request| elsewhere(request, random))
                .collect(),
        };
        all.extend(requests.into_iter().map(|request| Happening::Asked(request, Some(self))));
        all
    }
}

fn poison(account: &Account, start: u64, payee: u64) -> Vec<Request> {
    let mut amount = account.base;
    let mut requests = Vec::new();
    for day in 0..30 {
        requests.push(account.pay(start + day * DAY_MS, amount, payee));
        amount += amount * 8 / 100;
    }
    requests.push(account.pay(start + 30 * DAY_MS, account.base * 20, payee));
    requests
}
