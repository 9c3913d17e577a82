//! A run through addresses and audits.

use keyward_ledger_core::entry::{
    AnnouncePayment, AuditAct, Custody, DeliverGrant, HandleLimit, RateTerms, RevokeGrant, UseAddress,
    UseBlindCase, UseGrant, Window,
};
use keyward_ledger_core::execute::Ledger;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::unlinkable::{DealtRun, EDGE_MS, use_address_message};

use super::*;
use crate::common::addresses::{
    AddressKey, CONTENT, EPOCH_MS, TOKEN, audit, blind, choose, closing, grant, open_grant, publish_audit,
    run,
};

const OWNER: acts::Person = acts::Person(0x41);
const ALICE: acts::Person = acts::Person(0x42);
const BOB: acts::Person = acts::Person(0x43);

struct Run {
    golden: Golden,
    world: World,
}

impl Run {
    fn entry(&mut self, name: &str, entry: Entry) -> Hash {
        let outcome = self.world.frozen(&mut self.golden, name, entry, &service());
        outcome.data.try_into().unwrap_or_default()
    }

    fn act(&mut self, name: &str, act: Act, by: acts::Person) -> Hash {
        let entry = self.world.signed_by(act, &[by]);
        self.entry(name, entry)
    }

    fn audit(&mut self, name: &str, act: AuditAct, by: acts::Person) -> Hash {
        self.act(name, audit(act), by)
    }
}

/// People, keepers, an approval rule and a limit of one in a window.
fn world() -> World {
    let mut world = World::new();
    world.enroll_all(&[OWNER, ALICE, BOB]);
    world.admit_keepers(&[1, 2, 3]);
    world.step_ms = 1_000;
    let windows = vec![Window { length_ms: EPOCH_MS, count_max: 1, amount_max: 0 }];
    let rate = RateTerms { windows, chargers: Vec::new() };
    let rules = [
        Act::DefineApproval(acts::define(OWNER, 1, acts::approval_terms(&[(1, &[OWNER, ALICE])]))),
        Act::DefineRate(acts::define(OWNER, 1, rate)),
    ];
    for rule in rules {
        assert_eq!(world.answer(rule, &[OWNER]), "ACCEPTED");
    }
    world
}

#[test]
fn address_and_audit_runs_are_frozen() {
    let mut life = Run { golden: Golden::default(), world: world() };
    life.act("01 choose", choose(OWNER, Custody::Own), OWNER);
    life.act("02 choose again", choose(OWNER, Custody::Hosted), OWNER);
    life.act("03 choose hosted", choose(BOB, Custody::Hosted), BOB);
    let first = life.world.chosen(OWNER).unwrap().first;
    uses(&mut life);
    let payment = AnnouncePayment { epoch_ms: EPOCH_MS, epoch: life.world.epoch(), payment: [0x35; 50] };
    life.entry("09 announce a payment", Entry::AnnouncePayment(payment));
    life.entry("10 close too early", Entry::CloseEpoch(closing(9, first)));
    life.world.wait(2 * EPOCH_MS + EDGE_MS);
    life.entry("11 close", Entry::CloseEpoch(closing(9, first)));
    life.entry("12 close again", Entry::CloseEpoch(closing(9, first)));
    let dealt = run(OWNER, first, first + 1);
    let held_back = DealtRun { expires_ms: life.world.next_ms() - 1, ..dealt };
    let late = life.world.dealt(held_back, 2, &[1, 2, 3]);
    life.act("13 deal too late", late, OWNER);
    let deal = life.world.dealt(dealt, 2, &[1, 2, 3]);
    life.act("14 deal", deal, OWNER);
    let gap = life.world.dealt(run(OWNER, first + 1, first + 1), 2, &[1, 2, 3]);
    life.act("15 deal with a gap", gap, OWNER);
    audited(&mut life, first);
    blind_case(&mut life);
    let message = dealt.acknowledgement_message(&life.world.chain_id(), &vault::id_of(1));
    life.golden.hex("viewing acknowledgement", message);
    let state = |key: &[u8]| key.starts_with(b"address/") || key.starts_with(b"audit/");
    for (key, value) in life.world.business().into_iter().filter(|(key, _)| state(key)) {
        life.golden.hex(&format!("state {}", hex::encode(key)), value);
    }
    life.golden.check("addresses.json");
    replayed(&life.world);
}

