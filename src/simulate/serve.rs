//! One request from its head to its response: read, record, check, compose, deliver.
//!
//! The order is a careful backend's: body, then headers and key, then the body's meaning. Faults
//! come last, so that a bad request is always refused, whatever its model would do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde_json::value::RawValue;

use super::account::Visit;
use super::answer::{self, Answer, Counts};
use super::ask::{self, Endpoint, Fields};
use super::body::SimBody;
use super::directive::Fault;
use super::events::UsageWish;
use super::form::Upload;
use super::line::Line;
use super::others::Whole;
use super::received::Received;
use super::refusal::Refusal;
use super::route::Route;
use super::server::Server;
use super::{aside, deliver, directive, embedding, form, headers, others, render};

/// One connection's side of a request.
pub(crate) struct Caller {
    pub(crate) line: Arc<Line>,
    /// The number of the connection.
    pub(crate) connection: u64,
}

/// What is delivered once nothing can be refused any more.
enum Job {
    Stream(Answer, UsageWish),
    Whole(Whole),
}

/// A body on its way. Dropped before it is done, it counts a client that has gone.
struct Arriving<'a>(&'a Server);

impl Arriving<'_> {
    fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if !self.0.stopping.is_cancelled() {
            self.0.account.uploads_cut.fetch_add(1, Relaxed);
        }
    }
}

