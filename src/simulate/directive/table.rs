//! The tables of directives and faults, for error texts and documentation. Only words.

/// Every directive: its name, how it is written, what it does. The error for an unknown one lists
/// the first column, and `docs/simulator.md` holds the same table.
pub(crate) const DIRECTIVES: &[(&str, &str, &str)] = &[
    ("out", "out=N", "visible output tokens"),
    ("chunks", "chunks=N", "content events of a stream"),
    ("chunk", "chunk=N", "tokens in one content event (1)"),
    (
        "ttft",
        "ttft=200ms",
        "silence between the head and the first event or the JSON",
    ),
    ("gap", "gap=20ms", "pause between two content events"),
    ("head", "head=1s", "delay before the response head"),
    (
        "prompt",
        "prompt=N",
        "prompt tokens that are reported, instead of the counted ones",
    ),
    ("cached", "cached=N", "how many of them were cached"),
    (
        "remembers",
        "remembers",
        "of a chat, what its prompt has in common with an earlier one was cached",
    ),
    ("bad", "bad=KIND", "an answer that is complete and no good"),
    (
        "written",
        "written=N",
        "how many of the others were written to a cache",
    ),
    (
        "reasoning",
        "reasoning=N",
        "reasoning tokens (0 switches reasoning off)",
    ),
    ("usage", "usage=STYLE", "how usage is reported"),
    ("cost", "cost=0.01", "what is charged, as `usage.cost`"),
    (
        "tier",
        "tier=NAME",
        "the service tier that is said to have served",
    ),
    ("calls", "calls=N", "parallel tool calls (1)"),
    ("sse", "sse=lf|crlf|cr", "line ends of a stream"),
    ("nospace", "nospace", "`data:{` without the space"),
    (
        "comments",
        "comments=N",
        "comment lines before every event, the first too",
    ),
    (
        "keepalive",
        "keepalive=1s",
        "comments (blank lines before JSON) during ttft",
    ),
    ("split", "split=N", "at most N bytes in one TCP write"),
    ("nodone", "nodone", "no `[DONE]`"),
    ("nofinish", "nofinish", "no event with a finish_reason"),
    ("multiline", "multiline", "two data lines in each event"),
    ("bom", "bom", "a byte order mark before a stream"),
    (
        "strict",
        "strict",
        "unknown members of the body are refused",
    ),
    ("fault", "fault=KIND", "what goes wrong"),
    (
        "body",
        "body=NAME",
        "the error body, as a real provider words it",
    ),
    (
        "retry_after",
        "retry_after=2",
        "the header of a faulty status; with ms, retry-after-ms too",
    ),
    (
        "fail",
        "fail=K",
        "only the first K requests for this name meet the fault",
    ),
    (
        "every",
        "every=K",
        "only each K-th request for this name meets it",
    ),
    (
        "only_key",
        "only_key=HEX",
        "only requests whose API key's SHA-256 begins so meet it",
    ),
    (
        "idle_close",
        "idle_close=50ms",
        "the server closes the connection after this idle time",
    ),
];

/// How each fault is written, and what it does.
pub(crate) const FAULTS: &[(&str, &str)] = &[
    ("status[:S]", "an error status with an error body"),
    ("reset", "RST before the head"),
    ("close", "FIN before the head"),
    ("hang", "no answer at all"),
    ("hang_head", "the head, then silence"),
    ("cut:N", "RST after N events"),
    (
        "end:N",
        "a properly ended transfer after N events: no finish_reason, no [DONE]",
    ),
    ("stall:N", "silence after N events"),
    (
        "garbage:N",
        "an event that is not JSON after N events, then on",
    ),
    ("error_first", "status 200, the first event is an error"),
    ("error:N", "an error event after N events, then the end"),
    ("notjson", "status 200 with an HTML page"),
    ("empty", "status 200 with an empty body"),
    ("short", "a content-length larger than what is sent"),
    ("slow_body", "one byte at a time, every `gap` (20ms)"),
];
