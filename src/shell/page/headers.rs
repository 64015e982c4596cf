//! What a request's headers say of who asks, and the session's cookie.

use super::access::{SESSION_LASTS, Token};
use crate::shell::hex::decode;
use hyper::header::{self, HeaderMap, HeaderValue};

/// Browsers take a cookie of this prefix only by TLS, and for this host alone.
const COOKIE: &str = "__Host-session";

/// Against a foreign page whose name suddenly means this machine (DNS rebinding): its
/// browser still says the foreign name. A tunnel's end may have any port.
pub(super) fn is_named_here(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback || name.eq_ignore_ascii_case("localhost")
}

/// Browsers say from where a request comes. Links from elsewhere may lead here, and forms
/// may not: they would use up the attempts at a code.
pub(super) fn is_foreign(headers: &HeaderMap, is_read: bool) -> bool {
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
    let is_link = is_read && says("sec-fetch-mode", "navigate");
    !is_link && ["cross-site", "same-site"].iter().any(|site| says("sec-fetch-site", site))
}

pub(super) fn session(headers: &HeaderMap) -> Option<Token> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let value = cookies.split(';').find_map(|pair| {
        pair.trim().split_once('=').filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
    })?;
    decode(value)
}

pub(super) fn cookie(token: &Token) -> HeaderValue {
    let text = format!(
        "{COOKIE}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
        hex(token),
        SESSION_LASTS.as_secs()
    );
    let mut value = HeaderValue::try_from(text).expect("it is ASCII");
    value.set_sensitive(true);
    value
}

/// Ends it in the browser as well.
pub(super) fn no_cookie() -> HeaderValue {
    let text = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).expect("it is ASCII")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::try_from(value).expect("a value");
        HeaderMap::from_iter([(header::HeaderName::from_static(name), value)])
    }

    #[test]
    fn only_names_of_this_machine_are_answered_to() {
        for host in ["127.0.0.1", "127.0.0.1:8080", "localhost:9", "LOCALHOST", "[::1]:8080"] {
            assert!(is_named_here(&headers("host", host)), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "192.0.2.7"]
        {
            assert!(!is_named_here(&headers("host", host)), "{host}");
        }
        assert!(!is_named_here(&HeaderMap::new()));
    }

    #[test]
    fn a_session_is_read_back_from_its_cookie() {
        let token = [0xAB; 16];
        let set = cookie(&token);
        let pair = set.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
        assert_eq!(session(&headers("cookie", &format!("a=b; {pair}; c=d"))), Some(token));
        for other in ["", "a=b", "__Host-session=", "__Host-session=zz", &format!("{pair}00")] {
            assert_eq!(session(&headers("cookie", other)), None, "{other}");
        }
    }
}