/// Answers one request; an error ends its connection without an answer.
pub(crate) async fn answer(
    server: Arc<Server>,
    caller: Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<SimBody>, io::Error> {
    let fresh = caller.line.begin() == 0;
    let (head, body) = request.into_parts();
    match Route::of(&head.method, head.uri.path()) {
        Route::Answer { endpoint, .. } => {
            server.account.requests.fetch_add(1, Relaxed);
            let upload = Arriving(&server);
            let body = read(body, server.options.max_body).await?;
            upload.done();
            let Some(body) = body else {
                return Ok(too_large(&server, &caller));
            };
            let received = server.ring.record(head, caller.connection, &body);
            let prepared = prepare(&server, &caller, endpoint, &received, &body, fresh);
            // tens of megabytes need not wait for the answer
            drop((received, body));
            match prepared {
                Ok((visit, job)) => serve(visit, &caller.line, job).await,
                Err(refusal) => {
                    server.account.rejected.fetch_add(1, Relaxed);
                    caller.line.finish();
                    Ok(deliver::refusal(&refusal))
                }
            }
        }
        route => {
            let response = aside::answer(&server, route, &head);
            if matches!(route, Route::Models | Route::Model(_) | Route::Health) {
                server.account.requests.fetch_add(1, Relaxed);
                server.ring.record(head, caller.connection, &Bytes::new());
            }
            caller.line.finish();
            Ok(response)
        }
    }
}

/// Everything that may be refused, up to the composed answer.
fn prepare(
    server: &Server,
    caller: &Caller,
    endpoint: Endpoint,
    received: &Received,
    body: &[u8],
    fresh: bool,
) -> Result<(Visit, Job), Refusal> {
    headers::check(&received.headers, &server.hosts)?;
    headers::key(&received.headers, &server.options.keys)?;
    let upload = match endpoint {
        Endpoint::Transcriptions | Endpoint::Translations => {
            Some(form::read(&received.headers, body)?)
        }
        _ => {
            headers::json(&received.headers)?;
            None
        }
    };
    let object = upload.as_ref().map_or(body, |upload| &upload.fields);
    let fields = Fields::read(object, "")?;
    let name = ask::model(&fields)?;
    let provider = match Route::of(&Method::POST, received.uri.path()) {
        Route::Answer { provider, .. } => provider,
        _ => "",
    };
    let extra = || server.script(provider, directive::base(&name));
    let model = server
        .account
        .model(provider, &name, extra)
        .map_err(|error| Refusal::invalid("model", "invalid_directive", error.to_string()))?;
    let (line, stopping) = (Arc::clone(&caller.line), server.stopping.clone());
    let mut visit = Visit::begin(model, line, stopping, fresh);
    let key = headers::api_key(&received.headers);
    visit.spared = !visit.model.script.is_for(key);
    match compose(&visit, endpoint, &fields, upload.as_ref()) {
        Ok(job) => Ok((visit, job)),
        Err(refusal) => {
            visit.fail("rejected");
            visit.end();
            Err(refusal)
        }
    }
}

fn compose(
    visit: &Visit,
    endpoint: Endpoint,
    fields: &Fields<'_>,
    upload: Option<&Upload>,
) -> Result<Job, Refusal> {
    let (script, base) = (&visit.model.script, visit.model.base.as_str());
    fields.without("tollgate")?;
    let ask = match endpoint {
        Endpoint::Chat => ask::chat(fields, base, script.strict)?,
        Endpoint::Completions => ask::completions(fields, base, script.strict)?,
        Endpoint::Embeddings => {
            let ask = ask::embeddings(fields, base, script.strict)?;
            let prompt = script.prompt.unwrap_or(ask.prompt_tokens);
            let bytes = embedding::whole(&ask, &format!("sim-{base}"), prompt);
            return Ok(Job::Whole(Whole {
                media: deliver::JSON,
                bytes,
                usage: Counts {
                    prompt,
                    ..Counts::default()
                },
            }));
        }
        _ => {
            let call = others::Call {
                endpoint,
                fields,
                upload,
                script,
                base,
            };
            return others::answer(&call).map(Job::Whole);
        }
    };
    let cached = if script.remembers && matches!(endpoint, Endpoint::Chat) {
        let messages: &RawValue = fields.required("messages")?;
        let prompt = script.prompt.unwrap_or(ask.prompt_tokens);
        visit.model.memory.read(messages.get().as_bytes(), prompt)
    } else {
        script.cached
    };
    let answer = answer::compose(&ask, script, cached, base)?;
    if ask.stream {
        let wish = UsageWish {
            include: ask.include_usage,
            continuous: ask.continuous_usage,
        };
        return Ok(Job::Stream(answer, wish));
    }
    Ok(Job::Whole(Whole {
        media: deliver::JSON,
        bytes: render::whole(&answer, script.usage),
        usage: answer.usage,
    }))
}

/// Waits, meets the fault, or delivers. Dropped when the client goes.
async fn serve(mut visit: Visit, line: &Line, job: Job) -> Result<Response<SimBody>, io::Error> {
    let model = Arc::clone(&visit.model);
    let script = &model.script;
    let fault = if visit.spared {
        None
    } else {
        script.fault_for(model.try_once())
    };
    if script.split > 0 {
        line.split(script.split);
    }
    if let Some(limit) = script.idle_close {
        line.close_when_idle(limit);
    }
    if !script.head.is_zero() {
        tokio::time::sleep(script.head).await;
    }
    match fault {
        Some(Fault::Hang) => {
            visit.fail("hang");
            std::future::pending::<()>().await;
        }
        Some(fault @ (Fault::Reset | Fault::Close)) => {
            visit.fail(fault.label());
            visit.end();
            if fault == Fault::Reset {
                line.reset();
            }
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        _ => {}
    }
    if let Some(response) = deliver::instead(&mut visit, fault) {
        return Ok(response);
    }
    match job {
        Job::Stream(answer, wish) => Ok(deliver::stream(visit, answer, wish, fault)),
        Job::Whole(whole) => {
            let thinking = deliver::thinking(script, whole.usage);
            if !thinking.is_zero() && script.keepalive.is_none() && fault != Some(Fault::HangHead) {
                tokio::time::sleep(thinking).await;
            }
            Ok(deliver::whole(visit, whole, fault))
        }
    }
}

fn too_large(server: &Server, caller: &Caller) -> Response<SimBody> {
    server.account.rejected.fetch_add(1, Relaxed);
    caller.line.finish();
    let message = format!("the body is larger than {} bytes", server.options.max_body);
    let refusal = Refusal::plain(
        StatusCode::PAYLOAD_TOO_LARGE,
        Some("request_too_large"),
        message,
    );
    let mut response = deliver::refusal(&refusal);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The whole body; `None` when it is larger than `limit`. An error is a client that has gone.
async fn read(mut body: Incoming, limit: usize) -> Result<Option<Bytes>, io::Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Ok(None);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(announced.max(first.len() + data.len()));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
        if rest.len() > limit {
            return Ok(None);
        }
    }
    let whole = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    Ok((whole.len() <= limit).then_some(whole))
}
