//! A tollgate program under measurement. Linux only: time and memory are read from `/proc`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use http::Uri;

use crate::client;

/// How long a start may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The unit of times in `/proc/<pid>/stat`: 1/100 s for every program on Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running program; ends when it is dropped.
pub(crate) struct Process {
    child: Child,
    started: Instant,
}

impl Process {
    /// Starts tollgate. Its log goes nowhere, but is written as usual.
    pub(crate) fn tollgate(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            // the ledger is kept as usual, but not in the repository
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .args(arguments)
            .env_remove("TOLLGATE_LOG")
            .env_remove("TOLLGATE_CONFIG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("tollgate can't be started")?;
        Ok(Self { child, started })
    }

    /// Asks again and again until the answer is 200; how long after the start that was.
    pub(crate) async fn answers(&mut self, uri: &Uri) -> anyhow::Result<Duration> {
        while self.started.elapsed() < PATIENCE {
            if client::is_ok(uri).await {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("tollgate ended before it answered: {status}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("{uri} does not answer")
    }

    /// CPU time until now, in user and kernel mode.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // the name in parentheses may hold anything; the third field comes after it
        let fields = stat.rsplit_once(')').context("/proc/<pid>/stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u32 = ticks.map(str::parse::<u32>).sum::<Result<_, _>>()?;
        Ok(TICK * ticks)
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.context("/proc/<pid>/status")?.trim().parse()?;
        Ok(kilobytes * 1_024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Loopback addresses that nobody listens on.
pub(crate) fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}
