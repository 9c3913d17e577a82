use super::super::*;
use super::world::{World, altered};
use super::{FROST, Seeded};

fn named(error: &RunError, place: u8, what: Lie) -> bool {
    matches!(error, RunError::Lied { place: found, lie, .. } if *found == place && *lie == what)
}

#[test]
fn a_lie_in_a_commitment_is_named() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let plan = world.plan(&[1, 3], Tweak::None);
        let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
        let (_, messages) = world.commit(&signing, &[1, 3]);
        for place in [USER, 3] {
            let with = |change: &dyn Fn(&mut Vec<u8>)| {
                signing.package(&altered(&messages, world.party(place), place, change)).unwrap_err()
            };
            let error = with(&|body| body[32..65].fill(0xff));
            assert!(named(&error, place, Lie::Nonce));
            let RunError::Lied { evidence, .. } = error else { unreachable!() };
            assert_eq!(signing.judge(&evidence[0]).unwrap_err().liar(), Some(place));
            assert!(named(&with(&|body| body.truncate(31)), place, Lie::Malformed));
            assert!(named(&with(&|body| body.push(0)), place, Lie::Malformed));
        }
        let other =
            Signing::new(world.key.clone(), world.roster(), world.plan(&[2, 3], Tweak::None)).unwrap();
        assert!(messages.iter().all(|message| signing.judge(message).is_ok()));
        assert!(matches!(other.judge(&messages[0]), Err(RunError::OtherRun { place: USER })));
        let error = other.package(&messages).unwrap_err();
        assert!(matches!(error, RunError::OtherRun { place: USER }), "{error:?}");
    }
}

#[test]
fn a_wrong_share_is_named_and_its_evidence_convinces_a_judge() {
    for scheme in FROST {
        for liar in [USER, 1, 3] {
            let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
            let plan = world.plan(&[1, 3], Tweak::None);
            let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
            let (nonces, messages) = world.commit(&signing, &[1, 3]);
            let package = signing.package(&messages).unwrap();
            let shares = world.share(&package, nonces);
            for share in &shares {
                package.judge(share).unwrap();
            }
            // another scalar (both encodings are below the order), and none at all
            for fill in [1_u8, 0xff] {
                let wrong = altered(&shares, world.party(liar), liar, |body| body[32..64].fill(fill));
                let error = package.signature(&wrong).unwrap_err();
                assert!(named(&error, liar, Lie::SignatureShare), "{error:?}");
                let RunError::Lied { mut evidence, .. } = error else { unreachable!() };
                let share = evidence.pop().unwrap();
                let verdict = signing.package(&evidence).unwrap().judge(&share).unwrap_err();
                assert_eq!(verdict.liar(), Some(liar));
            }
            let of_another = altered(&shares, world.party(liar), liar, |body| body[0] ^= 1);
            let error = package.signature(&of_another).unwrap_err();
            assert!(matches!(error, RunError::Diverged { place } if place == liar));
            assert!(package.signature(&shares).is_ok());
        }
    }
}

#[test]
fn replays_silence_and_second_commitments_are_refused_by_name() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    let plan = world.plan(&[1, 3], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan.clone()).unwrap();
    let (nonces, messages) = world.commit(&signing, &[1, 3]);
    let (_, others) = world.commit(&signing, &[1, 3]);
    // a second answer in one life convicts, in another life it asks for a fresh attempt
    let both = [&messages[..], &others[2..]].concat();
    assert!(matches!(signing.package(&both), Err(RunError::Equivocated { place: 3, .. })));
    world.boots[3] = Boot::random(&mut world.random);
    let (_, restarted) = world.commit(&signing, &[1, 3]);
    let both = [&messages[..], &restarted[2..]].concat();
    let error = signing.package(&both).unwrap_err();
    assert!(matches!(error, RunError::Restarted { place: 3 }));
    assert_eq!(error.liar(), None);
    assert!(matches!(signing.package(&messages[..2]), Err(RunError::Missing { places }) if places == [3]));

    let package = signing.package(&messages).unwrap();
    let mut nonces = nonces.into_iter();
    // after a restart the nonces of the life before sign nothing
    let (_, (place, kept)) = (nonces.next(), nonces.next_back().unwrap());
    let sign = |message: &[u8]| world.party(place).sign(message);
    let gone = kept
        .sign(&world.shares[&place], &world.boots[3], &package, &[], &world.party(place).key, sign)
        .unwrap_err();
    assert!(matches!(gone, RunError::Foreign { place: 3 }));
    // and none sign where another commitment stands in the holder's name
    let (place, kept) = nonces.next().unwrap();
    let swapped = signing.package(&[messages[0].clone(), others[1].clone(), messages[2].clone()]).unwrap();
    let sign = |message: &[u8]| world.party(place).sign(message);
    let foreign = kept
        .sign(&world.shares[&place], &world.boots[1], &swapped, &[], &world.party(place).key, sign)
        .unwrap_err();
    assert!(matches!(foreign, RunError::Foreign { place: 1 }));
}

