use super::super::super::pieces::{Way, seal};
use super::super::super::*;
use super::super::Seeded;
use super::super::world::{Opened, Party, agreed, dealt, opened, parties, roster};
use super::{SCHEME, altered, named};
use zeroize::Zeroizing;

/// A generation of the user and both keepers, up to the openings.
fn begun() -> (Seeded, Vec<Party>, Opened) {
    let mut random = Seeded::printed();
    let all = parties(&mut random, 2);
    let opened = opened(&mut random, SCHEME, &all, 2);
    (random, all, opened)
}

#[test]
fn a_lie_in_an_opening_is_named_by_everybody_or_by_its_receiver() {
    let (_, all, Opened { generation, messages, .. }) = begun();
    for place in [USER, 2] {
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            generation.openings(&altered(&messages, &all[usize::from(place)], place, change)).unwrap_err()
        };
        assert!(named(&with(&|body| body.truncate(body.len() - 1)), place, Lie::Malformed));
        assert!(named(&with(&|body| body.push(0)), place, Lie::Malformed));
    }
    assert!(messages.iter().all(|opening| generation.judge(opening).is_ok()));

    // a piece that does not open, and one that is no scalar
    for is_scalar in [false, true] {
        let (mut random, all, Opened { generation, mut openers, messages }) = begun();
        let way = Way { run: generation.id(), transcript: &[0; 32], from: USER, to: 1 };
        let piece = Zeroizing::new([0xff; 32]);
        let mut wrong = seal(way, &roster(&all, 2), [&piece].into_iter(), &mut random).unwrap();
        *wrong.last_mut().unwrap() ^= u8::from(!is_scalar);
        let lying = altered(&messages, &all[0], USER, |body| body[..wrong.len()].copy_from_slice(&wrong));
        let openings = generation.openings(&lying).unwrap();
        let dealt = openers.remove(1).deal(&openings, &all[1].key, |message| all[1].sign(message));
        assert!(named(&dealt.map(drop).unwrap_err(), USER, Lie::Piece));
    }
}

#[test]
fn pieces_of_no_polynomial_spoil_the_key_and_convict_nobody() {
    let (mut random, all, Opened { generation, openers, messages }) = begun();
    let way = Way { run: generation.id(), transcript: &[0; 32], from: USER, to: 1 };
    let wrong = seal(way, &roster(&all, 2), [&Zeroizing::new([1; 32])].into_iter(), &mut random).unwrap();
    let lying = altered(&messages, &all[0], USER, |body| body[..wrong.len()].copy_from_slice(&wrong));
    let openings = generation.openings(&lying).unwrap();
    let liar = openers.into_iter().enumerate().map(|(place, opener)| {
        // the liar goes on as if it had said nothing else
        let seen = if place == 0 { generation.openings(&messages).unwrap() } else { openings.clone() };
        opener.deal(&seen, &all[place].key, |message| all[place].sign(message)).unwrap()
    });
    let (mut dealers, dealings): (Vec<_>, Vec<_>) = liar.unzip();
    let dealings: Vec<_> = dealings.iter().map(Message::encode).collect();
    // its dealing answers other openings than it signed, which everybody sees
    let error = dealers[1].agree(&openings, &dealings, |message| all[1].sign(message)).unwrap_err();
    assert!(matches!(error, RunError::Diverged { place: USER }));
    let transcript = Message::decode(&dealings[1]).unwrap().body()[..32].to_vec();
    let dealings = altered(&dealings, &all[0], USER, |body| body[..32].copy_from_slice(&transcript));
    let agree = |place: usize, dealer: &mut Dealer| {
        dealer.agree(&openings, &dealings, |message| all[place].sign(message))
    };
    assert!(matches!(agree(0, &mut dealers[0]), Err(RunError::Foreign { place: USER })));
    let honest: Vec<_> = [1, 2].map(|place| agree(place, &mut dealers[place]).unwrap().encode()).into();
    let finished = dealers[1].finish(&openings, &dealings, &honest, &all[1].key);
    assert!(matches!(finished.map(drop), Err(RunError::Missing { places }) if places == [USER]));
}

/// A generation up to the agreements.
struct Agreed {
    all: Vec<Party>,
    generation: Generation,
    openings: Openings,
    dealers: Vec<Dealer>,
    dealings: Vec<Vec<u8>>,
    agreements: Vec<Vec<u8>>,
}

fn up_to_agreements() -> Agreed {
    let (mut random, all, Opened { generation, openers, messages }) = begun();
    let openings = generation.openings(&messages).unwrap();
    let (mut dealers, dealings) = dealt(&mut random, &openings, openers, &all);
    let agreements = agreed(SCHEME, (&openings, &dealings), &mut dealers, &all);
    Agreed { all, generation, openings, dealers, dealings, agreements }
}

impl Agreed {
    fn finish(&mut self, dealings: &[Vec<u8>], agreements: &[Vec<u8>]) -> Result<Dealt, RunError> {
        self.dealers[1].finish(&self.openings, dealings, agreements, &self.all[1].key)
    }
}

