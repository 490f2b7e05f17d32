use std::time::Duration;

use super::*;
use crate::config::Ledger;

#[test]
fn a_duration_is_a_whole_number_with_a_unit() {
    for (text, millis) in [
        ("250ms", 250),
        ("5s", 5_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("0s", 0),
        ("0", 0),
        ("720h", 2_592_000_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "5", "s", "-5s", "1.5s", "5 s", "5sec", "1d", "5S", "٥s"] {
        assert_eq!(duration(text), Err(TextError::Duration), "{text:?}");
    }
    for text in ["721h", "99999999999999999999s", "18446744073709551615h"] {
        assert_eq!(duration(text), Err(TextError::DurationTooLong), "{text}");
    }
}

#[test]
fn a_size_takes_decimal_and_binary_units() {
    for (text, bytes) in [
        ("32MiB", 33_554_432),
        ("1MB", 1_000_000),
        ("500KiB", 512_000),
        ("7", 7),
        ("1GiB", 1 << 30),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "1M", "1 MiB", "1.5MiB", "-1", "1mib"] {
        assert_eq!(size(text), Err(TextError::Size), "{text:?}");
    }
    assert_eq!(size("99999999999GiB"), Err(TextError::TooLarge));
}

#[test]
fn a_base_url_is_plain_http_and_loses_its_trailing_slash() {
    assert_eq!(
        url("http://10.0.0.5:8000/v1/").unwrap().to_string(),
        "http://10.0.0.5:8000/v1"
    );
    assert_eq!(
        url("https://api.example.com").unwrap().host(),
        Some("api.example.com")
    );
    assert!(url("http://[::1]:8000/v1").is_ok());
    for (text, error) in [
        ("", TextError::Url),
        ("10.0.0.5:8000/v1", TextError::Url),
        ("/v1", TextError::Url),
        ("ftp://host/v1", TextError::Url),
        ("http://", TextError::Url),
        ("http://host:99999/v1", TextError::Url),
        ("http://host:/v1", TextError::Url),
        ("https://bedrock.{region}.example.com", TextError::Url),
        ("https://user:word@host/v1", TextError::UrlUser),
        ("https://host/v1?key=1", TextError::UrlQuery),
        ("https://host/v1#top", TextError::UrlQuery),
        (
            "https://host/v1/chat/completions",
            TextError::UrlEndpoint("/chat/completions"),
        ),
    ] {
        assert_eq!(url(text), Err(error), "{text:?}");
    }
}

#[test]
fn an_origin_has_no_path() {
    for text in ["*", "https://app.example.com", "http://localhost:3000"] {
        assert!(origin(text).is_ok(), "{text}");
    }
    for text in [
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "null",
    ] {
        assert_eq!(origin(text), Err(TextError::Origin), "{text}");
    }
}

#[test]
fn headers_of_the_connection_and_our_own_cannot_be_set() {
    assert_eq!(header_name("X-Team").unwrap().as_str(), "x-team");
    for text in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "x-tollgate-cost-usd",
    ] {
        assert_eq!(header_name(text), Err(TextError::HeaderReserved), "{text}");
    }
    assert_eq!(header_name("a b"), Err(TextError::HeaderName));
    assert_eq!(header_value("a\r\nb: c"), Err(TextError::HeaderValue));
    assert!(!format!("{:?}", header_value("secret").unwrap()).contains("secret"));
}

#[test]
fn names_are_printable_and_a_star_stands_only_at_the_end() {
    assert_eq!(name("Qwen/Qwen3-32B:free"), Ok(()));
    assert_eq!(name("a b"), Err(TextError::Name));
    assert_eq!(name("qwen*"), Err(TextError::Star));
    for text in ["*", "qwen*", "auto"] {
        assert_eq!(pattern(text), Ok(()), "{text}");
    }
    assert_eq!(pattern("q*n"), Err(TextError::StarInside));
    assert_eq!(pattern("**"), Err(TextError::StarInside));
    assert_eq!(pattern(""), Err(TextError::Name));
    assert_eq!(upstream_model("My Model.gguf"), Ok(()));
    assert_eq!(upstream_model(" x"), Err(TextError::Name));
    assert_eq!(upstream_model("x*"), Err(TextError::Star));
    assert_eq!(provider_name("my-gpu.2"), Ok(()));
    for text in ["", "-gpu", "GPU", "a/b", &"a".repeat(65)] {
        assert_eq!(provider_name(text), Err(TextError::ProviderName), "{text}");
    }
}

#[test]
fn a_digest_is_read_in_either_case() {
    let digest = sha256(&format!("{}{}", "aB", "00".repeat(31))).unwrap();
    assert_eq!(digest[..2], [0xab, 0]);
    for text in ["", "ab", &"g".repeat(64), &"a".repeat(66)] {
        assert_eq!(sha256(text), Err(TextError::Sha256), "{text}");
    }
}

#[test]
fn no_error_repeats_the_text() {
    for format in FORMATS {
        for text in [
            "hunter2hunter2\n",
            "https://u:hunter2@h#x?",
            "hunter2*hunter2 ",
        ] {
            if let Err(error) = (format.check)(text) {
                assert!(!error.to_string().contains("hunter2"), "{}", format.name);
            }
        }
    }
}

#[test]
fn a_ledger_is_a_file_or_nothing() {
    let file = |path: &str| Ok(Ledger::Sqlite(path.into()));
    for (text, want) in [
        ("none", Ok(Ledger::None)),
        ("sqlite:tollgate.db", file("tollgate.db")),
        ("sqlite:/var/lib/l.db", file("/var/lib/l.db")),
        ("sqlite:///var/lib/l.db", file("/var/lib/l.db")),
        ("sqlite:", Err(TextError::Ledger)),
        ("sqlite:folder/", Err(TextError::Ledger)),
        ("sqlite::memory:", Err(TextError::Ledger)),
        ("sqlite:l.db?mode=ro", Err(TextError::Ledger)),
        ("tollgate.db", Err(TextError::Ledger)),
        ("postgres://u:p@h/d", Err(TextError::NotYet)),
        ("postgresql://h/d", Err(TextError::NotYet)),
    ] {
        assert_eq!(ledger(text), want, "{text}");
    }
}
