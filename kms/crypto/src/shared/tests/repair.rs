use zeroize::Zeroizing;

use super::super::pieces::{Way, seal, sealed_bytes};
use super::super::suite::dealing::base;
use super::super::suite::each;
use super::super::*;
use super::world::{World, altered, lie};
use super::{FROST, Seeded};

fn named(error: &RunError, place: u8, what: Lie) -> bool {
    matches!(error, RunError::Lied { place: found, lie, .. } if *found == place && *lie == what)
}

/// Everybody's sums.
fn sums(world: &mut World, columns: &Columns, splits: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for split in splits {
        let own = Message::decode(split).unwrap();
        let party = &world.parties[usize::from(own.from())];
        let sign = |message: &[u8]| party.sign(message);
        out.push(columns.add_with(&own, &party.key, sign, &mut world.random).unwrap().encode());
    }
    out
}

#[test]
fn a_repaired_share_is_the_lost_one() {
    for scheme in FROST {
        for (threshold, keepers, lost, helpers) in [(2, 3, 1, &[2, 3][..]), (3, 5, 4, &[1, 3, 5])] {
            let mut world = World::generated(Seeded::printed(), scheme, threshold, keepers);
            let gone = world.shares.get(&lost).unwrap().to_secret();
            let repair = Repair::new(world.key.clone(), world.roster(), lost, helpers, 1).unwrap();
            let splits = world.split(&repair, lost, helpers);
            let columns = repair.columns(&splits).unwrap();
            let sums = sums(&mut world, &columns, &splits);
            let share = columns.finish(&sums, &world.party(lost).key).unwrap();
            assert!(gone.expose(|bytes| share.to_secret().matches(bytes)));
        }
    }
}

#[test]
fn the_users_share_is_not_repaired_by_keepers_and_nobody_helps_itself() {
    let world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    let new =
        |lost, helpers: &[u8]| Repair::new(world.key.clone(), world.roster(), lost, helpers, 1).unwrap_err();
    assert!(matches!(new(USER, &[1, 2]), RunError::NotAPart { place: USER }));
    assert!(matches!(new(4, &[1, 2]), RunError::NotAPart { place: 4 }));
    assert!(matches!(new(1, &[1, 2]), RunError::Keepers { needed: 2 }));
    assert!(matches!(new(1, &[2]), RunError::Keepers { needed: 2 }));
}

#[test]
fn nobody_helps_unless_the_keeper_asks() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    let repair = Repair::new(world.key.clone(), world.roster(), 1, &[2, 3], 1).unwrap();
    let other = Repair::new(world.key.clone(), world.roster(), 1, &[2, 3], 2).unwrap();
    let replayed = other.request(|message| world.parties[1].sign(message)).encode();
    let forged = Message::new((Step::Request, repair.id(), 1), Vec::new(), |_| [0; 64]).encode();
    let longer = lie(world.party(1), (Step::Request, repair.id(), 1), vec![0]);
    let of_another = lie(world.party(2), (Step::Request, repair.id(), 2), Vec::new());
    let mut ask = |request: &[u8]| {
        repair.split_with(&world.shares[&2], request, |_| [0; 64], &mut world.random).unwrap_err()
    };
    assert!(matches!(ask(&replayed), RunError::OtherRun { place: 1 }));
    assert!(matches!(ask(&forged), RunError::Unsigned { place: 1 }));
    assert!(matches!(ask(&of_another), RunError::Unexpected { place: 2 }));
    assert!(named(&ask(&longer), 1, Lie::Malformed));
}

#[test]
fn a_lie_in_a_split_is_named() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let repair = Repair::new(world.key.clone(), world.roster(), 1, &[2, 3], 1).unwrap();
        let splits = world.split(&repair, 1, &[2, 3]);
        let size = scheme.element_bytes();
        for place in [USER, 2] {
            let with = |change: &dyn Fn(&mut Vec<u8>)| {
                repair.columns(&altered(&splits, world.party(place), place, change)).unwrap_err()
            };
            // other summands, a point that is none, too much
            let stranger = each!(scheme, base(&Zeroizing::new([1; 32]))).unwrap();
            let error = with(&|body| body[..size].copy_from_slice(&stranger));
            assert!(named(&error, place, Lie::Summands));
            let RunError::Lied { evidence, .. } = error else { unreachable!() };
            assert_eq!(repair.judge(&evidence[0]).unwrap_err().liar(), Some(place));
            assert!(splits.iter().all(|split| repair.judge(split).is_ok()));
            assert!(named(&with(&|body| body[..size].fill(0xff)), place, Lie::Summands));
            assert!(named(&with(&|body| body.push(0)), place, Lie::Malformed));
        }
        assert!(matches!(repair.columns(&splits[..2]), Err(RunError::Missing { places }) if places == [3]));

        // keeper 2 commits well and seals something else to keeper 3
        let roster = world.roster();
        let way = Way { run: repair.id(), transcript: &[0; 32], from: 2, to: 3 };
        let wrong = seal(way, &roster, [Zeroizing::new([1; 32])].iter(), &mut world.random).unwrap();
        let lying = altered(&splits, world.party(2), 2, |body| {
            let start = body.len() - sealed_bytes(1);
            body[start..].copy_from_slice(&wrong);
        });
        let columns = repair.columns(&lying).unwrap();
        let own = Message::decode(&splits[2]).unwrap();
        let error =
            columns.add_with(&own, &world.party(3).key, |_| [0; 64], &mut Seeded::new(1)).unwrap_err();
        assert!(named(&error, 2, Lie::Piece), "{error:?}");
        // and was itself shown what it did not split
        let own = Message::decode(&splits[1]).unwrap();
        let error =
            columns.add_with(&own, &world.party(2).key, |_| [0; 64], &mut Seeded::new(1)).unwrap_err();
        assert!(matches!(error, RunError::Foreign { place: 2 }));
    }
}

#[test]
fn a_lie_in_a_sum_is_named() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let repair = Repair::new(world.key.clone(), world.roster(), 1, &[2, 3], 1).unwrap();
        let splits = world.split(&repair, 1, &[2, 3]);
        let columns = repair.columns(&splits).unwrap();
        let sums = sums(&mut world, &columns, &splits);
        let roster = world.roster();
        let finish = |sums: &[Vec<u8>]| columns.finish(sums, &world.party(1).key).unwrap_err();
        let wrong = altered(&sums, world.party(3), 3, |body| {
            let transcript: [u8; 32] = body[..32].try_into().unwrap();
            let way = Way { run: repair.id(), transcript: &transcript, from: 3, to: 1 };
            let sealed = seal(way, &roster, [Zeroizing::new([1; 32])].iter(), &mut Seeded::new(1)).unwrap();
            body[32..].copy_from_slice(&sealed);
        });
        assert!(named(&finish(&wrong), 3, Lie::Sum));
        let unreadable = altered(&sums, world.party(3), 3, |body| body[32..].fill(1));
        assert!(named(&finish(&unreadable), 3, Lie::Sum));
        let short = altered(&sums, world.party(USER), USER, |body| body.truncate(body.len() - 1));
        assert!(named(&finish(&short), USER, Lie::Malformed));
        let of_others = altered(&sums, world.party(2), 2, |body| body[0] ^= 1);
        assert!(matches!(finish(&of_others), RunError::Diverged { place: 2 }));
        assert!(matches!(finish(&sums[1..]), RunError::Missing { places } if places == [USER]));
    }
}
