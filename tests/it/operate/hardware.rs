//! What own hardware costs changes with the configuration, from that moment on.

use std::path::Path;

use rusqlite::Connection;
use tollgate::simulate::Handle;

use super::files::Files;
use crate::support::{Setup, eventually, simulator};

fn with(sim: &Handle, ledger: &Path, hardware: &str) -> Setup {
    let address = sim.addr();
    Setup::new(sim)
        .provider(
            "gpu",
            &format!("base_url: 'http://{address}/p/gpu/v1'{hardware}"),
        )
        .model("m", &["gpu/m"])
        .also(&format!(
            "store: {{ ledger: 'sqlite:{}' }}",
            ledger.display()
        ))
}

/// What was stated, in the order of time.
fn stated(ledger: &Path) -> Vec<(i64, i64)> {
    let db = Connection::open(ledger).unwrap();
    let sql = "SELECT gpu_hour, gpus FROM rents WHERE provider = 'gpu' ORDER BY from_ms";
    let mut statement = db.prepare(sql).unwrap();
    let lines = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    lines.unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_the_file_is_noted_once() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("l.db");
    let gpus = |number: u32| {
        format!(
            ", self_hosted: {{ gpu_hour: '2.40', gpus: {number}, prefill_tps: 9, decode_tps: 1 }}"
        )
    };
    let files = Files::new(&with(&sim, &ledger, &gpus(8)));
    let gateway = files.start().await;
    let pico = 2_400_000_000_000;
    let mut expected = vec![(pico, 8)];
    eventually("the start is noted", async || stated(&ledger) == expected).await;
    for (hardware, line) in [(gpus(16), (pico, 16)), (String::new(), (0, 0))] {
        files.replace(&with(&sim, &ledger, &hardware));
        expected.push(line);
        eventually("the change is noted", async || stated(&ledger) == expected).await;
    }
    // another start with the same says nothing new
    gateway.stop().await;
    let gateway = files.start().await;
    gateway.stop().await;
    assert_eq!(stated(&ledger), expected);
}
