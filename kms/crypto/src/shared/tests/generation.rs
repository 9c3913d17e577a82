use super::super::pieces::{Way, seal};
use super::super::*;
use super::world::{Opened, altered, dealt, lie, opened, parties};
use super::{FROST, Seeded};
use zeroize::Zeroizing;

fn lied(error: &RunError, place: u8, what: Lie) -> bool {
    matches!(error, RunError::Lied { place: found, lie, evidence, .. }
        if *found == place && *lie == what && !evidence.is_empty())
}

#[test]
fn a_lie_in_an_opening_is_named() {
    for scheme in FROST {
        let mut random = Seeded::printed();
        let all = parties(&mut random, 3);
        let Opened { generation, messages, .. } = opened(&mut random, scheme, &all, 2);
        let open = |messages: &[Vec<u8>]| generation.openings(messages).unwrap_err();
        for place in 0..=3_u8 {
            let party = &all[usize::from(place)];
            let with = |change: &dyn Fn(&mut Vec<u8>)| open(&altered(&messages, party, place, change));
            // a proof of another constant, a point that is none, too little, too much
            let error = with(&|body| *body.last_mut().unwrap() ^= 1);
            assert!(lied(&error, place, Lie::Opening));
            let RunError::Lied { evidence, .. } = error else { unreachable!() };
            assert_eq!(generation.judge(&evidence[0]).unwrap_err().liar(), Some(place));
            assert!(generation.judge(&messages[usize::from(place)]).is_ok());
            assert!(lied(&with(&|body| body[..33].fill(0xff)), place, Lie::Opening));
            assert!(lied(&with(&|body| body.truncate(body.len() - 1)), place, Lie::Malformed));
            assert!(lied(&with(&|body| body.push(0)), place, Lie::Malformed));
        }
        // another holder's commitments and proof, said to be the own ones
        let stolen = Message::decode(&messages[1]).unwrap().body().to_vec();
        let error = open(&altered(&messages, &all[2], 2, |body| *body = stolen));
        assert!(lied(&error, 2, Lie::Opening));
    }
}

#[test]
fn replays_forgeries_and_gaps_are_refused_by_name() {
    let mut random = Seeded::printed();
    let all = parties(&mut random, 3);
    let Opened { generation, openers, messages } = opened(&mut random, SharedScheme::Ed25519, &all, 2);
    let open = |messages: &[Vec<u8>]| generation.openings(messages).unwrap_err();

    let mut forged = messages.clone();
    *forged[2].last_mut().unwrap() ^= 1;
    assert!(matches!(open(&forged), RunError::Unsigned { place: 2 }));
    assert_eq!(open(&forged).liar(), None);

    let name = KeyName { chain_id: [0; 32], key: [0; 32] };
    let next = Generation::new(name, SharedScheme::Ed25519, super::world::roster(&all, 2), 1);
    let (_, replayed) = next.open_with(2, |message| all[2].sign(message), &mut random).unwrap();
    let mut mixed = messages.clone();
    mixed[2] = replayed.encode();
    assert!(matches!(open(&mixed), RunError::OtherRun { place: 2 }));

    assert!(matches!(open(&messages[..2]), RunError::Missing { places } if places == [2, 3]));
    let stranger = lie(&all[1], (Step::Opening, generation.id(), 9), Vec::new());
    assert!(matches!(open(&[stranger]), RunError::NotAHolder { place: 9 }));
    assert!(matches!(open(&[Vec::new()]), RunError::Message(MessageError::Length { found: 0 })));

    // the same message again changes nothing, under whatever signature; another one convicts its sender
    let again = [&messages[..], &messages[1..2]].concat();
    assert!(generation.openings(&again).is_ok());
    let (_, second) = generation.open_with(1, |message| all[1].sign(message), &mut random).unwrap();
    let both = [&messages[..], &[second.encode()]].concat();
    let error = open(&both);
    assert_eq!(error.liar(), Some(1));
    let RunError::Equivocated { evidence: [first, second], .. } = error else { panic!("{error:?}") };
    let roster = super::world::roster(&all, 2);
    assert_eq!(equivocation(&roster, [&first, &second]), Some(1));
    assert_eq!(equivocation(&roster, [&first, &first]), None);
    assert_eq!(equivocation(&roster, [&messages[1], &messages[2]]), None);

    let openings = generation.openings(&messages).unwrap();
    assert_eq!(openings.hashes()[&3], Message::decode(&messages[3]).unwrap().hash());
    let (_, dealings) = dealt(&mut random, &openings, openers, &all);
    let mut early = messages.clone();
    early[1] = dealings[1].clone();
    assert!(matches!(open(&early), RunError::OtherStep { place: 1, found: Step::Dealing }));
}

