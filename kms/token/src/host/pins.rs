//! The PINs that outlive a child: those that were right are held for the next one, those refused are never given again.

use crate::error::TokenError;
use crate::library::{GUESSES_MAX, REFUSED_MAX};
use crate::queue::Outcome;
use crate::types::{Pin, TokenName};

/// PINs of the tokens behind one module.
#[derive(Default)]
pub(super) struct Pins {
    held: Vec<(TokenName, Pin)>,
    refused: Vec<(TokenName, Pin)>,
}

impl Pins {
    /// Whether this very PIN was refused before.
    pub(super) fn was_refused(&self, token: &TokenName, pin: &Pin) -> bool {
        self.refused.iter().any(|(other, refused)| other == token && refused.matches(pin))
    }

    /// Whether this PIN would be one guess too many beside the one that is held. A child counts, too, but the next one
    /// knows nothing of it.
    pub(super) fn was_guessed(&self, token: &TokenName, pin: &Pin) -> bool {
        let guesses = self.refused.iter().filter(|(other, _)| other == token).count();
        guesses >= GUESSES_MAX && self.held.iter().any(|(other, held)| other == token && !held.matches(pin))
    }

    /// Takes note of how a login ended.
    pub(super) fn logged_in(&mut self, token: &TokenName, pin: Pin, outcome: &Outcome) {
        let is_held = self.held.iter().any(|(other, held)| other == token && held.matches(&pin));
        match outcome {
            Ok(_) if is_held => {}
            Ok(_) => {
                self.forget(token);
                self.refused.retain(|(other, _)| other != token);
                self.held.push((token.clone(), pin));
            }
            Err(error) if refuses(error) => {
                if is_held {
                    self.forget(token);
                }
                self.refuse(token, pin);
            }
            Err(_) => {}
        }
    }

    /// Takes note of what another job on the token met: a PIN held that is refused now is not given again.
    pub(super) fn met(&mut self, token: &TokenName, outcome: &Outcome) {
        if let Err(error) = outcome
            && refuses(error)
            && let Some(at) = self.held.iter().position(|(other, _)| other == token)
        {
            let (_, pin) = self.held.swap_remove(at);
            self.refuse(token, pin);
        }
    }

    /// No PIN is held for this token any more.
    pub(super) fn forget(&mut self, token: &TokenName) {
        self.held.retain(|(other, _)| other != token);
    }

    fn refuse(&mut self, token: &TokenName, pin: Pin) {
        if self.was_refused(token, &pin) {
            return;
        }
        // Each token has places of its own: guesses at one do not make those at another forgotten.
        let is_of_it = |(other, _): &(TokenName, Pin)| other == token;
        if self.refused.iter().filter(|refused| is_of_it(refused)).count() >= REFUSED_MAX
            && let Some(oldest) = self.refused.iter().position(is_of_it)
        {
            self.refused.remove(oldest);
        }
        self.refused.push((token.clone(), pin));
    }

    /// What a new child is to hold.
    pub(super) fn held(&self) -> impl Iterator<Item = (TokenName, Pin)> {
        self.held.iter().map(|(token, pin)| (token.clone(), pin.duplicate()))
    }
}

/// Whether a token has looked at a PIN and refused it.
const fn refuses(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::PinWrong { .. } | TokenError::PinForm { .. } | TokenError::PinRefusedBefore { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PinTries;
    use crate::request::Answer;

    fn pin(text: &str) -> Pin {
        Pin::new(text.into()).unwrap()
    }

    #[test]
    fn right_pins_are_held_and_refused_ones_never_given_again() {
        let (mut pins, token) = (Pins::default(), TokenName::new("t"));
        let wrong = || Err(TokenError::PinWrong { token: TokenName::new("t"), tries: PinTries::Low });
        pins.logged_in(&token, pin("0000"), &wrong());
        assert!(pins.was_refused(&token, &pin("0000")) && !pins.was_refused(&token, &pin("1234")));
        assert_eq!(pins.held().count(), 0);
        pins.logged_in(&token, pin("1234"), &Ok(Answer::Done {}));
        assert_eq!(pins.held().count(), 1);
        // Changed elsewhere meanwhile: the one held is refused, and is not held any more.
        pins.met(&token, &wrong());
        assert_eq!(pins.held().count(), 0);
        assert!(pins.was_refused(&token, &pin("1234")));
        pins.logged_in(&token, pin("1234"), &Err(TokenError::PinLocked { token: token.clone() }));
        assert_eq!(pins.held().count(), 0);
    }

    #[test]
    fn guesses_are_counted_beside_the_pin_held_and_each_is_remembered() {
        let (mut pins, token) = (Pins::default(), TokenName::new("t"));
        let wrong = || Err(TokenError::PinWrong { token: TokenName::new("t"), tries: PinTries::Low });
        pins.logged_in(&token, pin("1234"), &Ok(Answer::Done {}));
        for guess in ["0001", "0002", "0003"] {
            assert!(!pins.was_guessed(&token, &pin(guess)));
            pins.logged_in(&token, pin(guess), &wrong());
        }
        assert!(["0001", "0002", "0003"].iter().all(|guess| pins.was_refused(&token, &pin(guess))));
        assert!(pins.was_guessed(&token, &pin("0004")) && !pins.was_guessed(&token, &pin("1234")));
        assert!(!pins.was_guessed(&TokenName::new("another"), &pin("0004")));
        // The PIN held, given once more, is no news.
        pins.logged_in(&token, pin("1234"), &Ok(Answer::Done {}));
        assert!(pins.was_guessed(&token, &pin("0004")));
        // A login that finds the PIN held refused ends that.
        pins.logged_in(&token, pin("1234"), &wrong());
        assert_eq!(pins.held().count(), 0);
        assert!(pins.was_refused(&token, &pin("1234")) && !pins.was_guessed(&token, &pin("0004")));
        let another = TokenName::new("another");
        pins.logged_in(&another, pin("0001"), &wrong());
        for guess in 0..REFUSED_MAX {
            pins.logged_in(&token, pin(&format!("guess {guess}")), &wrong());
        }
        assert_eq!(pins.refused.len(), REFUSED_MAX + 1);
        assert!(pins.was_refused(&another, &pin("0001")), "another token's");
        assert!(!pins.was_refused(&token, &pin("0001")) && pins.was_refused(&token, &pin("guess 0")));
    }
}
