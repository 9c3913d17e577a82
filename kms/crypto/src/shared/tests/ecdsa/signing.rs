use super::super::super::parts::{Part, Ways};
use super::super::super::suite::ecdsa::signing::{First, Parts, Second};
use super::super::super::*;
use super::super::world::{World, altered};
use super::{named, world};

/// An attempt of the user and keepers 1 and 3, up to the answers.
struct Attempt {
    world: World,
    signing: Signing,
    package: Package,
    commitments: Vec<Vec<u8>>,
    nonces: Vec<(u8, Nonces)>,
    answers: Vec<Vec<u8>>,
}

const SIGNERS: [u8; 3] = [USER, 1, 3];

type Committed = (World, Signing, Vec<(u8, Nonces)>, Vec<Vec<u8>>);

fn committed(mut world: World) -> Committed {
    let plan = world.plan(&[1, 3], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let (nonces, commitments) = world.commit(&signing, &[1, 3]);
    (world, signing, nonces, commitments)
}

fn answered() -> Attempt {
    answered_in(world())
}

fn answered_in(world: World) -> Attempt {
    let (world, signing, nonces, commitments) = committed(world);
    let package = signing.package(&commitments).unwrap();
    let (nonces, answers) = world.answer(&package, nonces);
    Attempt { world, signing, package, commitments, nonces, answers }
}

/// Opens what one signer sealed to another, changes it, and seals it again in the sender's name.
fn tampered<T: Part>(
    world: &mut World,
    signing: &Signing,
    (messages, head, transcript): (&[Vec<u8>], usize, &[u8; 32]),
    [from, to]: [u8; 2],
    change: impl Fn(&mut T),
) -> Vec<Vec<u8>> {
    let roster = world.roster();
    let ways = Ways { run: signing.id(), transcript, roster: &roster, places: &SIGNERS };
    let bytes = messages.iter().find(|bytes| Message::decode(bytes).unwrap().from() == from).unwrap();
    let body = Message::decode(bytes).unwrap().body().to_vec();
    let sealed = ways.split(from, &body[head..]).unwrap()[&to];
    let mut parts: Parts<T> = ways.open([from, to], &world.party(to).key, sealed).unwrap();
    parts.values_mut().for_each(change);
    let both = Ways { places: &[from.min(to), from.max(to)], ..ways };
    let (wrong, _) = both.seal(from, parts, &mut world.random).unwrap();
    let old = [&u32::try_from(sealed.len()).unwrap().to_be_bytes()[..], sealed].concat();
    let at = body.windows(old.len()).position(|window| window == old).unwrap();
    altered(messages, world.party(from), from, |body| {
        body.splice(at..at + old.len(), wrong);
    })
}

fn answer(
    world: &World,
    package: &Package,
    nonces: Vec<(u8, Nonces)>,
    place: u8,
) -> Result<Message, RunError> {
    let (_, nonces) = nonces.into_iter().find(|(found, _)| *found == place).unwrap();
    let (party, boot) = (world.party(place), &world.boots[usize::from(place)]);
    let sign = |message: &[u8]| party.sign(message);
    Ok(nonces.answer(&world.shares[&place], boot, package, &party.key, sign)?.1)
}

impl Attempt {
    fn share(self, answers: &[Vec<u8>], place: u8) -> (World, Result<Message, RunError>) {
        let (_, nonces) = self.nonces.into_iter().find(|(found, _)| *found == place).unwrap();
        let (party, boot) = (self.world.party(place), &self.world.boots[usize::from(place)]);
        let sign = |message: &[u8]| party.sign(message);
        let share = nonces.sign(&self.world.shares[&place], boot, &self.package, answers, &party.key, sign);
        (self.world, share)
    }

    fn shares(self) -> (World, Package, Vec<Vec<u8>>) {
        let Self { world, package, nonces, answers, .. } = self;
        let one = |(place, nonces): (u8, Nonces)| {
            let (party, boot) = (world.party(place), &world.boots[usize::from(place)]);
            let sign = |message: &[u8]| party.sign(message);
            let share = nonces.sign(&world.shares[&place], boot, &package, &answers, &party.key, sign);
            share.unwrap().encode()
        };
        let shares = nonces.into_iter().map(one).collect();
        (world, package, shares)
    }
}

#[test]
fn a_lie_in_a_commitment_is_named_by_everybody_or_by_its_receiver() {
    let (world, signing, nonces, messages) = committed(world());
    for place in [USER, 3] {
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            signing.package(&altered(&messages, world.party(place), place, change)).unwrap_err()
        };
        assert!(named(&with(&|body| body.truncate(31)), place, Lie::Malformed));
        assert!(named(&with(&|body| body.push(0)), place, Lie::Malformed));
        assert!(named(&with(&|body| body[32..36].fill(0xff)), place, Lie::Malformed));
    }
    // what does not open, sealed last to keeper 1
    let junk = altered(&messages, world.party(3), 3, |body| *body.last_mut().unwrap() ^= 1);
    let package = signing.package(&junk).unwrap();
    assert!(named(&answer(&world, &package, nonces, 1).unwrap_err(), 3, Lie::Part));
    // what is of another attempt
    let (mut world, signing, nonces, messages) = committed(world);
    let ways = (&messages[..], 32, &[0; 32]);
    let other = tampered::<First>(&mut world, &signing, ways, [3, 1], |part| part.session_binding[0] ^= 1);
    let package = signing.package(&other).unwrap();
    let error = answer(&world, &package, nonces, 1).unwrap_err();
    assert!(named(&error, 3, Lie::Part) && error.banned().is_none() && !Lie::Part.is_public(), "{error:?}");
}

