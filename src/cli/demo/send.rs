//! Sends a request of the demo, and reads from the answer what is shown of it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::requests::DemoRequest;
use crate::{
    cli::zero::probe,
    wire::sse::{DONE, Splitter},
};

/// An answer of the gateway, as a client sees it.
#[derive(Debug)]
pub(super) struct DemoAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, or the last chunk with usage of a stream.
    pub(super) body: Value,
}

/// Sends it and waits for all of the answer.
pub(super) async fn send(address: SocketAddr, request: &DemoRequest) -> Result<DemoAnswer, String> {
    let uri = format!("http://{address}/v1/chat/completions");
    let mut http = Request::post(&uri).header(CONTENT_TYPE, "application/json");
    for (name, value) in &request.headers {
        http = http.header(*name, *value);
    }
    let body = Full::new(Bytes::from(request.body.to_string()));
    let http = http.body(body).map_err(|error| error.to_string())?;
    let answer = probe::client()
        .request(http)
        .await
        .map_err(|error| format!("{uri}: {error}"))?;
    let (head, body) = answer.into_parts();
    let bytes = body
        .collect()
        .await
        .map_err(|error| format!("{uri}: {error}"))?
        .to_bytes();
    let stream = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = if stream {
        usage_chunk(&bytes)
    } else {
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    Ok(DemoAnswer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// The chunk of a stream that holds its usage.
fn usage_chunk(stream: &Bytes) -> Value {
    let Ok(block) = Splitter::new(stream.len()).push(stream) else {
        return Value::Null;
    };
    let datas = block
        .events
        .iter()
        .filter_map(|event| event.data(&block.bytes))
        .filter(|data| *data != DONE);
    let chunks = datas.filter_map(|data| serde_json::from_slice::<Value>(data).ok());
    chunks
        .filter(|chunk| chunk["usage"].is_object())
        .last()
        .unwrap_or_default()
}
