//! One attempt at one backend: a call, or several where a request has to be split.
//!
//! Parts are sent one after the other. Those that were answered are kept while the same backend is
//! asked again, so that only what failed is repeated.

use std::pin::pin;

use super::{
    Answer, Called, Course, Delivery, Job, Watch, attempt, batch,
    failure::{Class, Failure},
    upstream,
};
use crate::{route::Candidate, wire::body::Body};

impl Job {
    /// Makes an attempt; with the replica that was asked last.
    pub(super) async fn attempt(
        &self,
        candidate: &Candidate,
        called: &Called<'_>,
        course: &mut Course,
        watch: &mut dyn Watch,
    ) -> (usize, Result<Delivery, Failure>) {
        let body = upstream::body_for(
            &self.ask,
            called.provider,
            called.backend,
            called.allowance.max_output,
        );
        let Some(parts) = batch::split(&self.ask, &body, called.backend.max_batch) else {
            let most = self.means.config.server.max_buffered_answer;
            return self
                .send(called, (&body, course.replica, most), watch, candidate)
                .await;
        };
        let mut left = self.means.config.server.max_body;
        let mut replica = course.replica;
        while let Some(part) = parts.get(course.parts.len()) {
            watch.part(part.inputs as u64, self.ask.needs.inputs);
            let sent = (&part.body, course.replica, left);
            let (at, outcome) = self.send(called, sent, watch, candidate).await;
            replica = Some(at);
            match outcome {
                Ok(Delivery {
                    head,
                    answer: Answer::Whole(bytes),
                }) => {
                    left = left.saturating_sub(bytes.len() as u64);
                    course.parts.push(bytes);
                    // the next part may be repeated as well
                    course.replica = None;
                    if course.parts.len() < parts.len() {
                        watch.part_done();
                        continue;
                    }
                    let joined = batch::join(&course.parts, &parts).ok_or_else(|| {
                        course.parts.clear();
                        let detail = "the answers to the parts can't be joined";
                        Failure::without_answer(Class::Nonsense, detail)
                    });
                    let whole = |bytes| Delivery {
                        head,
                        answer: Answer::Whole(bytes),
                    };
                    return (at, joined.map(whole));
                }
                Ok(_) => {
                    let detail = "the answer to a part is too large";
                    return (at, Err(Failure::without_answer(Class::Nonsense, detail)));
                }
                Err(failure) => return (at, Err(failure)),
            }
        }
        (
            replica.unwrap_or(0),
            Err(Failure::without_answer(Class::Nonsense, "no part is left")),
        )
    }

    /// Makes one call; `most` is the largest answer that is held to its end.
    async fn send(
        &self,
        called: &Called<'_>,
        (body, avoid, most): (&Body, Option<usize>, u64),
        watch: &mut dyn Watch,
        candidate: &Candidate,
    ) -> (usize, Result<Delivery, Failure>) {
        let broken = || Failure::without_answer(Class::Unreachable, "the provider has no address");
        let upstream = self.means.upstreams.get(called.backend.provider);
        let client = self.means.clients.get(called.backend.provider);
        let taken = upstream.and_then(|u| Some((u, u.take(avoid, self.conversation)?)));
        let (Some((upstream, busy)), Some(client)) = (taken, client) else {
            return (0, Err(broken()));
        };
        let replica = busy.replica;
        let prepared = upstream.prepare(&busy, &self.ask, &self.forwarded, body);
        let Some(mut request) = prepared else {
            return (replica, Err(broken()));
        };
        if let Some(key) = called.key {
            key.authorize(&mut request.headers);
        }
        watch.begin(candidate);
        let sending = pin!(client.send(&request));
        let attempt = attempt::attempt(self, sending, (busy, most), watch);
        (replica, attempt.await)
    }
}
