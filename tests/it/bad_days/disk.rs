//! No space is left: for the ledger, for the log.
//!
//! A full disk is a limit on the size of the program's files (`ulimit -f`), which `prlimit` lifts
//! again while it runs.

use std::{net::TcpListener, process::Command};

use http::Method;

use super::{Day, PLACES, after_a_bad_day};
use crate::support::{
    Call, Setup, eventually,
    gateway::ask,
    program::{Program, command},
    simulator,
};

/// Blocks of 512 bytes that a file may have, as POSIX's shell counts them.
const BLOCKS: &str = "320";

impl Day {
    /// One whose files can't grow beyond 160 KiB.
    async fn cramped(more: &str) -> Self {
        let sim = simulator().await;
        let yaml = Self::yaml(&sim, PLACES, |setup| {
            setup.model("m", &["a/m+out=3"]).also(more)
        });
        // a write beyond the limit is an error, not the end of the program
        let limited = format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" \"$@\"");
        let program = Program::start_under(&yaml, &["sh", "-c", &limited]).await;
        Self {
            sim,
            program,
            places: PLACES,
        }
    }

    /// There is space again.
    fn make_room(&self) {
        let pid = self.program.id().to_string();
        let done = Command::new("prlimit")
            .args(["--pid", &pid, "--fsize=unlimited:"])
            .status();
        assert!(done.expect("prlimit of util-linux").success());
    }

    async fn pending(&self) -> u64 {
        self.metrics().await.count("ledger_pending_rows", &[])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_requests_are_served_and_their_rows_come_in_when_there_is_space() {
    let day = Day::cramped("").await;
    let mut served = 0;
    while day.pending().await < 50 {
        assert_eq!(day.post(&ask("m")).send().await.status, 200);
        served += 1;
        assert!(served < 5_000, "the disk is never full");
    }
    let metrics = day.metrics().await;
    assert_eq!(metrics.count("ledger_lost_total", &[]), 0);
    day.make_room();
    let rows = after_a_bad_day(&day).await;
    assert_eq!(rows.len(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_requests_are_refused_where_that_is_asked_for_until_there_is_space() {
    let day = Day::cramped("store: { ledger: 'sqlite:tollgate.db', on_failure: refuse }").await;
    let mut refused = None;
    for _ in 0..5_000 {
        let reply = day.post(&ask("m")).send().await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("the disk is never full");
    assert_eq!(refused.refusal(), "503 server_error overloaded null");
    day.make_room();
    eventually("requests are served again", async || {
        day.post(&ask("m")).send().await.status == 200
    })
    .await;
    after_a_bad_day(&day).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_nowhere_is_counted_and_nothing_else_is_lost() {
    let day = Day::cramped("").await;
    let lost = async || day.metrics().await.count("ledger_lost_total", &[]);
    // until the file beside the database is full as well
    while lost().await < 20 {
        for _ in 0..50 {
            assert_eq!(day.post(&ask("m")).send().await.status, 200);
        }
        assert!(day.sim.account().requests < 5_000, "there is always space");
    }
    day.make_room();
    eventually("what waits is written", async || day.pending().await == 0).await;
    assert_eq!(day.post(&ask("m")).send().await.status, 200);
    eventually("and what comes now", async || day.pending().await == 0).await;
    let (rows, lost) = (day.rows().len() as u64, lost().await);
    assert_eq!(rows + lost, day.sim.account().requests, "{lost} lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_can_not_be_written_stops_nobody() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tollgate.yaml");
    let admin = "admin: { key: tg-admin-0123456789abcdef }";
    let setup = Setup::new(&sim).model("m", &["a/m+out=3"]).also(admin);
    std::fs::write(&file, setup.yaml()).unwrap();
    // where it listens can't be read from such a log
    let free = || {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (client, operator) = (free(), free());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut child = command()
        .current_dir(folder.path())
        .args(["serve", "--log-format", "json", "--config"])
        .arg(&file)
        .args(["--listen", &client.to_string()])
        .args(["--admin-listen", &operator.to_string()])
        .stderr(full.unwrap())
        .spawn()
        .unwrap();
    let call = || Call::new(client, Method::POST, "/v1/chat/completions").json(&ask("m"));
    eventually("it serves", async || {
        assert_eq!(child.try_wait().unwrap(), None, "it has ended");
        call().try_open().await.is_ok_and(|open| open.status == 200)
    })
    .await;
    for _ in 0..5 {
        assert_eq!(call().send().await.status, 200);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
