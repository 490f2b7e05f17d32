//! The address of a proxy, with the credentials that are sent to it.

use http::{HeaderValue, Uri};

use super::TextError;
use crate::config::Proxy;

/// The digits of RFC 4648, section 4.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads `http://host:port` or `http://user:password@host:port`. No port is 80, as in any URL.
///
/// # Errors
/// Not http, no host, a path or a query, or credentials that are not encoded as URLs are.
pub fn proxy(text: &str) -> Result<Proxy, TextError> {
    let rest = text.strip_prefix("http://").ok_or(TextError::Proxy)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let address: Uri = format!("http://{place}/")
        .parse()
        .map_err(|_| TextError::Proxy)?;
    let authority = address.authority().ok_or(TextError::Proxy)?;
    let port = authority.as_str().strip_prefix(authority.host());
    let port_ok = port.is_some_and(|port| port.is_empty() || authority.port_u16().is_some());
    if authority.host().is_empty() || !port_ok || authority.as_str() != place {
        return Err(TextError::Proxy);
    }
    let authorization = user.map(authorization).transpose()?;
    Ok(Proxy {
        address,
        authorization,
    })
}

/// `Basic` credentials (RFC 7617) of `user:password`.
fn authorization(user: &str) -> Result<HeaderValue, TextError> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain = decoded(name).ok_or(TextError::ProxyUser)?;
    if plain.contains(&b':') {
        return Err(TextError::ProxyUser);
    }
    plain.push(b':');
    plain.extend(decoded(password).ok_or(TextError::ProxyUser)?);
    let value = format!("Basic {}", base64(&plain));
    let mut value = HeaderValue::from_str(&value).map_err(|_| TextError::ProxyUser)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Text of a URL with `%41` resolved; `None`: a `%` without two digits, or a letter that a URL
/// can't hold.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                u8::from_str_radix(digits, 16).ok()?
            }
            b'@' | b'/' | b'?' | b'#' => return None,
            byte if byte.is_ascii_graphic() => byte,
            _ => return None,
        });
    }
    Some(plain)
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .zip([16_u32, 8, 0])
            .fold(0, |group, (byte, shift)| group | u32::from(*byte) << shift);
        for (place, shift) in [18_u32, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from(group >> shift & 63).unwrap_or(0);
            let digit = BASE64.get(digit).filter(|_| place <= chunk.len());
            text.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn credentials_are_taken_out_of_the_address_decoded_and_never_printed() {
        let proxy = proxy("http://us%3aer:p%40ss%2Fw@10.0.0.5:3128/").unwrap_err();
        assert_eq!(proxy, TextError::ProxyUser);
        let proxy = super::proxy("http://user:p%40ss%2Fw@10.0.0.5:3128/").unwrap();
        assert_eq!(proxy.address, "http://10.0.0.5:3128/");
        let header = proxy.authorization.as_ref().unwrap();
        assert_eq!(header, &format!("Basic {}", base64(b"user:p@ss/w")));
        assert!(!format!("{proxy:?}").contains("Basic"), "{proxy:?}");
        assert_eq!(super::proxy("http://proxy").unwrap().authorization, None);
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in [
            "https://proxy:3128",
            "socks5://proxy:1080",
            "proxy:3128",
            "http://",
            "http://proxy:port",
            "http://proxy:3128/path",
            "http://proxy:3128?x",
            "http://user:pass@",
        ] {
            assert_eq!(proxy(text).unwrap_err(), TextError::Proxy, "{text}");
        }
        for text in ["http://u:p%4@proxy", "http://u:p/w@proxy", "http://ü@proxy"] {
            assert_eq!(proxy(text).unwrap_err(), TextError::ProxyUser, "{text}");
        }
    }
}
