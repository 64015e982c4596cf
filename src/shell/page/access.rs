//! Who may see the page over the network: whoever traded an installer's one-time
//! code for a session. Time and chance are arguments.
//!
//! A code has eight digits and ten minutes. With the attempts that are let through
//! in that time, guessing finds it once in 300,000 tries to break in.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long a code may wait for its use.
pub(super) const CODE_LASTS: Duration = Duration::from_secs(600);
/// A working day.
pub(super) const SESSION_LASTS: Duration = Duration::from_secs(8 * 3600);
const CODE_DIGITS: usize = 8;
/// Browsers at once; the oldest gives way.
const SESSIONS_MAX: usize = 8;
/// Attempts are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Wrong codes in the window, from one address and from all.
const ATTEMPTS_OF_ONE_MAX: u32 = 5;
const ATTEMPTS_OF_ALL_MAX: u32 = 30;

/// What a browser shows to be let in: 128 random bits.
pub(super) type Token = [u8; 16];

/// Kept instead of a secret, so that a look into the memory finds none.
type Hash = [u8; 32];

/// Why a code is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It is not, or no longer, the code.
    Wrong,
    /// Too many wrong ones; whether this one was right is not said.
    TooMany,
}

/// The code that waits, and the sessions.
#[derive(Debug, Default)]
pub(super) struct Access {
    code: Option<(Hash, Instant)>,
    sessions: Vec<(Hash, Instant)>,
    attempts: Attempts,
}

impl Access {
    /// A new code, as it is told to the installer; the one before is void. `random`
    /// comes from the kernel.
    pub(super) fn new_code(&mut self, random: u64, now: Instant) -> Zeroizing<String> {
        // The remainder favours no code by more than 1 in 10^11.
        let number = random % 10u64.pow(CODE_DIGITS as u32);
        let digits = Zeroizing::new(format!("{number:0width$}", width = CODE_DIGITS));
        self.code = Some((hash(digits.as_bytes()), now + CODE_LASTS));
        let (first, last) = digits.split_at(CODE_DIGITS / 2);
        Zeroizing::new(format!("{first}-{last}"))
    }

    /// Takes the code once and makes `token` a session.
    ///
    /// # Errors
    /// The session is not made.
    pub(super) fn trade(
        &mut self,
        typed: &str,
        from: IpAddr,
        token: &Token,
        now: Instant,
    ) -> Result<(), Denied> {
        if self.attempts.are_spent(from, now) {
            return Err(Denied::TooMany);
        }
        let typed: Zeroizing<Vec<u8>> =
            Zeroizing::new(typed.bytes().filter(u8::is_ascii_digit).take(64).collect());
        let (code, lasts_until) = self.code.unwrap_or(([0; 32], now));
        let is_right = bool::from(hash(&typed).ct_eq(&code));
        if !is_right || lasts_until <= now {
            self.attempts.count(from, now);
            return Err(Denied::Wrong);
        }
        self.code = None;
        self.sessions.retain(|(_, until)| *until > now);
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.remove(0);
        }
        self.sessions.push((hash(token), now + SESSION_LASTS));
        Ok(())
    }

    /// Whether this is the token of a session.
    pub(super) fn admits(&self, token: &Token, now: Instant) -> bool {
        let shown = hash(token);
        // All are looked at, whichever it is.
        self.sessions.iter().fold(false, |admitted, (known, until)| {
            admitted | (bool::from(shown.ct_eq(known)) && *until > now)
        })
    }

    /// Ends a session.
    pub(super) fn end(&mut self, token: &Token) {
        let shown = hash(token);
        self.sessions.retain(|(known, _)| !bool::from(shown.ct_eq(known)));
    }

    /// How many sessions there are.
    pub(super) fn sessions(&self, now: Instant) -> usize {
        self.sessions.iter().filter(|(_, until)| *until > now).count()
    }
}

/// Wrong codes in the running window, by whose they were.
#[derive(Debug, Default)]
struct Attempts {
    begun: Option<Instant>,
    of_all: u32,
    /// Bounded by [`ATTEMPTS_OF_ALL_MAX`].
    of_one: BTreeMap<IpAddr, u32>,
}

impl Attempts {
    fn are_spent(&mut self, from: IpAddr, now: Instant) -> bool {
        if self.begun.is_some_and(|begun| now - begun >= WINDOW) {
            *self = Self::default();
        }
        let of_one = self.of_one.get(&whose(from)).copied().unwrap_or(0);
        of_one >= ATTEMPTS_OF_ONE_MAX || self.of_all >= ATTEMPTS_OF_ALL_MAX
    }

