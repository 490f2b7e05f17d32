use std::num::{NonZeroU32, NonZeroU64};

use super::*;
use crate::{config::Period, money::Usd};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn digest(n: u8) -> [u8; 32] {
    [n; 32]
}

fn register() -> (tempfile::TempDir, Register) {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::open(&folder.path().join("l.db")).unwrap();
    (folder, register)
}

/// Terms with a value in every place.
fn full() -> Terms {
    Terms {
        models: Some(vec!["auto".into(), "qwen*".into()]),
        limits: Limits {
            rpm: NonZeroU32::new(u32::MAX),
            tpm: NonZeroU64::new(200_000),
            max_concurrent: NonZeroU32::new(7),
        },
        budget: Some(Budget {
            soft: Some(Usd::from_pico(1)),
            usd: Usd::MAX,
            per: Period::Week,
        }),
        expires: Some(at(99)),
        tags: Some(Arc::new(Tags::of([("team", "a\"b")]).unwrap())),
    }
}

#[test]
fn a_key_comes_back_as_it_was_kept_by_id_and_by_digest() {
    let (_folder, mut register) = register();
    for (n, terms) in [(1, Terms::default()), (2, full())] {
        let id = format!("k{n}");
        let kept = register.create(&id, digest(n), terms, at(0)).unwrap();
        assert_eq!(register.get(&id).unwrap().as_ref(), Some(&kept));
        assert_eq!(register.find(&digest(n)).unwrap(), Some(kept));
    }
    assert_eq!(register.get("k3").unwrap(), None);
    assert_eq!(register.find(&digest(3)).unwrap(), None);
}

#[test]
fn an_id_is_given_once_and_never_again() {
    let (_folder, mut register) = register();
    register
        .create("a", digest(1), Terms::default(), at(0))
        .unwrap();
    register.revoke("a", at(1)).unwrap();
    let again = register.create("a", digest(2), Terms::default(), at(2));
    assert!(matches!(again, Err(KeysError::Taken(id)) if &*id == "a"));
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let (_folder, mut register) = register();
    register.create("a", digest(1), full(), at(0)).unwrap();
    let patch = Patch {
        models: Some(None),
        rpm: Some(NonZeroU32::new(5)),
        tags: Some(None),
        ..Patch::default()
    };
    register.patch("a", patch).unwrap();
    let expected = Terms {
        models: None,
        limits: Limits {
            rpm: NonZeroU32::new(5),
            ..full().limits
        },
        tags: None,
        ..full()
    };
    assert_eq!(register.get("a").unwrap().unwrap().terms, expected);
}

#[test]
fn a_replaced_secret_is_found_until_the_next_one_is_replaced() {
    let (_folder, mut register) = register();
    register
        .create("a", digest(1), Terms::default(), at(0))
        .unwrap();
    let rotated = register.rotate("a", digest(2), at(60)).unwrap();
    let former = Former {
        digest: digest(1),
        until: at(60),
    };
    assert_eq!((rotated.digest, rotated.former), (digest(2), Some(former)));
    for n in [1, 2] {
        assert_eq!(register.find(&digest(n)).unwrap().as_ref(), Some(&rotated));
    }
    register.rotate("a", digest(3), at(60)).unwrap();
    assert_eq!(register.find(&digest(1)).unwrap(), None);
    assert!(register.find(&digest(2)).unwrap().is_some());
}

#[test]
fn what_is_revoked_stays_as_it_is() {
    let (_folder, mut register) = register();
    register.create("a", digest(1), full(), at(0)).unwrap();
    let revoked = register.revoke("a", at(1)).unwrap();
    assert_eq!(revoked.revoked, Some(at(1)));
    for refused in [
        register.revoke("a", at(2)),
        register.rotate("a", digest(2), at(2)),
        register.patch("a", Patch::default()),
    ] {
        assert!(matches!(refused, Err(KeysError::Revoked(_))));
    }
    assert_eq!(register.get("a").unwrap(), Some(revoked));
    let unknown = register.revoke("b", at(0));
    assert!(matches!(unknown, Err(KeysError::Unknown(_))));
}

#[test]
fn every_change_has_the_next_revision_and_is_found_by_it_through_another_connection() {
    let (folder, mut register) = register();
    let path = folder.path().join("l.db");
    let reader = Register::open_to_read(&path, PATIENCE).unwrap();
    assert_eq!(reader.latest().unwrap(), 0);
    for (n, id) in [(1, "a"), (2, "b"), (3, "c")] {
        register
            .create(id, digest(n), Terms::default(), at(0))
            .unwrap();
    }
    register.patch("a", Patch::default()).unwrap();
    register.revoke("b", at(0)).unwrap();
    let ids = |revision, most| {
        let changed = reader.since(revision, most).unwrap();
        let ids = changed.into_iter().map(|key| key.id.to_string());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(reader.latest().unwrap(), 5);
    assert_eq!(ids(0, 9), ["c", "a", "b"]);
    assert_eq!(ids(4, 9), ["b"]);
    assert_eq!(ids(0, 1), ["c"]);
    assert!(ids(5, 9).is_empty());
}

#[test]
fn pages_together_are_the_whole_list() {
    let (_folder, mut register) = register();
    for n in 0..5 {
        let id = format!("k{n}");
        register
            .create(&id, digest(n), Terms::default(), at(0))
            .unwrap();
    }
    let mut ids: Vec<Arc<str>> = Vec::new();
    loop {
        let page = register.list(ids.last().map(|id| &**id), 2).unwrap();
        if page.is_empty() {
            break;
        }
        ids.extend(page.into_iter().map(|key| key.id));
    }
    assert_eq!(ids.join(" "), "k0 k1 k2 k3 k4");
}

#[test]
fn a_database_that_is_replaced_is_noticed() {
    let (folder, register) = register();
    assert!(register.is_current());
    std::fs::remove_file(folder.path().join("l.db")).unwrap();
    assert!(!register.is_current());
}

#[test]
fn a_state_says_whether_a_key_is_accepted() {
    let (_folder, mut register) = register();
    let key = register.create("a", digest(1), full(), at(0)).unwrap();
    assert_eq!(View::of(&key, false, at(98)).state, State::Active);
    assert_eq!(View::of(&key, false, at(99)).state, State::Expired);
    assert_eq!(View::of(&key, true, at(0)).state, State::Shadowed);
    let key = register.revoke("a", at(1)).unwrap();
    assert_eq!(View::of(&key, true, at(99)).state, State::Revoked);
}
