use super::*;
use crate::store::keys::{Patch, Terms};

/// A store with a keyring of its own.
struct Bench {
    _folder: tempfile::TempDir,
    register: Register,
    ring: Arc<Keyring>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        Self {
            register: Register::open(&path).unwrap(),
            ring: Arc::new(Keyring::of(&path, Arc::default())),
            _folder: folder,
        }
    }

    fn create(&mut self, id: &str, n: u8) {
        let terms = Terms::default();
        self.register.create(id, digest(n), terms, at(0)).unwrap();
    }

    async fn holder(&self, n: u8, second: i64) -> Result<String, AuthError> {
        let holder = self.ring.holder(digest(n), at(second)).await?;
        Ok(holder.id.as_deref().unwrap().to_owned())
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn digest(n: u8) -> [u8; 32] {
    [n; 32]
}

#[tokio::test]
async fn a_key_that_is_made_elsewhere_is_found_even_if_it_was_tried_before() {
    let mut bench = Bench::new();
    bench.ring.refresh().unwrap();
    assert_eq!(bench.holder(1, 0).await, Err(AuthError::Wrong));
    bench.create("a", 1);
    bench.ring.refresh().unwrap();
    assert_eq!(bench.holder(1, 0).await.as_deref(), Ok("a"));
    assert_eq!(bench.holder(2, 0).await, Err(AuthError::Wrong));
}

#[tokio::test]
async fn a_key_in_memory_follows_what_is_changed_elsewhere() {
    let mut bench = Bench::new();
    bench.ring.refresh().unwrap();
    bench.create("a", 1);
    bench.create("b", 2);
    bench.holder(1, 0).await.unwrap();
    bench.holder(2, 0).await.unwrap();
    let patch = Patch {
        models: Some(Some(vec!["small".into()])),
        expires: Some(Some(at(60))),
        ..Patch::default()
    };
    bench.register.patch("a", patch).unwrap();
    bench.register.revoke("b", at(0)).unwrap();
    bench.ring.refresh().unwrap();
    let holder = bench.ring.holder(digest(1), at(59)).await.unwrap();
    assert!(holder.may_use("small") && !holder.may_use("large"));
    assert_eq!(bench.holder(1, 60).await, Err(AuthError::Expired));
    assert_eq!(bench.holder(2, 0).await, Err(AuthError::Revoked));
}

#[tokio::test]
async fn both_secrets_are_accepted_in_the_overlap_and_then_the_new_one_only() {
    let mut bench = Bench::new();
    bench.create("a", 1);
    bench.holder(1, 0).await.unwrap();
    bench.register.rotate("a", digest(2), at(60)).unwrap();
    bench.ring.refresh().unwrap();
    for n in [1, 2] {
        assert_eq!(bench.holder(n, 59).await.as_deref(), Ok("a"));
    }
    assert_eq!(bench.holder(1, 60).await, Err(AuthError::Replaced));
    assert_eq!(bench.holder(2, 60).await.as_deref(), Ok("a"));
    bench.register.rotate("a", digest(3), at(60)).unwrap();
    bench.ring.refresh().unwrap();
    assert_eq!(bench.holder(1, 59).await, Err(AuthError::Wrong));
    assert_eq!(bench.holder(2, 59).await.as_deref(), Ok("a"));
}

#[tokio::test]
async fn without_the_database_keys_in_memory_go_on_and_others_are_not_called_wrong() {
    let mut bench = Bench::new();
    bench.ring.refresh().unwrap();
    bench.create("a", 1);
    bench.create("b", 2);
    bench.ring.refresh().unwrap();
    bench.holder(1, 0).await.unwrap();
    std::fs::remove_file(bench.ring.path()).unwrap();
    assert!(bench.ring.refresh().is_err());
    assert_eq!(bench.holder(1, 0).await.as_deref(), Ok("a"));
    assert_eq!(bench.holder(2, 0).await, Err(AuthError::Unreadable));
    // another one in its place does not have them
    drop(Register::open(bench.ring.path()).unwrap());
    bench.ring.refresh().unwrap();
    assert_eq!(bench.holder(1, 0).await, Err(AuthError::Wrong));
}

#[tokio::test]
async fn a_storm_of_keys_that_nobody_has_leaves_others_their_turn() {
    let mut bench = Bench::new();
    bench.create("a", 1);
    bench.holder(1, 0).await.unwrap();
    let ring = &bench.ring;
    let mut storm = tokio::task::JoinSet::new();
    for n in 0..2_000_u32 {
        let (ring, mut wrong) = (Arc::clone(ring), [9; 32]);
        wrong[..4].copy_from_slice(&n.to_be_bytes());
        storm.spawn(async move { ring.holder(wrong, at(0)).await.map(drop) });
    }
    assert_eq!(bench.holder(1, 0).await.as_deref(), Ok("a"));
    for answer in storm.join_all().await {
        let error = answer.unwrap_err();
        assert!(matches!(error, AuthError::Wrong | AuthError::Unreadable));
    }
    assert!(lock(&ring.readers).len() <= AT_ONCE);
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
#[ignore = "makes a database of 300 MB; run it alone, with --release"]
async fn a_million_keys_take_no_memory_until_they_call_and_no_longer_to_find() {
    let mut bench = Bench::new();
    let database = rusqlite::Connection::open(bench.ring.path()).unwrap();
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
                INSERT INTO keys (id, digest, models, rpm, created_ms, revision)
                SELECT printf('key_%016d', i), randomblob(32), '[\"auto\",\"qwen*\"]', 600, 0, i
                FROM n";
    database.execute_batch(fill).unwrap();
    bench.create("a", 1);
    let sql = "SELECT digest FROM keys ORDER BY digest LIMIT 1000 OFFSET 400000";
    let mut statement = database.prepare(sql).unwrap();
    let digests = statement
        .query_map([], |row| row.get::<_, [u8; 32]>(0))
        .unwrap();
    let digests: Vec<_> = digests.map(Result::unwrap).collect();
    let before = resident();
    bench.ring.refresh().unwrap();
    bench.ring.refresh().unwrap();
    let idle = resident().saturating_sub(before);

    let timed = async |what: &str| {
        let mut times = Vec::new();
        for digest in &digests {
            let begun = std::time::Instant::now();
            bench.ring.holder(*digest, at(0)).await.unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        let (median, p99) = (times[500], times[990]);
        println!("{what}: median {median:?}, p99 {p99:?}");
        median
    };
    let first = timed("a key that calls for the first time").await;
    let again = timed("a key in memory").await;
    let used = resident().saturating_sub(before);
    println!("memory: {idle} bytes before anybody calls, {used} after 1,000 keys");
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        bench.ring.refresh().unwrap();
    }
    println!("looking for changes: {:?}", begun.elapsed() / 100);
    assert!(first < Duration::from_millis(5) && again < Duration::from_micros(100));
    assert!(idle < 8 << 20 && used < 64 << 20);
}
