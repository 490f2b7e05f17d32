use super::*;
use crate::route::health::DownReason;

const SETTINGS: Settings = Settings {
    failures: 5,
    window: Duration::from_secs(30),
    open: Duration::from_secs(15),
};
const REFUSED: (Verdict, Class) = (
    Verdict::Refused(DownReason::KeyRefused),
    Class::Refused(DownReason::KeyRefused),
);

fn pool(keys: &[&str]) -> Pool {
    let keys: Vec<SecretString> = keys.iter().map(|key| (*key).into()).collect();
    Pool::of(&keys).unwrap()
}

/// A 429 that asks for a wait of so many seconds.
fn busy(seconds: u64) -> (Verdict, Class) {
    let wait = Duration::from_secs(seconds);
    let class = Class::Busy {
        retry_after: Some(wait),
    };
    (Verdict::Busy(Some(seconds * 1_000)), class)
}

/// The key that goes out.
fn sent(taken: &Taken<'_>) -> String {
    let mut headers = HeaderMap::new();
    taken.authorize(&mut headers);
    let value = headers.get(AUTHORIZATION).unwrap();
    assert!(value.is_sensitive());
    let key = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    key.to_owned()
}

/// Makes a call that succeeds; the key that went out.
fn answered(pool: &Pool, now_ms: u64) -> String {
    let taken = pool.take(Tried::default(), now_ms).unwrap();
    let key = sent(&taken);
    taken.succeeded(now_ms, &SETTINGS);
    key
}

/// Makes a call for a request that has `tried` some keys, which fails.
fn failed(
    pool: &Pool,
    how: (Verdict, Class),
    tried: &mut Tried,
    now_ms: u64,
) -> (String, Option<Class>) {
    let taken = pool.take(*tried, now_ms).unwrap();
    let key = sent(&taken);
    let ended = taken.failed(how, tried, now_ms, &SETTINGS);
    (key, ended.class)
}

fn calls(pool: &Pool) -> Vec<u64> {
    pool.stands(0).map(|stand| stand.calls).collect()
}

#[test]
fn one_key_alone_is_no_pool() {
    assert!(Pool::of(&[]).is_none());
    assert!(Pool::of(&["a".into()]).is_none());
}

#[test]
fn keys_take_turns_and_the_turns_of_one_that_is_left_alone_are_shared_out() {
    let pool = pool(&["a", "b", "c", "d"]);
    for _ in 0..100 {
        answered(&pool, 0);
    }
    assert_eq!(calls(&pool), [25; 4]);
    let (out, class) = failed(&pool, busy(60), &mut Tried::default(), 0);
    assert_eq!((out.as_str(), class), ("a", None));
    for _ in 0..300 {
        assert_ne!(answered(&pool, 1), "a");
    }
    assert_eq!(calls(&pool), [26, 125, 125, 125]);
    let back = (0..4).map(|_| answered(&pool, 60_000));
    assert!(back.collect::<Vec<_>>().contains(&"a".to_owned()));
}

#[test]
fn a_request_tries_each_key_once_and_the_last_failure_is_the_backends() {
    let pool = pool(&["a", "b", "c"]);
    let mut tried = Tried::default();
    let (mut outs, classes): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| failed(&pool, REFUSED, &mut tried, 0))
        .unzip();
    outs.sort();
    assert_eq!(outs, ["a", "b", "c"]);
    assert_eq!(classes, [None, None, Some(REFUSED.1)]);
}

#[test]
fn a_backend_without_keys_is_busy_until_the_first_of_them_comes_back() {
    let pool = pool(&["a", "b", "c"]);
    let mut tried = Tried::default();
    assert_eq!(failed(&pool, busy(40), &mut tried, 0).1, None);
    let (second, class) = failed(&pool, busy(7), &mut tried, 0);
    assert_eq!(class, None);
    let (_, class) = failed(&pool, REFUSED, &mut tried, 1_000);
    assert_eq!(class, Some(busy(6).1));
    // who insists gets the one that comes back first
    assert_eq!(answered(&pool, 2_000), second);
}

