//! Reads the body of a request: at most so many bytes, within a time, out of a common memory.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::{
    admit::room::{Held, Room},
    error::BodyError,
};

/// How long a client may be silent in the middle of its body.
const IDLE: Duration = Duration::from_secs(30);

/// Reads all of it.
///
/// # Errors
/// If it is too large, too slow, breaks off, or there is no room.
pub(super) async fn read(
    mut body: Body,
    limit: u64,
    room: &Room,
) -> Result<(Bytes, Held), BodyError> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    let mut held = room.enter();
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0_u64;
    loop {
        let frame = tokio::time::timeout(IDLE, body.frame())
            .await
            .map_err(|_| BodyError::TooSlow)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| BodyError::BrokeOff)?.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if !held.grow(data.len() as u64) {
            return Err(BodyError::NoRoom);
        }
        match first.take() {
            // a body that came in one piece is never copied
            None if rest.is_empty() => first = Some(data),
            None => rest.extend_from_slice(&data),
            Some(before) => {
                let whole = announced.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                rest.reserve(whole.max(before.len() + data.len()));
                rest.extend_from_slice(&before);
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok((first.unwrap_or_else(|| rest.freeze()), held))
}
