//! Owners and their habits.

use super::{DAY_MS, Happening, random::Random};
use crate::AccountId;
use crate::risk::{Mark, Request, Spend, Verb};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// Who an account belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person: a few payments a week, a rent each month, now and then something dear.
    Person,
    /// A firm: payments on working days, more at a month's end, to many.
    Firm,
    /// A treasury: few, large, to few.
    Treasury,
    /// A program that pays out day and night, mostly to those who were never paid before.
    Payouts,
    /// A program that has digests signed which nobody can read.
    Digests,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Person, Self::Firm, Self::Treasury, Self::Payouts, Self::Digests];

    /// The name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Firm => "firm",
            Self::Treasury => "treasury",
            Self::Payouts => "payouts",
            Self::Digests => "digests",
        }
    }
}

/// What an owner usually does.
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) kind: Kind,
    pub(super) currency: &'static str,
    /// About the middle of its payments.
    pub(super) base: u64,
    /// In 256ths of a doubling.
    deviation: u64,
    pub(super) payees: u64,
    new_payee_permille: u64,
    requests_of_day: u64,
    active_permille: u64,
    hours: (u64, u64),
    working_days: bool,
    new_origin_permille: u64,
}

impl Account {
    pub(super) fn new(id: AccountId, kind: Kind, random: &mut Random) -> Self {
        let person = Self {
            id,
            kind,
            currency: "EUR",
            base: random.within(1_500, 15_000),
            deviation: 280,
            payees: 14,
            new_payee_permille: 60,
            requests_of_day: 2,
            active_permille: 700,
            hours: (6, 22),
            working_days: false,
            new_origin_permille: 25,
        };
        let office = Self {
            hours: (7, 18),
            working_days: true,
            active_permille: 960,
            new_origin_permille: 4,
            ..person
        };
        match kind {
            Kind::Person => person,
            Kind::Firm => Self {
                base: random.within(10_000, 150_000),
                deviation: 380,
                payees: 60,
                new_payee_permille: 90,
                requests_of_day: 15,
                ..office
            },
            Kind::Treasury => Self {
                base: random.within(500_000, 5_000_000),
                deviation: 300,
                payees: 18,
                new_payee_permille: 12,
                requests_of_day: 5,
                ..office
            },
            Kind::Payouts => Self {
                currency: "sat",
                base: random.within(20_000, 200_000),
                deviation: 450,
                payees: 100,
                new_payee_permille: 850,
                requests_of_day: 80,
                hours: (0, 24),
                working_days: false,
                active_permille: 1000,
                ..office
            },
            Kind::Digests => Self {
                requests_of_day: 12,
                hours: (0, 24),
                working_days: false,
                active_permille: 1000,
                ..office
            },
        }
    }

    /// So many days.
    pub(super) fn live(&self, first: u32, days: u32, random: &mut Random) -> Vec<Happening> {
        let mut all = Vec::new();
        for day in first..first + days {
            // 1970 began on a Thursday.
            let weekend = (day + 3) % 7 >= 5;
            let active = !(weekend && self.working_days) && random.chance(self.active_permille);
            if active {
                self.day(day, random, &mut all);
            }
        }
        all
    }

    fn day(&self, day: u32, random: &mut Random, all: &mut Vec<Happening>) {
        let month_end = day % 30 >= 28;
        let busy = if month_end && self.kind == Kind::Firm { 3 } else { 1 };
        let (from, to) = self.hours;
        if self.kind == Kind::Person && random.chance(30) {
            let time_ms = u64::from(day) * DAY_MS + from * HOUR_MS;
            all.extend((0..random.within(1, 3)).map(|n| Happening::LoginFailed(time_ms + n * MINUTE_MS)));
        }
        for _ in 0..random.within(1, (self.requests_of_day * 2 - 1) * busy) {
            let time_ms = u64::from(day) * DAY_MS
                + from * HOUR_MS
                + (random.below((to - from) * HOUR_MS) + random.below((to - from) * HOUR_MS)) / 2;
            let request = self.usual(time_ms, random);
            all.push(Happening::Asked(request, None));
        }
        if self.kind == Kind::Person && day.is_multiple_of(30) {
            let rent = self.pay(u64::from(day) * DAY_MS + from * HOUR_MS, self.base * 12, 0);
            all.push(Happening::Asked(rent, None));
        }
    }

    fn usual(&self, time_ms: u64, random: &mut Random) -> Request {
        let dear = self.kind == Kind::Person && random.chance(8);
        let amount = random.spread(if dear { self.base * 15 } else { self.base }, self.deviation);
        let payee = if random.chance(self.new_payee_permille) {
            random.within(1 << 20, 1 << 50)
        } else {
            // Some more often than others.
            random.below(self.payees).min(random.below(self.payees))
        };
        let mut request = self.pay(time_ms, amount, payee);
        if random.chance(self.new_origin_permille) {
            request.origin = Some(self.origin(random.within(10, 1 << 30)));
        } else if random.chance(300) {
            request.origin = Some(self.origin(1));
        }
        request
    }

    /// A payment from where the account usually asks; of digests, one.
    pub(super) fn pay(&self, time_ms: u64, amount: u64, payee: u64) -> Request {
        let opaque = self.kind == Kind::Digests;
        let counterparty = Mark::of_counterparty(&self.id, &format!("payee-{payee}"));
        Request {
            time_ms,
            verb: Verb::Sign,
            opaque,
            spend: (!opaque).then(|| Spend::new(self.currency, amount)),
            counterparties: if opaque { Vec::new() } else { vec![counterparty] },
            app: Some(Mark::of_app(&self.id, "app/usual")),
            origin: Some(self.origin(0)),
        }
    }

    pub(super) fn origin(&self, number: u64) -> Mark {
        let mut fingerprint = [0; 32];
        if let Some(last) = fingerprint.last_chunk_mut::<8>() {
            *last = number.to_be_bytes();
        }
        Mark::of_certificate(&self.id, &fingerprint)
    }
}