#[test]
fn a_key_that_is_down_is_tried_by_one_call_and_comes_back_by_its_success() {
    let pool = pool(&["a", "b"]);
    failed(&pool, REFUSED, &mut Tried::default(), 0);
    assert_eq!(
        [answered(&pool, 29_999), answered(&pool, 29_999)],
        ["b", "b"]
    );
    // its turn comes among the others, and one call alone has it
    let under_way: Vec<Taken<'_>> = (0..6)
        .map(|_| pool.take(Tried::default(), 30_000).unwrap())
        .collect();
    let trials = under_way.iter().filter(|taken| sent(taken) == "a");
    assert_eq!(trials.count(), 1);
    for taken in under_way {
        taken.succeeded(30_001, &SETTINGS);
    }
    assert!(
        pool.stands(30_001)
            .all(|stand| stand.standing == Standing::Up)
    );
}

#[test]
fn who_has_met_one_bad_key_chances_no_other_while_there_is_a_good_one() {
    let pool = pool(&["a", "b", "c", "d"]);
    let mut tried = Tried::default();
    for _ in 0..3 {
        assert_eq!(failed(&pool, REFUSED, &mut tried, 0).1, None);
    }
    let good = answered(&pool, 0);
    // three keys are due for a trial, which fails: at most one of them costs a request an attempt
    let mut trials = 0;
    for _ in 0..8 {
        let mut tried = Tried::default();
        let first = pool.take(tried, 30_000).unwrap();
        if sent(&first) != good {
            trials += 1;
            let ended = first.failed(REFUSED, &mut tried, 30_000, &SETTINGS);
            assert_eq!(ended.class, None);
            let second = pool.take(tried, 30_000).unwrap();
            assert_eq!(sent(&second), good);
        }
    }
    assert_eq!(trials, 3);
}

#[test]
fn a_trial_whose_client_leaves_is_left_to_the_next_call() {
    let pool = pool(&["a", "b"]);
    let mut tried = Tried::default();
    failed(&pool, REFUSED, &mut tried, 0);
    failed(&pool, REFUSED, &mut tried, 0);
    let (one, two) = (
        pool.take(Tried::default(), 30_000).unwrap(),
        pool.take(Tried::default(), 30_000).unwrap(),
    );
    assert_ne!(sent(&one), sent(&two));
    drop(one);
    let third = pool.take(Tried::default(), 30_000).unwrap();
    assert_ne!(sent(&third), sent(&two));
}

#[test]
fn a_pool_that_follows_another_knows_the_keys_that_stayed() {
    let before = pool(&["a", "b", "c"]);
    let mut tried = Tried::default();
    failed(&before, busy(60), &mut tried, 0);
    let (down, _) = failed(&before, REFUSED, &mut tried, 0);
    let good = answered(&before, 0);
    let after = pool(&["new", &good, &down]).knowing(&before);
    let standings: Vec<Standing> = after.stands(0).map(|stand| stand.standing).collect();
    assert_eq!(
        standings,
        [
            Standing::Up,
            Standing::Up,
            Standing::Down(DownReason::KeyRefused)
        ]
    );
    // what began with the old one ends in the new one
    let late = before.take(tried, 0).unwrap();
    late.failed(busy(60), &mut Tried::default(), 0, &SETTINGS);
    assert_eq!(answered(&after, 1), "new");
    assert_eq!(answered(&after, 1), "new");
}

#[test]
fn nothing_shows_a_key_but_its_fingerprint() {
    let pool = pool(&["sk-one", "sk-two"]);
    let debug = format!("{pool:?}");
    assert!(!debug.contains("sk-"), "{debug}");
    // printf sk-one | sha256sum
    let first = pool.stands(0).next().unwrap();
    assert_eq!(first.fingerprint, "456f1612");
    let taken = pool.take(Tried::default(), 0).unwrap();
    assert_eq!(taken.fingerprint(), "456f1612");
    assert!(!format!("{taken:?}").contains("sk-"));
}

#[test]
fn a_hundred_keys_all_have_their_turn() {
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let pool = pool(&names);
    for _ in 0..300 {
        answered(&pool, 0);
    }
    assert_eq!(calls(&pool), [3; 100]);
}