#[test]
fn what_was_judged_in_a_run_is_not_judged_again_and_stands_for_nothing_else() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let plan = world.plan(&[1, 3], Tweak::None);
        let signing = Signing::new(world.key.clone(), world.roster(), plan.clone()).unwrap();
        let (nonces, messages) = world.commit(&signing, &[1, 3]);
        let (_, others) = world.commit(&signing, &[1, 3]);
        let judged = [signing.judge(&messages[0]).unwrap(), Judged::own(&nonces[1].1)];
        assert_eq!([judged[0].from(), judged[1].from()], [0, 1]);
        let judged = judged.each_ref();
        let package = signing.package_with(&judged, &messages).unwrap();
        // Another signature under it, or another commitment, is judged like any other.
        let mut forged = messages.clone();
        *forged[0].last_mut().unwrap() ^= 1;
        assert!(matches!(signing.package_with(&judged, &forged), Err(RunError::Unsigned { place: 0 })));
        let both = [&messages[..], &others[..1]].concat();
        assert!(matches!(signing.package_with(&judged, &both), Err(RunError::Equivocated { place: 0, .. })));
        // In another run it stands for nothing.
        let next = SigningPlan { attempt: 2, ..plan };
        let next = Signing::new(world.key.clone(), world.roster(), next).unwrap();
        assert!(matches!(next.package_with(&judged, &messages), Err(RunError::OtherRun { .. })));
        let shares = world.share(&package, nonces);
        let signature = signing.package(&messages).unwrap().signature(&shares).unwrap();
        assert_eq!(package.signature(&shares).unwrap(), signature);
    }
}

#[test]
fn two_servers_that_start_the_same_signing_disturb_nobody() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let first = world.plan(&[1, 3], Tweak::None);
        let second = SigningPlan { attempt: 2, keepers: vec![2, 3], ..first.clone() };
        let [first, second] =
            [first, second].map(|plan| Signing::new(world.key.clone(), world.roster(), plan).unwrap());
        assert_ne!(first.id(), second.id());
        let (nonces, messages) = world.commit(&first, &[1, 3]);
        let (others, their) = world.commit(&second, &[2, 3]);
        let mixed = [messages[0].clone(), messages[1].clone(), their[2].clone()];
        assert!(matches!(first.package(&mixed), Err(RunError::OtherRun { place: 3 })));
        let (package, theirs) = (first.package(&messages).unwrap(), second.package(&their).unwrap());
        let (shares, other) = (world.share(&package, nonces), world.share(&theirs, others));
        let [one, two] = [package.signature(&shares).unwrap(), theirs.signature(&other).unwrap()];
        assert_ne!(one, two);
        assert!(matches!(package.signature(&other), Err(RunError::OtherRun { .. })));
    }
}

#[test]
fn a_run_is_bound_to_intent_attempt_message_tweak_signers_and_key() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Bip340, 2, 3);
    let plan = world.plan(&[1, 3], Tweak::None);
    let id = |plan: SigningPlan| *Signing::new(world.key.clone(), world.roster(), plan).unwrap().id();
    let mut all = vec![
        id(plan.clone()),
        id(SigningPlan { intent: [1; 32], ..plan.clone() }),
        id(SigningPlan { attempt: 2, ..plan.clone() }),
        id(SigningPlan { message: vec![1; 32], ..plan.clone() }),
        id(SigningPlan { tweak: Tweak::KeyPath, ..plan.clone() }),
        id(SigningPlan { tweak: Tweak::Scripts([0; 32]), ..plan.clone() }),
        id(SigningPlan { keepers: vec![1, 2], ..plan.clone() }),
    ];
    let other = World::generated(Seeded::new(1), SharedScheme::Bip340, 2, 3);
    all.push(*Signing::new(other.key.clone(), other.roster(), plan).unwrap().id());
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

/// Has one meaning for what is not `Clone`, and two, which does not compile, for what is.
trait NotClone<Marker> {
    fn holds() -> bool {
        true
    }
}
impl<T> NotClone<()> for T {}
struct Copied;
impl<T: Clone> NotClone<Copied> for T {}

#[test]
fn secrets_cannot_be_copied_and_print_redacted() {
    assert!(<Nonces as NotClone<_>>::holds());
    assert!(<KeyShare as NotClone<_>>::holds());
    assert!(<Opener as NotClone<_>>::holds());
    assert!(<Dealer as NotClone<_>>::holds());
    assert!(<Boot as NotClone<_>>::holds());
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 2);
    assert_eq!(format!("{:?}", world.shares[&1]), "KeyShare(redacted)");
    let plan = world.plan(&[1, 2], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let (nonces, _) = world.commit(&signing, &[1, 2]);
    assert_eq!(format!("{:?}", nonces[0].1), "Nonces(redacted)");
}