#[test]
fn a_wrong_product_bans_its_maker_for_as_long_as_the_share_is_kept() {
    // in the first round: oblivious transfers that fail their check
    let (mut world, signing, nonces, messages) = committed(world());
    let ways = (&messages[..], 32, &[0; 32]);
    let wrong = tampered::<First>(&mut world, &signing, ways, [3, 1], |part| part.mul_transmit.u[0][0] ^= 1);
    let package = signing.package(&wrong).unwrap();
    let error = answer(&world, &package, nonces, 1).unwrap_err();
    assert!(named(&error, 3, Lie::Product), "{error:?}");
    assert_eq!((error.banned(), error.liar()), (Some(3), Some(3)));

    // in the second one: a product of something else than was committed to
    let mut attempt = answered();
    let transcript = *attempt.package.hash();
    let answers = attempt.answers.clone();
    let ways = (&answers[..], 32, &transcript);
    let wrong = tampered::<Second>(&mut attempt.world, &attempt.signing, ways, [USER, 1], |part| {
        part.mul_transmit.gamma_sender[0] += k256::Scalar::ONE;
    });
    let (mut world, refused) = attempt.share(&wrong, 1);
    let error = refused.unwrap_err();
    assert!(named(&error, USER, Lie::Product), "{error:?}");
    let banned = error.banned().unwrap();

    let share = world.shares.get_mut(&1).unwrap();
    share.ban(banned);
    let kept = share.to_secret();
    let again = kept.expose(|bytes| KeyShare::from_secret(bytes, &world.key)).unwrap();
    assert_eq!(again.bans().collect::<Vec<_>>(), [USER]);
    world.shares.insert(1, again);
    let plan = world.plan(&[1, 3], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let refused =
        signing.commit(&world.shares[&1], &world.boots[1], |message| world.party(1).sign(message)).map(drop);
    assert!(matches!(refused, Err(RunError::Banned { place: USER })));
    // who is not banned goes on, and keeper 3 knows of nothing
    let refused = signing.commit(&world.shares[&3], &world.boots[3], |message| world.party(3).sign(message));
    assert!(refused.is_ok());
}

#[test]
fn a_ban_in_the_middle_of_an_attempt_ends_it() {
    let (mut world, signing, nonces, messages) = committed(world());
    let package = signing.package(&messages).unwrap();
    world.shares.get_mut(&1).unwrap().ban(3);
    assert!(matches!(answer(&world, &package, nonces, 1), Err(RunError::Banned { place: 3 })));
    let mut attempt = answered();
    attempt.world.shares.get_mut(&1).unwrap().ban(USER);
    let answers = attempt.answers.clone();
    assert!(matches!(attempt.share(&answers, 1).1, Err(RunError::Banned { place: USER })));
}

#[test]
fn a_lie_in_an_answer_is_named() {
    for kind in 0..5 {
        let mut attempt = answered();
        let (transcript, answers) = (*attempt.package.hash(), attempt.answers.clone());
        let party = attempt.world.party(3);
        let lying = match kind {
            0 => altered(&answers, party, 3, |body| body.truncate(40)),
            1 => altered(&answers, party, 3, |body| body[0] ^= 1),
            2 => altered(&answers, party, 3, |body| *body.last_mut().unwrap() ^= 1), // sealed to keeper 1
            3 => tampered::<Second>(
                &mut attempt.world,
                &attempt.signing,
                (&answers, 32, &transcript),
                [3, 1],
                |part| part.psi += k256::Scalar::ONE, // not what was committed to
            ),
            _ => tampered::<Second>(
                &mut attempt.world,
                &attempt.signing,
                (&answers, 32, &transcript),
                [3, 1],
                |part| part.session_binding[0] ^= 1,
            ),
        };
        let judged = attempt.package.judge_answer(&lying[2]);
        assert_eq!(judged.is_err(), kind < 2, "{kind}");
        let error = attempt.share(&lying, 1).1.unwrap_err();
        let expected = match kind {
            0 => named(&error, 3, Lie::Malformed),
            1 => matches!(error, RunError::Diverged { place: 3 }),
            _ => named(&error, 3, Lie::Part),
        };
        assert!(expected && error.banned().is_none(), "{kind}: {error:?}");
    }
}

#[test]
fn who_tells_the_users_parties_different_things_is_named() {
    let mut attempt = answered();
    let (transcript, answers) = (*attempt.package.hash(), attempt.answers.clone());
    let first = std::cell::Cell::new(true);
    let lying = tampered::<Second>(
        &mut attempt.world,
        &attempt.signing,
        (&answers, 32, &transcript),
        [1, USER],
        |part| {
            if first.replace(false) {
                part.instance_point = part.public_share;
            }
        },
    );
    assert!(named(&attempt.share(&lying, USER).1.unwrap_err(), 1, Lie::Part));
}

#[test]
fn a_spoilt_share_gives_no_signature_and_names_nobody() {
    let (world, package, shares) = answered().shares();
    assert!(package.signature(&shares).is_ok() && shares.iter().all(|share| package.judge(share).is_ok()));
    for place in SIGNERS {
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            package.signature(&altered(&shares, world.party(place), place, change)).unwrap_err()
        };
        for at in [64, 96, 128] {
            // the abscissa, a denominator, a numerator: other scalars
            let error = with(&|body| body[at..at + 32].fill(1));
            assert!(matches!(error, RunError::Spoilt) && error.liar().is_none(), "{at}: {error:?}");
        }
        assert!(named(&with(&|body| body[96..128].fill(0xff)), place, Lie::Malformed), "no scalar");
        assert!(named(&with(&|body| body.truncate(body.len() - 32)), place, Lie::Malformed));
        assert!(named(&with(&|body| body.push(0)), place, Lie::Malformed));
        assert!(matches!(with(&|body| body[0] ^= 1), RunError::Diverged { place: found } if found == place));
        assert!(matches!(with(&|body| body[32] ^= 1), RunError::Diverged { .. }), "other answers");
    }
    let missing = package.signature(&shares[..2]).unwrap_err();
    assert!(matches!(missing, RunError::Missing { places } if places == [3]));
    let zero = SIGNERS.iter().fold(shares, |shares, &place| {
        altered(&shares, world.party(place), place, |body| body[96..].fill(0))
    });
    assert!(matches!(package.signature(&zero), Err(RunError::Spoilt)));
}

