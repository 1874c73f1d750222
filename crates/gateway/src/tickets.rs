//! Tickets: a caller who can send headers gets one for a page that cannot (`EventSource`, `WebSocket`), good for a minute and one API. It may
//! be shown several times, for whoever loses the connection comes again with the same URL.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result, Retry},
    exchange::{Exchange, Principal},
};

/// How long one is good for.
pub const GOOD_FOR: Duration = Duration::from_mins(1);
/// At a time, in memory.
const MOST: usize = 100_000;

/// All that are good now.
#[derive(Default)]
pub struct Tickets(Mutex<Open>);
#[derive(Default)]
struct Open {
    tickets: HashMap<u128, Ticket>,
    /// In the order in which they end.
    ends: VecDeque<(i64, u128)>,
}
struct Ticket {
    api: Box<str>,
    ends: i64,
    holder: Holder,
}
/// For whom it was given.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// Who asked for it; `None` where nobody has to say.
    pub principal: Option<Principal>,
    /// When that ends, microseconds.
    pub expires: Option<i64>,
}
impl Tickets {
    /// A new one for whoever was admitted, and when it ends in microseconds since the epoch. Nobody can guess it.
    pub fn issue(&self, x: &Exchange) -> Result<(String, i64)> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)
            .map_err(|error| Error::new(Code::Internal, Fault::Gateway, "no random numbers").because(error.to_string()))?;
        let number = u128::from_be_bytes(bits);
        let now = clock::now_us();
        let ends = now.saturating_add(GOOD_FOR.as_micros() as i64);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.forget(now);
        if open.tickets.len() >= MOST {
            let full = Error::new(Code::Overloaded, Fault::Gateway, format!("{MOST} tickets are out"));
            return Err(full.with_retry(Retry::After(GOOD_FOR)));
        }
        let ticket = Ticket {
            api: x.api.as_ref().into(),
            ends,
            holder: Holder {
                principal: x.principal.clone(),
                expires: x.expires,
            },
        };
        open.tickets.insert(number, ticket);
        open.ends.push_back((ends, number));
        Ok((format!("tkt_{number:032x}"), ends))
    }
    /// Whose it is. One that is wrong, over or for another API is told alike.
    pub fn redeem(&self, api: &str, text: &str) -> Result<Holder> {
        let number = text.strip_prefix("tkt_").filter(|digits| digits.len() == 32);
        let number = number.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.forget(clock::now_us());
        let ticket = number
            .and_then(|number| open.tickets.get(&number))
            .filter(|ticket| *ticket.api == *api);
        ticket.map(|ticket| ticket.holder.clone()).ok_or_else(|| {
            Error::client(Code::Unauthorized, "the ticket is wrong, for another api, or over")
                .with_hint("`POST path/_ticket` gives one for a minute")
        })
    }
}
impl Open {
    fn forget(&mut self, now: i64) {
        while let Some((_, number)) = self.ends.pop_front_if(|(ends, _)| *ends <= now) {
            if self.tickets.get(&number).is_some_and(|ticket| ticket.ends <= now) {
                self.tickets.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_for_one_api_and_cannot_be_changed() {
        let tickets = Tickets::default();
        let mut x = Exchange::new("orders".into());
        x.principal = Some(Principal {
            id: "alice".into(),
            application: None,
        });
        let (text, ends) = tickets.issue(&x).unwrap();
        assert!(ends > clock::now_us());
        for _ in 0..2 {
            assert_eq!(&*tickets.redeem("orders", &text).unwrap().principal.unwrap().id, "alice");
        }
        let other = tickets.issue(&x).unwrap().0;
        assert_ne!(text, other);
        let cut = text.strip_suffix(|_: char| true).unwrap();
        for (api, shown) in [
            ("other", &*text),
            ("orders", cut),
            ("orders", ""),
            ("orders", &text.replace("tkt_", "")),
        ] {
            assert_eq!(tickets.redeem(api, shown).unwrap_err().code(), Code::Unauthorized, "{shown}");
        }
        tickets.0.lock().unwrap().forget(i64::MAX);
        assert_eq!(tickets.redeem("orders", &text).unwrap_err().code(), Code::Unauthorized);
    }
}
