//! A gateway in this process.

use std::{collections::HashMap, net::SocketAddr};

use http::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tollgate::{
    catalog,
    config::{
        Ledger,
        load::{self, Environment, Overrides},
    },
    cores::Cores,
    serve,
};

use super::{ANY_PORT, Call, Metrics, Reply, Stream, setup::UPSTREAM_KEY};

/// The operator's key in every test.
pub(crate) const ADMIN_KEY: &str = "tg-admin-0123456789abcdef";

/// A running gateway; dropping it leaves its tasks to the end of the test's runtime.
#[derive(Debug)]
pub(crate) struct Gateway {
    running: serve::Gateway,
    pub(crate) client: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// The variables that configurations of tests may name.
struct Variables(HashMap<&'static str, &'static str>);

impl Environment for Variables {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }
}

impl Gateway {
    /// Starts on ports that the system picks, whatever the text says.
    pub(crate) async fn start(yaml: &str) -> Self {
        let variables = Variables(HashMap::from([("UPSTREAM_KEY", UPSTREAM_KEY)]));
        let overrides = Overrides {
            listen: Some(ANY_PORT),
            admin_listen: Some(ANY_PORT),
            ..Overrides::default()
        };
        let checked =
            load::from_str_with("it.yaml", yaml, &variables, catalog::builtin(), overrides);
        let mut config = checked
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{yaml}"))
            .config;
        // the default would be one file for all tests, in the repository
        if !config.store.stated {
            config.store.ledger = Ledger::None;
        }
        let listeners = serve::Listeners::open(&config.server, &config.admin)
            .await
            .unwrap();
        let key = SecretString::from(ADMIN_KEY);
        Self::of(serve::Gateway::start(config, &key, listeners, &Cores::default()).unwrap())
    }

    /// One that was started otherwise.
    pub(crate) fn of(running: serve::Gateway) -> Self {
        Self {
            client: running.client_address,
            admin: running.admin_address,
            running,
        }
    }

    /// A call to the clients' address.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(self.client, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A chat request with this body.
    pub(crate) fn post(&self, body: &(impl ToString + ?Sized)) -> Call {
        self.call(Method::POST, "/v1/chat/completions").json(body)
    }

    /// A call to the operator's address.
    pub(crate) fn operator(&self, method: Method, path: &str) -> Call {
        Call::new(self.admin, method, path)
    }

    /// A small chat request to a model, answered.
    pub(crate) async fn ask(&self, model: &str) -> Reply {
        self.post(&ask(model)).send().await
    }

    /// The same by the holder of a key.
    pub(crate) async fn ask_as(&self, key: &str, model: &str) -> Reply {
        self.post(&ask(model)).key(key).send().await
    }

    /// A small streamed chat request, read to its end.
    pub(crate) async fn stream(&self, model: &str) -> Stream {
        Stream::read(self.post(&stream(model)).open().await).await
    }

    /// The same with usage asked for.
    pub(crate) async fn stream_with_usage(&self, model: &str) -> Stream {
        Stream::read(self.post(&stream_with_usage(model)).open().await).await
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        let reply = self.operator(Method::GET, "/metrics").send().await;
        assert_eq!(reply.status, 200);
        Metrics::parse(reply.text())
    }

    /// Ends it as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}

/// A small chat request.
pub(crate) fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Say something." }] })
}

/// A small chat request for a stream.
pub(crate) fn stream(model: &str) -> Value {
    let mut body = ask(model);
    body["stream"] = true.into();
    body
}

/// The same with usage asked for.
pub(crate) fn stream_with_usage(model: &str) -> Value {
    let mut body = stream(model);
    body["stream_options"] = json!({ "include_usage": true });
    body
}
