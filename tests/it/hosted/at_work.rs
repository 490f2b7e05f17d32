//! A gateway before simulated hardware: what it says about it, what it writes down, where it sends
//! the next call.

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Gateway, Setup, eventually,
    gateway::{ADMIN_KEY, ask},
    pico,
    program::command,
    simulator,
};

/// 8 GPUs; a call of 12 and 25 tokens keeps them busy for 0.011 s: 0.088 GPU-seconds.
const HARDWARE: &str =
    "self_hosted: { gpu_hour: '3.60', gpus: 8, prefill_tps: 12000, decode_tps: 2500 }";
/// 0.088 GPU-seconds at 0.001 $ a GPU-second.
const COST: &str = "0.000088";
const SCRIPT: &str = "x+prompt=12+out=25";

struct Pool {
    folder: TempDir,
    gateway: Gateway,
}

/// A model that one's own pool has, and another provider for a bit less than the pool's cost.
async fn pool(sim: &tollgate::simulate::Handle) -> Pool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let address = format!("base_url: 'http://{}/p/gpu/v1', {HARDWARE}", sim.addr());
    let fields = "context: 100000, max_output: 100, caps: [streaming]";
    let setup = Setup::new(sim)
        .provider("gpu", &address)
        .provider(
            "host",
            &format!("base_url: 'http://{}/p/host/v1'", sim.addr()),
        )
        .also_model(&format!(
            "{{ name: own, backends: [{{ provider: gpu, model: '{SCRIPT}' }}], {fields} }}"
        ))
        .also_model(&format!(
            "{{ name: theirs, backends: [{{ provider: host, model: '{SCRIPT}', \
             price: {{ input: '0.1', output: '0.1' }} }}], {fields} }}"
        ))
        .also("routes: [{ name: auto, candidates: [own, theirs] }]")
        .also(&format!("store: {{ ledger: 'sqlite:{}' }}", path.display()));
    Pool {
        folder,
        gateway: setup.start().await,
    }
}

impl Pool {
    async fn operator(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let call = self.gateway.operator(method, path).key(ADMIN_KEY);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    async fn explain(&self) -> Value {
        let asked =
            json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
        self.operator(Method::POST, "/admin/v1/explain", Some(&asked))
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_deployment_is_asked_although_its_cost_is_higher_once_its_pace_is_known() {
    let sim = simulator().await;
    let pool = pool(&sim).await;
    let before = pool.explain().await;
    assert_eq!(before["chosen"], format!("host/{SCRIPT}"));
    let own = |explained: &Value| {
        let rows = explained["candidates"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["model"] == "own").unwrap()
    };
    // nothing learned: what it adds is all that it costs
    assert_eq!(
        own(&before)["marginal_cost_usd"],
        own(&before)["expected_cost_usd"]
    );
    assert_eq!(before["self_hosted"][0]["marginal_share"], Value::Null);
    for _ in 0..8 {
        let reply = pool.gateway.post(&ask("own")).send().await;
        assert_eq!(reply.header("x-tollgate-cost-usd"), COST);
    }
    let after = pool.explain().await;
    assert_eq!(after["chosen"], format!("gpu/{SCRIPT}"));
    assert_eq!(own(&after)["marginal_cost_usd"], "0");
    assert_ne!(own(&after)["expected_cost_usd"], "0");
    let hardware = &after["self_hosted"][0];
    assert_eq!(
        hardware["configured"],
        json!({ "prefill_tps": 12_000, "decode_tps": 2_500 })
    );
    assert_eq!(
        (&hardware["in_flight"], &hardware["marginal_share"]),
        (&json!(0), &json!("0.0"))
    );
    assert!(hardware["learned"]["decode_tps"].as_u64().unwrap() > 0);
    let backends = pool.operator(Method::GET, "/admin/v1/backends", None).await;
    assert_eq!(backends["self_hosted"][0]["provider"], "gpu");
    let metrics = pool.gateway.metrics().await;
    let labels = [("provider", "gpu")];
    assert_eq!(metrics.sum("self_hosted_gpus", &labels), 8.0);
    assert_eq!(
        metrics.sum("self_hosted_marginal_share_ratio", &labels),
        0.0
    );
    let busy = metrics.sum("self_hosted_busy_gpu_seconds_total", &labels);
    assert!((busy - 8.0 * 0.088).abs() < 1e-9, "{busy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_been_paid_so_far_today_belongs_to_the_calls_of_today() {
    let sim = simulator().await;
    let pool = pool(&sim).await;
    for model in ["own", "own", "theirs"] {
        let reply = pool.gateway.post(&ask(model)).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let path = pool.folder.path().join("l.db");
    eventually("three rows", async || crate::ledger::rows(&path).len() == 3).await;
    let answer = pool
        .operator(Method::GET, "/admin/v1/spend?by=provider", None)
        .await;
    let line = |provider: &str| {
        let rows = answer["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row["provider"] == provider)
            .unwrap()
            .clone()
    };
    let (own, theirs) = (line("gpu"), line("host"));
    assert_eq!(own["cost_usd"], "0.000176");
    // 8 GPUs for as long as this test has run, far more than they were busy
    let paid = pico(own["amortised_usd"].as_str().unwrap());
    assert!(paid > 0 && paid < pico("28.8"), "{paid}");
    assert_eq!(
        (&own["idle_usd"], &theirs["amortised_usd"]),
        (&Value::Null, &Value::Null)
    );
    // the report has the columns as well
    let file = pool.folder.path().join("tollgate.yaml");
    let yaml = format!("store: {{ ledger: 'sqlite:{}' }}", path.display());
    std::fs::write(&file, yaml).unwrap();
    let mut report = command();
    report.arg("report").arg("--config").arg(file);
    let output = report.args(["--by", "provider"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let head = table.lines().next().unwrap();
    assert!(head.ends_with("AMORTISED $  IDLE $"), "{table}");
    let theirs = table.lines().find(|line| line.starts_with("host")).unwrap();
    let cells: Vec<&str> = theirs.split_whitespace().collect();
    assert!(cells.ends_with(&["-", "-"]), "{table}");
}
