use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

fn keys(auth: Auth, guard_pages: bool) -> Keys {
    let by_digest = DashMap::new();
    let models = Some(vec!["auto".into(), "qwen*".into()]);
    let principal = Arc::new(Principal::new("team-a".into(), models));
    by_digest.insert(Sha256::digest(b"sk-team-a-0123456789").into(), principal);
    Keys {
        by_digest,
        ids: HashSet::from(["team-a".into()]),
        anybody: Arc::new(Principal::anybody()),
        auth,
        guard_pages,
        origins: vec![HeaderValue::from_static("https://chat.example")],
    }
}

fn id(caller: Caller) -> Option<Arc<str>> {
    match caller {
        Caller::Known(principal) => principal.id.clone(),
        Caller::Stranger(_) => panic!("a stranger"),
    }
}

fn identify(pairs: &[(&'static str, &'static str)]) -> Result<Option<Arc<str>>, AuthError> {
    keys(Auth::Keys, false)
        .identify(&Method::POST, None, &headers(pairs), NOW)
        .map(id)
}

#[test]
fn a_key_is_taken_from_either_header_and_both_must_agree() {
    let id = Ok(Some(Arc::from("team-a")));
    assert_eq!(
        identify(&[("authorization", "Bearer sk-team-a-0123456789")]),
        id
    );
    assert_eq!(
        identify(&[("authorization", "bearer  sk-team-a-0123456789 ")]),
        id
    );
    assert_eq!(identify(&[("x-api-key", "sk-team-a-0123456789")]), id);
    let both = [
        ("authorization", "Bearer sk-team-a-0123456789"),
        ("x-api-key", "sk-team-a-0123456789"),
    ];
    assert_eq!(identify(&both), id);
    let differ = [
        ("authorization", "Bearer sk-team-a-0123456789"),
        ("x-api-key", "other"),
    ];
    assert_eq!(identify(&differ), Err(AuthError::TwoKeys));
    let twice = [
        ("x-api-key", "sk-team-a-0123456789"),
        ("x-api-key", "other"),
    ];
    assert_eq!(identify(&twice), Err(AuthError::TwoKeys));
}

#[test]
fn a_missing_or_wrong_key_is_turned_away() {
    assert_eq!(identify(&[]), Err(AuthError::Missing));
    assert_eq!(
        identify(&[("authorization", "Bearer ")]),
        Err(AuthError::Missing)
    );
    assert_eq!(
        identify(&[("authorization", "Basic abc")]),
        Err(AuthError::Missing)
    );
    assert_eq!(
        identify(&[("authorization", "Bearer sk-team-a-012345678")]),
        Err(AuthError::Wrong)
    );
}

#[test]
fn a_pattern_allows_what_begins_like_it() {
    let principal = keys(Auth::Keys, false).by_id("team-a").unwrap();
    for (name, may) in [
        ("auto", true),
        ("automatic", false),
        ("qwen3-32b", true),
        ("gpt", false),
    ] {
        assert_eq!(principal.may_use(name), may, "{name}");
    }
    assert!(Principal::anybody().may_use("anything"));
}

#[test]
fn without_keys_only_this_machine_is_answered_and_no_foreign_page() {
    let keys = keys(Auth::Open, true);
    let post = |pairs: &[(&'static str, &'static str)]| {
        keys.identify(&Method::POST, None, &headers(pairs), NOW)
            .map(id)
    };
    let json = ("content-type", "application/json; charset=utf-8");
    for host in ["localhost:4100", "127.0.0.1", "[::1]:4100", "LOCALHOST"] {
        assert_eq!(post(&[("host", host), json]), Ok(None), "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example:4100",
        "localhost.evil.example",
        "0.0.0.0:4100",
    ] {
        assert_eq!(
            post(&[("host", host), json]),
            Err(AuthError::ForeignHost),
            "{host}"
        );
    }
    assert_eq!(post(&[json]), Err(AuthError::ForeignHost));
    let origin = |origin| post(&[("host", "localhost"), json, ("origin", origin)]);
    assert_eq!(origin("http://localhost:3000"), Ok(None));
    assert_eq!(
        origin("https://evil.example"),
        Err(AuthError::ForeignOrigin)
    );
    assert_eq!(origin("null"), Err(AuthError::ForeignOrigin));
    assert_eq!(origin("https://chat.example"), Ok(None));
    let content = |kind| post(&[("host", "localhost"), ("content-type", kind)]);
    assert_eq!(content("multipart/form-data; boundary=x"), Ok(None));
    assert_eq!(content("text/plain"), Err(AuthError::ContentType));
    assert_eq!(
        content("application/x-www-form-urlencoded"),
        Err(AuthError::ContentType)
    );
    assert_eq!(post(&[("host", "localhost")]), Err(AuthError::ContentType));
    assert!(
        keys.identify(&Method::GET, None, &headers(&[("host", "localhost")]), NOW)
            .is_ok()
    );
}

#[test]
fn a_key_that_is_sent_where_none_is_asked_for_is_ignored() {
    let pairs = [("authorization", "Bearer whatever")];
    assert!(
        keys(Auth::Open, false)
            .identify(&Method::POST, None, &headers(&pairs), NOW)
            .is_ok()
    );
}

#[test]
fn a_key_is_accepted_until_the_moment_it_expires() {
    let expires = Timestamp::from_second(1_800_000_000).unwrap();
    let principal = Principal {
        expires: Some(expires),
        ..Principal::new("team-a".into(), None)
    };
    let just_before = expires - jiff::SignedDuration::from_nanos(1);
    assert!(!principal.is_expired(just_before) && principal.is_expired(expires));

    let known = keys(Auth::Keys, false);
    let secret = b"sk-expired-0123456789";
    known
        .by_digest
        .insert(Sha256::digest(secret).into(), Arc::new(principal));
    let sent = headers(&[("x-api-key", "sk-expired-0123456789")]);
    let at = |now| known.identify(&Method::POST, None, &sent, now).map(drop);
    assert_eq!(at(just_before), Ok(()));
    assert_eq!(at(expires), Err(AuthError::Expired));
}

#[test]
fn only_what_looks_like_a_stored_key_may_be_one() {
    let stored = format::whole("0123456789abcdefghijABCDEFGHIJxy");
    let known = keys(Auth::Keys, false);
    let identify = |secret: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(X_API_KEY, secret.parse().unwrap());
        known.identify(&Method::POST, None, &headers, NOW)
    };
    let expected: [u8; 32] = Sha256::digest(&stored).into();
    let caller = identify(&stored).unwrap();
    assert!(matches!(caller, Caller::Stranger(digest) if digest == expected));
    assert_eq!(identify(&stored[1..]).map(id), Err(AuthError::Wrong));
}