fn uses(life: &mut Run) {
    let limit = Some(HandleLimit { rule: OWNER.rule().id(kind::DEFINE_RATE), handle: [0x4a; 32] });
    let key = |number| AddressKey(number, false);
    let of = |world: &World, id, number, scheme| world.use_address(id, key(number), scheme);
    let used = UseAddress { limit, ..of(&life.world, 1, 1, Scheme::EcdsaSecp256k1) };
    life.golden.hex("address intent", use_address_message(&life.world.chain_id(), &used.body()));
    let entry = life.world.proven(key(1), used);
    life.entry("04 use", entry);
    let entry = life.world.proven(key(1), of(&life.world, 2, 1, Scheme::Bip340));
    life.entry("05 use again under the other scheme", entry);
    let entry = life.world.proven(key(2), of(&life.world, 3, 2, Scheme::Bip340));
    life.entry("06 use with bip340", entry);
    let over = UseAddress { limit, ..of(&life.world, 4, 3, Scheme::Bip340) };
    let entry = life.world.proven(key(3), over);
    life.entry("07 use over the limit", entry);
    let release = Release { intent_id: [1; 32], signature_hash: signature_hash(b"x") };
    life.entry("08 release", Entry::Release(release));
}

fn audited(life: &mut Run, first: u32) {
    let publish = publish_audit(1, None);
    life.audit("16 publish terms", AuditAct::Publish(publish), OWNER);
    let (from_ms, expires_ms) = (u64::from(first) * EPOCH_MS, life.world.next_ms() + EPOCH_MS);
    let asked = grant(7, &[OWNER, BOB], from_ms, from_ms + 2 * EPOCH_MS, expires_ms);
    let payload = asked.payload();
    life.audit("17 request", AuditAct::Request(asked.clone()), OWNER);
    let ask = Act::OpenApproval { rule: OWNER.rule(), payload, live_ms: 60_000 };
    let case = life.act("18 ask", ask, OWNER);
    let issue = AuditAct::Issue { grant: asked.id, case };
    life.audit("19 issue without approvals", issue.clone(), OWNER);
    life.act("20 approve", Act::Approve { case: Case { id: case, payload }, group: 0 }, ALICE);
    life.audit("21 issue", issue, OWNER);
    let opened = open_grant(7, BOB, first, first + 1);
    life.audit("22 open", AuditAct::Open(opened), OWNER);
    life.audit("23 open beyond", AuditAct::Open(open_grant(7, BOB, first, first + 2)), OWNER);
    life.entry("24 deliver", Entry::DeliverGrant(DeliverGrant { opened, package_hash: [0x9f; 32] }));
    let looked = UseGrant { grant: asked.id, what: [0x10; 32], count: 3 };
    life.entry("25 use", Entry::UseGrant(looked));
    let revoke = RevokeGrant { grant: asked.id, reason: [0x11; 32] };
    life.audit("26 revoke", AuditAct::Revoke(revoke), ALICE);
    life.entry("27 use after that", Entry::UseGrant(looked));
    life.audit("28 open after that", AuditAct::Open(opened), OWNER);
    life.act("29 close an account", Act::CloseAccount { account: BOB.account() }, BOB);
    let (until_ms, expires_ms) = (from_ms + EPOCH_MS, life.world.next_ms() + EPOCH_MS);
    let before = grant(8, &[BOB], from_ms, until_ms, expires_ms);
    life.audit("30 request what it did before", AuditAct::Request(before), OWNER);
    let from_ms = life.world.ledger.time_ms() + EDGE_MS;
    let after = grant(9, &[BOB], from_ms, from_ms + EPOCH_MS, expires_ms);
    life.audit("31 request what it did after", AuditAct::Request(after), OWNER);
    life.golden.hex("grant", asked.encode()).hex("grant payload", payload);
    life.golden.hex("grant purpose", asked.purpose_hash);
    life.golden.hex("audit publication", publish.publication());
}

fn blind_case(life: &mut Run) {
    let open = blind(60_000);
    let case = life.entry("32 open a blind case", Entry::OpenBlindCase(open));
    let used = Entry::UseBlindCase(UseBlindCase { case, token: TOKEN, content: CONTENT });
    life.entry("33 use it before it is approved", used.clone());
    let approve = Act::Approve { case: Case { id: case, payload: open.payload() }, group: 0 };
    life.act("34 approve it", approve, ALICE);
    let other = UseBlindCase { case, token: CONTENT, content: TOKEN };
    life.entry("35 use it by another token", Entry::UseBlindCase(other));
    life.entry("36 use it", used.clone());
    life.entry("37 use it again", used);
    life.golden.hex("blind lock", open.lock).hex("blind payload", open.payload());
}

/// Another node comes to the same ledger.
fn replayed(world: &World) {
    let mut ledger = Ledger::genesis(&world.genesis);
    for (block, executed) in &world.blocks {
        let again = ledger.replay(block).unwrap();
        assert_eq!(again.leaf_hashes, executed.leaf_hashes);
        ledger = again.ledger;
    }
    assert_eq!((ledger.tip(), ledger.state()), (world.ledger.tip(), world.ledger.state()));
}