#[test]
fn replays_restarts_and_steps_out_of_order_are_refused_by_name() {
    let attempt = answered();
    // Another attempt also where the run's seed is given.
    let mut world = world();
    world.random = world.random.fork();
    let (old, other) = (attempt.answers.clone(), answered_in(world));
    assert!(matches!(other.package.judge_answer(&old[1]), Err(RunError::OtherRun { place: 1 })));
    let mixed = [other.answers[0].clone(), old[1].clone(), other.answers[2].clone()];
    assert!(matches!(other.share(&mixed, 3).1, Err(RunError::OtherRun { place: 1 })));
    let early = [&old[..2], &attempt.commitments[2..]].concat();
    let (mut world, refused) = attempt.share(&early, 1);
    assert!(matches!(refused, Err(RunError::OtherStep { place: 3, found: Step::Commitment })));

    // an answer to commitments that the signer did not make in this life, and a share before any answer
    let plan = world.plan(&[1, 3], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let (_, messages) = world.commit(&signing, &[1, 3]);
    let (nonces, _) = world.commit(&signing, &[1, 3]);
    let package = signing.package(&messages).unwrap();
    assert!(matches!(answer(&world, &package, nonces, 1), Err(RunError::Foreign { place: 1 })));
    let (mut nonces, messages) = world.commit(&signing, &[1, 3]);
    let package = signing.package(&messages).unwrap();
    let (_, early) = nonces.remove(1);
    let (party, share) = (world.party(1), &world.shares[&1]);
    let sign = |message: &[u8]| party.sign(message);
    let refused = early.sign(share, &world.boots[1], &package, &messages, &party.key, sign).map(drop);
    assert!(matches!(refused, Err(RunError::Missing { places }) if places == SIGNERS));
    // twice is once too often, and the answer that was given stands there to be given again
    let (_, late) = nonces.remove(1);
    let (party, share) = (world.party(3), &world.shares[&3]);
    let sign = |message: &[u8]| party.sign(message);
    let (late, message) = late.answer(share, &world.boots[3], &package, &party.key, sign).unwrap();
    assert_eq!(late.answered(), Some(&message));
    let refused = late.answer(share, &world.boots[3], &package, &party.key, sign).map(drop);
    assert!(matches!(refused, Err(RunError::Spent { place: 3 })));
}
