//! What every kind of test needs: a simulator, patience, exact money.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tollgate::simulate::{Handle, Options, Simulator};

/// How long anything may take that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A port of this machine that the system picks.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A simulator that asks for no key.
pub(crate) async fn simulator() -> Handle {
    simulator_with(Options::default()).await
}

/// A simulator with options.
pub(crate) async fn simulator_with(options: Options) -> Handle {
    Simulator::bind(ANY_PORT, options).await.unwrap()
}

/// Polls until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < SOON, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An exact decimal amount of dollars in pico-dollars.
pub(crate) fn pico(dollars: &str) -> u128 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exact = !whole.is_empty() && digits(whole) && digits(fraction) && fraction.len() <= 12;
    assert!(exact, "no exact decimal: {dollars}");
    format!("{whole}{fraction:0<12}").parse().unwrap()
}

#[test]
fn decimals_are_read_exactly() {
    assert_eq!(pico("0.000000000001"), 1);
    assert_eq!(pico("12.5"), 12_500_000_000_000);
    assert_eq!(pico("0"), 0);
}