    fn count(&mut self, from: IpAddr, now: Instant) {
        self.begun.get_or_insert(now);
        self.of_all += 1;
        *self.of_one.entry(whose(from)).or_default() += 1;
    }
}

/// An IPv6 host has a whole /64 to come from.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 => v4,
    }
}

fn hash(secret: &[u8]) -> Hash {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn elsewhere(number: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, number))
    }

    #[test]
    fn a_code_is_good_once_and_for_ten_minutes() {
        let mut access = Access::default();
        let now = Instant::now();
        let code = access.new_code(12_345_678, now);
        assert_eq!(code.as_str(), "1234-5678");
        let (one, other) = ([1; 16], [2; 16]);
        assert!(!access.admits(&one, now));
        assert_eq!(access.trade("1234 5678", HERE, &one, now), Ok(()));
        assert_eq!(access.trade(&code, HERE, &other, now), Err(Denied::Wrong), "once");
        assert!(access.admits(&one, now) && !access.admits(&other, now));
        assert!(!access.admits(&one, now + SESSION_LASTS));
        let late = now + CODE_LASTS;
        let code = access.new_code(1, now);
        assert_eq!(code.as_str(), "0000-0001");
        assert_eq!(access.trade(&code, HERE, &other, late), Err(Denied::Wrong), "too late");
        access.end(&one);
        assert!(!access.admits(&one, now));
    }

    #[test]
    fn without_a_code_nothing_is_right() {
        let mut access = Access::default();
        let now = Instant::now();
        for typed in ["", "00000000", &"0".repeat(64)] {
            assert_eq!(access.trade(typed, HERE, &[0; 16], now), Err(Denied::Wrong));
        }
        assert!(!access.admits(&[0; 16], now));
    }

    #[test]
    fn a_new_code_makes_the_old_one_void() {
        let mut access = Access::default();
        let now = Instant::now();
        let old = access.new_code(1, now);
        access.new_code(2, now);
        assert_eq!(access.trade(&old, HERE, &[1; 16], now), Err(Denied::Wrong));
    }

    #[test]
    fn who_guesses_is_locked_out_and_others_are_not() {
        let mut access = Access::default();
        let now = Instant::now();
        let code = access.new_code(7, now);
        for _ in 0..ATTEMPTS_OF_ONE_MAX {
            assert_eq!(access.trade("99999999", HERE, &[1; 16], now), Err(Denied::Wrong));
        }
        assert_eq!(access.trade(&code, HERE, &[1; 16], now), Err(Denied::TooMany));
        assert_eq!(access.trade(&code, HERE, &[1; 16], now + WINDOW), Ok(()));

        let now = now + 2 * WINDOW;
        let code = access.new_code(8, now);
        for attempt in 0..ATTEMPTS_OF_ALL_MAX {
            let from = elsewhere(u8::try_from(attempt / ATTEMPTS_OF_ONE_MAX).expect("few"));
            assert_eq!(access.trade("1", from, &[1; 16], now), Err(Denied::Wrong), "{attempt}");
        }
        assert_eq!(access.trade(&code, HERE, &[1; 16], now), Err(Denied::TooMany));
    }

    #[test]
    fn addresses_of_one_host_count_together() {
        let mut access = Access::default();
        let now = Instant::now();
        for host in 0..ATTEMPTS_OF_ONE_MAX {
            let from: IpAddr = format!("2001:db8::{host:x}").parse().expect("an address");
            assert_eq!(access.trade("1", from, &[1; 16], now), Err(Denied::Wrong));
        }
        let from: IpAddr = "2001:db8::ffff".parse().expect("an address");
        assert_eq!(access.trade("1", from, &[1; 16], now), Err(Denied::TooMany));
    }

    #[test]
    fn the_oldest_of_many_sessions_gives_way() {
        let mut access = Access::default();
        let now = Instant::now();
        for number in 0..=u8::try_from(SESSIONS_MAX).expect("few") {
            let code = access.new_code(number.into(), now);
            access.trade(&code, HERE, &[number; 16], now).expect("it is right");
        }
        assert_eq!(access.sessions(now), SESSIONS_MAX);
        assert!(!access.admits(&[0; 16], now) && access.admits(&[1; 16], now));
    }
}
