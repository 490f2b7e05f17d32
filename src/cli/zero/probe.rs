//! Looks for model servers on this machine, each recognised by answering in its own shape.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 4 << 20;
/// What Ollama's compatible API cuts prompts at, unless the server is told otherwise.
const OLLAMA_CONTEXT: u64 = 4_096;

/// A server that was found.
#[derive(Debug)]
pub(in crate::cli) struct Local {
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) base_url: String,
    pub(in crate::cli) models: Vec<LocalModel>,
}

/// A model that it serves.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct LocalModel {
    pub(in crate::cli) id: String,
    pub(in crate::cli) context: Option<u64>,
}

/// A kind of server: its usual port, where it answers in its own shape, and what that says.
struct Kind {
    name: &'static str,
    port: u16,
    path: &'static str,
    read: fn(&Value) -> Option<Vec<LocalModel>>,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "ollama",
        port: 11434,
        path: "/api/tags",
        read: ollama,
    },
    Kind {
        name: "vllm",
        port: 8000,
        path: "/v1/models",
        read: |answer| owned_by(answer, "vllm"),
    },
    Kind {
        name: "sglang",
        port: 30000,
        path: "/v1/models",
        read: |answer| owned_by(answer, "sglang"),
    },
    Kind {
        name: "llamacpp",
        port: 8080,
        path: "/v1/models",
        read: |answer| owned_by(answer, "llamacpp"),
    },
    Kind {
        name: "lmstudio",
        port: 1234,
        path: "/api/v0/models",
        read: lm_studio,
    },
];

/// Asks every usual port but our own, all at once.
pub(in crate::cli) async fn local_servers(own: &[SocketAddr]) -> Vec<Local> {
    let ports: Vec<u16> = own.iter().map(SocketAddr::port).collect();
    let kinds = KINDS.iter().filter(|kind| !ports.contains(&kind.port));
    let asked: Vec<_> = kinds
        .map(|kind| async move {
            let uri: Uri = format!("http://127.0.0.1:{}{}", kind.port, kind.path)
                .parse()
                .ok()?;
            let answer = serde_json::from_slice(&get(uri, PATIENCE).await?).ok()?;
            let models = (kind.read)(&answer)?;
            let base_url = format!("http://127.0.0.1:{}/v1", kind.port);
            (!models.is_empty()).then_some(Local {
                name: kind.name,
                base_url,
                models,
            })
        })
        .collect();
    let mut found = Vec::new();
    // each is refused at once or answers within its time, so that one after the other is fast
    for one in asked {
        found.extend(one.await);
    }
    found
}

/// The body of a 200; `None` for everything else.
pub(in crate::cli) async fn get(uri: Uri, patience: Duration) -> Option<Bytes> {
    let request = Request::get(uri).body(Full::default()).ok()?;
    let answer = async {
        let answer = client().request(request).await.ok()?;
        (answer.status() == StatusCode::OK).then_some(())?;
        let body = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .ok()?;
        Some(body.to_bytes())
    };
    tokio::time::timeout(patience, answer).await.ok()?
}

/// A client for a request now and then.
pub(in crate::cli) fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// vLLM, SGLang and llama.cpp name themselves as the owner of their models.
fn owned_by(answer: &Value, owner: &str) -> Option<Vec<LocalModel>> {
    let list = answer.get("data")?.as_array()?;
    let of_owner = |model: &&Value| model.get("owned_by").and_then(Value::as_str) == Some(owner);
    let models = list.iter().filter(of_owner).filter_map(|model| {
        let context = model
            .get("max_model_len")
            .or_else(|| model.pointer("/meta/n_ctx"));
        Some(LocalModel {
            id: model.get("id")?.as_str()?.to_owned(),
            context: context
                .and_then(Value::as_u64)
                .filter(|context| *context > 0),
        })
    });
    Some(models.collect())
}

fn ollama(answer: &Value) -> Option<Vec<LocalModel>> {
    let list = answer.get("models")?.as_array()?;
    let models = list.iter().filter_map(|model| {
        model.get("details")?;
        let id = model.get("name")?.as_str()?.to_owned();
        Some(LocalModel {
            id,
            context: Some(OLLAMA_CONTEXT),
        })
    });
    Some(models.collect())
}

fn lm_studio(answer: &Value) -> Option<Vec<LocalModel>> {
    let list = answer.get("data")?.as_array()?;
    let chats = |model: &&Value| matches!(model["type"].as_str(), Some("llm" | "vlm"));
    let models = list.iter().filter(chats).filter_map(|model| {
        Some(LocalModel {
            id: model.get("id")?.as_str()?.to_owned(),
            context: model.get("max_context_length").and_then(Value::as_u64),
        })
    });
    Some(models.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_server_is_known_by_its_own_shape_only() {
        let vllm = json!({"object":"list","data":[{"id":"Qwen/Qwen3-32B","owned_by":"vllm","max_model_len":40960}]});
        let want = vec![LocalModel {
            id: "Qwen/Qwen3-32B".into(),
            context: Some(40_960),
        }];
        assert_eq!(owned_by(&vllm, "vllm"), Some(want));
        assert_eq!(owned_by(&vllm, "llamacpp"), Some(vec![]));
        assert_eq!(ollama(&vllm), None);
        let llama = json!({"data":[{"id":"m.gguf","owned_by":"llamacpp","meta":{"n_ctx":8192}}]});
        assert_eq!(
            owned_by(&llama, "llamacpp").unwrap()[0].context,
            Some(8_192)
        );
        let tags =
            json!({"models":[{"name":"qwen3:8b","details":{"family":"qwen3"}},{"name":"x"}]});
        assert_eq!(ollama(&tags).unwrap().len(), 1);
        let studio = json!({"data":[{"id":"a","type":"llm","max_context_length":32768},{"id":"b","type":"embeddings"}]});
        assert_eq!(lm_studio(&studio).unwrap().len(), 1);
        assert_eq!(owned_by(&json!("hello"), "vllm"), None);
    }
}
