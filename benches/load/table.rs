//! The figures as one table.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use crate::{Figures, Scenario};

/// Everything that was measured.
pub(crate) struct Report<'a> {
    pub(crate) start: Duration,
    /// Bytes after the start, after the first thousand requests, and after all of them.
    pub(crate) fresh: u64,
    pub(crate) warm: u64,
    pub(crate) loaded: u64,
    /// The gateway's and the simulator's figures.
    pub(crate) rows: &'a [(&'a Scenario, [Figures; 2])],
}

/// Prints it to standard output.
pub(crate) fn print(report: &Report<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        out,
        "tollgate {version} on {cores} cores, shared with load and simulator\n"
    )?;
    let start = report.start.as_secs_f64() * 1e3;
    writeln!(out, "{:<38}{start:>9.1} ms", "from exec to ready (median)")?;
    for (what, bytes) in [
        ("memory after the start", report.fresh),
        ("memory after 1,000 requests", report.warm),
        ("memory after all requests", report.loaded),
    ] {
        writeln!(out, "{what:<38}{:>9.1} MB", bytes as f64 / 1e6)?;
    }
    for (scenario, [gateway, direct]) in report.rows {
        writeln!(out)?;
        let name = scenario.name;
        writeln!(
            out,
            "{name:<26}{:>12}{:>12}{:>12}{:>8}",
            "simulator", "gateway", "added", "ratio"
        )?;
        let times = [
            ("latency p50", direct.p50, gateway.p50),
            ("latency p99", direct.p99, gateway.p99),
            // what the gateway adds is all of its own
            ("CPU of its own process", direct.cpu, gateway.cpu),
        ];
        for (what, direct, gateway) in times {
            let [direct, gateway] = [direct, gateway].map(|time| time.as_secs_f64() * 1e6);
            let (added, ratio) = (gateway - direct, gateway / direct);
            writeln!(
                out,
                "  {what:<24}{direct:>9.0} µs{gateway:>9.0} µs{added:>9.0} µs{ratio:>8.2}"
            )?;
        }
        let (direct, gateway) = (direct.per_second, gateway.per_second);
        let ratio = gateway / direct;
        writeln!(
            out,
            "  {:<24}{direct:>12.0}{gateway:>12.0}{:>12}{ratio:>8.2}",
            "requests a second", ""
        )?;
    }
    Ok(())
}
