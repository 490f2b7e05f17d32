//! Transport: HTTP/2 and TLS on both sides, the way to backends, and what the door does not take.

mod door;
mod http2;
mod outward;
mod tls;