#[test]
fn an_agreement_is_made_once_and_stands_by_exactly_these_dealings() {
    let Agreed { all, openings, mut dealers, dealings, agreements, generation } = up_to_agreements();
    let mut agree =
        |dealings: &[Vec<u8>]| dealers[1].agree(&openings, dealings, |message| all[1].sign(message));
    assert_eq!(agree(&dealings).unwrap().encode(), agreements[1], "asked again");
    for place in [USER, 2] {
        let party = &all[usize::from(place)];
        let mut with =
            |change: &dyn Fn(&mut Vec<u8>)| agree(&altered(&dealings, party, place, change)).unwrap_err();
        assert!(matches!(with(&|body| body[40] ^= 1), RunError::Spent { place: 1 }));
        assert!(matches!(with(&|body| body[0] ^= 1), RunError::Diverged { place: found } if found == place));
        assert!(named(&with(&|body| body.truncate(body.len() - 1)), place, Lie::Malformed));
        assert!(named(&with(&|body| body.extend([0; 32])), place, Lie::Malformed));
    }
    let own = altered(&dealings, &all[1], 1, |body| body[40] ^= 1);
    assert!(matches!(agree(&own), Err(RunError::Foreign { place: 1 })));
    assert!(matches!(agree(&dealings[..2]), Err(RunError::Missing { places }) if places == [2]));
    let twice = [&dealings[..], &altered(&dealings, &all[2], 2, |body| body[40] ^= 1)[2..]].concat();
    assert!(matches!(agree(&twice), Err(RunError::Equivocated { place: 2, .. })));
    let early = [&dealings[..2], &agreements[2..]].concat();
    assert!(matches!(agree(&early), Err(RunError::OtherStep { place: 2, found: Step::Agreement })));
    assert_ne!(generation.id(), &[0; 32]);
}

#[test]
fn a_lie_in_an_agreement_is_named_and_what_everybody_sees_costs_no_state() {
    let mut run = up_to_agreements();
    let (dealings, agreements) = (run.dealings.clone(), run.agreements.clone());
    for (place, party) in [(USER, 0), (2, 2)] {
        let with = |run: &Agreed, change: &dyn Fn(&mut Vec<u8>)| {
            altered(&agreements, &run.all[party], place, change)
        };
        let other = with(&run, &|body| body[0] ^= 1);
        let error = run.finish(&dealings, &other).unwrap_err();
        assert!(matches!(error, RunError::Diverged { place: found } if found == place));
        for malformed in [
            with(&run, &|body| body.truncate(body.len() - 1)),
            with(&run, &|body| body.push(0)),
            with(&run, &|body| body[32..36].fill(0xff)), // the length of a proof
            with(&run, &|body| body[36..69].fill(0xff)), // its point
        ] {
            assert!(named(&run.finish(&dealings, &malformed).unwrap_err(), place, Lie::Malformed));
        }
        // what is sealed to keeper 1 is the first or the second sealed part
        let sealed = with(&run, &|body| {
            let end = body.len() - 1;
            if place == USER { body[36 + 8192..].fill(3) } else { body[end] ^= 1 }
        });
        if place == USER {
            assert!(run.finish(&dealings, &sealed).unwrap_err().liar() == Some(USER));
        }
    }
    let own = altered(&agreements, &run.all[1], 1, |body| *body.last_mut().unwrap() ^= 1);
    assert!(matches!(run.finish(&dealings, &own), Err(RunError::Foreign { place: 1 })));
    assert!(matches!(run.finish(&dealings, &[]), Err(RunError::Missing { places }) if places == [0, 1, 2]));
    run.finish(&dealings, &agreements).unwrap();
    assert!(matches!(run.finish(&dealings, &agreements), Err(RunError::Foreign { place: 1 })));
}

#[test]
fn a_proof_or_a_seed_that_was_not_committed_to_is_named_and_uses_the_state_up() {
    // a proof of another run's value, well formed
    let (mut run, other) = (up_to_agreements(), up_to_agreements());
    let dealings = run.dealings.clone();
    let body = Message::decode(&other.agreements[2]).unwrap().body().to_vec();
    let length = 4 + usize::try_from(u32::from_be_bytes(body[32..36].try_into().unwrap())).unwrap();
    let agreements = altered(&run.agreements, &run.all[2], 2, |mine| {
        let own = 4 + usize::try_from(u32::from_be_bytes(mine[32..36].try_into().unwrap())).unwrap();
        mine.splice(32..32 + own, body[32..32 + length].iter().copied());
    });
    assert!(named(&run.finish(&dealings, &agreements).unwrap_err(), 2, Lie::Agreement));
    let honest = run.agreements.clone();
    assert!(matches!(run.finish(&dealings, &honest), Err(RunError::Foreign { place: 1 })), "used up");

    // a commitment to another seed than the one that comes: the dealer lied in its dealing, before anybody agreed
    let (mut random, all, Opened { generation, openers, messages }) = begun();
    let openings = generation.openings(&messages).unwrap();
    let (mut dealers, dealings) = dealt(&mut random, &openings, openers, &all);
    let lying = altered(&dealings, &all[2], 2, |body| *body.last_mut().unwrap() ^= 1); // for keeper 1
    let refused = dealers[2].agree(&openings, &lying, |message| all[2].sign(message)).map(drop);
    assert!(matches!(refused, Err(RunError::Foreign { place: 2 })));
}
