//! Clients that leave: the backend is told at once, and the account is closed once.

use std::time::Duration;

use tollgate::simulate::{Handle, account::Phase};

use crate::support::{
    Act, Gateway, Scripted, Setup, eventually,
    gateway::{ask, stream},
    simulator,
};

/// How soon the backend must see that the client left.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn gateway(sim: &Handle, script: &str) -> Gateway {
    Setup::new(sim)
        .server("sse_keep_alive: 200ms")
        .server("max_buffered_answer: 1KiB")
        .model("m", &[&format!("a/x+{script}"), "b/spare"])
        .start()
        .await
}

/// Waits until the simulator has this request under way.
async fn under_way(sim: &Handle, script: &str) {
    let model = format!("x+{script}");
    eventually("the request has come", async || {
        sim.account().model(&model).in_flight == 1
    })
    .await;
}

/// Asserts that the backend saw the client leave in that phase, soon after `left`, and that the
/// gateway closed the account, once, as cancelled.
async fn seen(
    sim: &Handle,
    gateway: &Gateway,
    script: &str,
    phase: Phase,
    left: std::time::Instant,
) {
    let model = format!("x+{script}");
    eventually("the backend sees it", async || {
        sim.account().model(&model).in_flight == 0
    })
    .await;
    let counts = sim.account().model(&model);
    let disconnect = counts.disconnects.first().expect("a disconnect");
    assert_eq!(disconnect.phase, phase, "{script}");
    let after = disconnect.seen.saturating_duration_since(left);
    assert!(after < AT_ONCE, "{script}: seen after {after:?}");
    eventually("the account is closed", async || {
        let metrics = gateway.metrics().await;
        metrics.count("requests_total", &[]) == 1
    })
    .await;
    let metrics = gateway.metrics().await;
    let cancelled = [("outcome", "cancelled"), ("code", "499")];
    assert_eq!(metrics.count("requests_total", &cancelled), 1, "{script}");
    let labels = [("key", "none"), ("outcome", "cancelled")];
    assert_eq!(metrics.count("key_requests_total", &labels), 1);
    assert_eq!(metrics.count("inflight_requests", &[]), 0, "{script}");
    assert_eq!(
        metrics.count("attempts_total", &[("result", "cancelled")]),
        1
    );
    assert_eq!(metrics.count("attempts_total", &[]), 1);
    assert_eq!(counts.requests, 1);
    assert_eq!(
        sim.account().model("spare").requests,
        0,
        "nobody else is asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_head_is_seen_by_the_backend() {
    let script = "head=30s";
    for body in [ask("m"), stream("m")] {
        let sim = simulator().await;
        let gateway = gateway(&sim, script).await;
        let mut calling = Box::pin(gateway.post(&body).try_open());
        // polled until the backend has the request; with a stream, an early head may come first
        let mut open = None;
        tokio::select! {
            opened = &mut calling => open = Some(opened),
            () = under_way(&sim, script) => {}
        }
        under_way(&sim, script).await;
        let left = std::time::Instant::now();
        drop(calling);
        drop(open);
        seen(&sim, &gateway, script, Phase::BeforeHead, left).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_first_byte_is_seen_by_the_backend() {
    for (script, body) in [
        ("fault=hang_head", ask("m")),
        ("fault=hang_head", stream("m")),
        ("ttft=30s", stream("m")),
    ] {
        let sim = simulator().await;
        let gateway = gateway(&sim, script).await;
        let mut calling = Box::pin(gateway.post(&body).try_open());
        let mut open = None;
        tokio::select! {
            opened = &mut calling => open = Some(opened),
            () = under_way(&sim, script) => {}
        }
        // the head of the backend's answer comes right after
        tokio::time::sleep(Duration::from_millis(100)).await;
        let left = std::time::Instant::now();
        drop(calling);
        drop(open);
        seen(&sim, &gateway, script, Phase::MidBody, left).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_after_an_early_comment_is_seen_by_the_backend() {
    let script = "head=30s";
    let sim = simulator().await;
    let gateway = gateway(&sim, script).await;
    let mut open = gateway.post(&stream("m")).open().await;
    let comment = open.frame().await.unwrap().unwrap();
    assert_eq!(&comment[..], b": keep-alive\n\n");
    let left = std::time::Instant::now();
    drop(open);
    seen(&sim, &gateway, script, Phase::BeforeHead, left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_is_seen_by_the_backend() {
    for (script, body) in [
        ("out=100000+gap=20ms", stream("m")),
        ("out=9+fault=stall:3", stream("m")),
        // larger than what is held: it leaves while it comes
        ("out=3000+fault=stall:100", ask("m")),
    ] {
        let sim = simulator().await;
        let gateway = gateway(&sim, script).await;
        let mut open = gateway.post(&body).open().await;
        assert_eq!(open.status, 200);
        assert!(!open.frame().await.unwrap().unwrap().is_empty());
        let left = std::time::Instant::now();
        drop(open);
        seen(&sim, &gateway, script, Phase::MidBody, left).await;
        let metrics = gateway.metrics().await;
        // what was used is billed, as an estimate
        assert!(metrics.sum("cost_usd_total", &[]) > 0.0, "{script}");
        assert_eq!(metrics.count("estimated_usage_total", &[]), 1, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_a_held_answer_comes_is_seen_by_the_backend() {
    let script = "out=20+fault=stall:2";
    let sim = simulator().await;
    let gateway = gateway(&sim, script).await;
    let calling = gateway.post(&ask("m")).try_open();
    let left = tokio::select! {
        opened = calling => panic!("{opened:?}"),
        left = async {
            under_way(&sim, script).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::time::Instant::now()
        } => left,
    };
    seen(&sim, &gateway, script, Phase::MidBody, left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_a_retry_is_waited_for_is_forgotten() {
    let script = "fault=status:429+retry_after=3";
    let sim = simulator().await;
    let gateway = gateway(&sim, script).await;
    let calling = gateway.post(&ask("m")).try_open();
    tokio::select! {
        opened = calling => panic!("{opened:?}"),
        () = eventually("the first attempt has failed", async || {
            gateway.metrics().await.count("attempts_total", &[("result", "error")]) == 1
        }) => {}
    }
    eventually("the account is closed", async || {
        let metrics = gateway.metrics().await;
        metrics.count("requests_total", &[("outcome", "cancelled")]) == 1
    })
    .await;
    assert_eq!(sim.account().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_the_backend_back() {
    let sim = simulator().await;
    let script = "out=100000";
    let gateway = gateway(&sim, script).await;
    let mut open = gateway.post(&stream("m")).open().await;
    open.frame().await.unwrap().unwrap();
    // what the buffers on the way hold is far less than the whole
    let model = format!("x+{script}");
    let mut before = 0;
    eventually("the backend is held back", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent = sim.account().model(&model).completion_tokens;
        std::mem::replace(&mut before, sent) == sent && sent > 0
    })
    .await;
    assert!(before < 100_000, "everything was taken in");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_closes_at_the_end_marker_was_served() {
    // the end of the transfer comes 20 ms after each byte before it, so the marker is there first
    let sim = simulator().await;
    let upstream = Scripted::start(vec![Act::Slowly(
        vec![
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".into(),
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\
             \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
                .into(),
        ],
        Duration::from_millis(300),
    )])
    .await;
    let gateway = Setup::new(&sim)
        .provider("a", &upstream.provider())
        .model("m", &["a/x"])
        .start()
        .await;
    let mut open = gateway.post(&stream("m")).open().await;
    let events = open.frame().await.unwrap().unwrap();
    assert!(events.ends_with(b"[DONE]\n\n"), "{events:?}");
    drop(open);
    eventually("the account is closed", async || {
        gateway.metrics().await.count("requests_total", &[]) == 1
    })
    .await;
    let metrics = gateway.metrics().await;
    let ok = [("outcome", "ok"), ("code", "200")];
    assert_eq!(metrics.count("requests_total", &ok), 1, "{}", metrics.text);
    assert_eq!(metrics.count("attempts_total", &[("result", "ok")]), 1);
}