#[test]
fn a_lie_in_a_dealing_is_named_by_its_receiver() {
    for scheme in FROST {
        for liar in [USER, 2] {
            for kind in 0..4 {
                let mut random = Seeded::printed();
                let all = parties(&mut random, 3);
                let Opened { generation, openers, messages } = opened(&mut random, scheme, &all, 2);
                let openings = generation.openings(&messages).unwrap();
                let (mut dealers, dealings) = dealt(&mut random, &openings, openers, &all);
                let roster = super::world::roster(&all, 2);
                let party = &all[usize::from(liar)];
                let (honest, dealings) = (
                    dealings.clone(),
                    altered(&dealings, party, liar, |body| match kind {
                        // a wrong scalar, properly sealed to keeper 1, who is the first or second receiver
                        0 => {
                            let transcript: [u8; 32] = body[..32].try_into().unwrap();
                            let way =
                                Way { run: generation.id(), transcript: &transcript, from: liar, to: 1 };
                            let scalars = vec![Zeroizing::new([1; 32]); if liar == USER { 2 } else { 1 }];
                            let wrong = seal(way, &roster, scalars.iter(), &mut random).unwrap();
                            let start = if liar == USER { 32 } else { 32 + 32 + 16 + 1 + 64 };
                            body[start..start + wrong.len()].copy_from_slice(&wrong);
                        }
                        // something that does not open
                        1 => body[32..].fill(7),
                        2 => body.truncate(body.len() - 1),
                        _ => body[0] ^= 1,
                    }),
                );
                let mut dealer = dealers.remove(1);
                let error = dealer.finish(&openings, &dealings, &[], &all[1].key).unwrap_err();
                assert!(dealer.finish(&openings, &honest, &[], &all[1].key).is_ok(), "junk ends no run");
                let named = match kind {
                    0 | 1 => lied(&error, liar, Lie::Piece) && !Lie::Piece.is_public(),
                    2 => lied(&error, liar, Lie::Malformed),
                    _ => matches!(error, RunError::Diverged { place } if place == liar),
                };
                assert!(named, "{kind}: {error:?}");
            }
        }
    }
}

#[test]
fn nobody_stands_by_what_it_has_not_made_and_everybody_confirms_the_same_key() {
    let mut random = Seeded::printed();
    let all = parties(&mut random, 2);
    let Opened { generation, openers, messages } = opened(&mut random, SharedScheme::Bip340, &all, 2);
    // whoever carries the messages cannot put another opening of the holder in its place
    let (second, other) = generation.open_with(1, |message| all[1].sign(message), &mut random).unwrap();
    let openings = generation.openings(&messages).unwrap();
    let refused = second.deal(&openings, &all[1].key, |message| all[1].sign(message));
    assert!(matches!(refused, Err(RunError::Foreign { place: 1 })));
    assert_ne!(other.encode(), messages[1]);

    let (dealers, dealings) = dealt(&mut random, &openings, openers, &all);
    let mut finished: Vec<_> = dealers
        .into_iter()
        .zip(&all)
        .map(|(mut dealer, party)| dealer.finish(&openings, &dealings, &[], &party.key).unwrap())
        .collect();
    let confirm = |dealt: &Dealt| {
        let party = &all[usize::from(dealt.share().place())];
        dealt.confirmation(|message| party.sign(message)).encode()
    };
    let confirmations: Vec<_> = finished.iter().map(confirm).collect();
    let key = finished[0].key().clone();
    let roster = super::world::roster(&all, 2);
    key.confirmed(&roster, generation.id(), &confirmations).unwrap();
    let of_another = altered(&confirmations, &all[2], 2, |body| body[0] ^= 1);
    assert!(matches!(
        key.confirmed(&roster, generation.id(), &of_another),
        Err(RunError::Diverged { place: 2 })
    ));
    let short = altered(&confirmations, &all[2], 2, |body| body.truncate(31));
    assert!(lied(&key.confirmed(&roster, generation.id(), &short).unwrap_err(), 2, Lie::Malformed));
    let missing = finished.remove(0).confirmed(&confirmations[..2]).unwrap_err();
    assert!(matches!(missing, RunError::Missing { places } if places == [2]));
}
