//! Transcripts of files that are uploaded as a form, in whatever order its fields come.

use http::Method;

use super::model;
use crate::support::{Call, Gateway, Setup, eventually, simulator};

const BOUNDARY: &str = "----------------------------735323031399963166993862";
const PRICE: &str = "{ audio_hour: '0.36' }";

/// A form; a field called `file` is one.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let file = if *name == "file" {
            "; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg"
        } else {
            ""
        };
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn upload(gateway: &Gateway, path: &str, body: Vec<u8>) -> Call {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    gateway
        .call(Method::POST, path)
        .bytes(body)
        .header("content-type", &content_type)
}

const PATH: &str = "/v1/audio/transcriptions";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_transcribed_whatever_the_order_of_the_fields() {
    let sim = simulator().await;
    let gateway = model(Setup::new(&sim), "m", "a/whisper", PRICE, "transcription")
        .start()
        .await;
    let file = vec![0_u8; 40_000];
    for (path, fields) in [
        // as OpenAI's Python client sends them, and its Node client
        (PATH, [("model", &b"m"[..]), ("file", &file[..])]),
        (PATH, [("file", &file[..]), ("model", &b"m"[..])]),
        (
            "/audio/translations",
            [("file", &file[..]), ("model", &b"m"[..])],
        ),
    ] {
        let reply = upload(&gateway, path, form(&fields)).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["usage"]["seconds"], 3);
        // three seconds at 36 cents an hour
        assert_eq!(reply.header("x-tollgate-cost-usd"), "0.0003");
        let mut wanted = fields;
        wanted
            .iter_mut()
            .filter(|(name, _)| *name == "model")
            .for_each(|f| f.1 = b"whisper");
        let received = sim.requests(1).remove(0).body.clone().unwrap();
        assert!(*received == *form(&wanted), "only the model is another one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_of_one_file_costs_the_same() {
    let sim = simulator().await;
    let gateway = model(Setup::new(&sim), "m", "a/whisper", PRICE, "transcription")
        .start()
        .await;
    let file = vec![0_u8; 40_000];
    for (format, content_type) in [
        ("json", "application/json"),
        ("verbose_json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("srt", "text/plain; charset=utf-8"),
        ("vtt", "text/vtt; charset=utf-8"),
    ] {
        let fields: [(&str, &[u8]); 3] = [
            ("model", b"m"),
            ("response_format", format.as_bytes()),
            ("file", &file),
        ];
        let reply = upload(&gateway, PATH, form(&fields)).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), content_type, "{format}");
    }
    let metrics = gateway.metrics().await;
    let cost = metrics.sum("cost_usd_total", &[("backend", "a/whisper")]);
    assert!((cost - 5.0 * 0.000_3).abs() < 1e-12, "{cost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_in_chunks_passes_and_fails_over_with_all_its_bytes() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let gateway = Setup::new(&sim)
        .also(&format!(
            "store: {{ ledger: 'sqlite:{}' }}",
            ledger.display()
        ))
        .also_model(
            "{ name: m, caps: [transcription], backends: [\
             { provider: a, model: 'x+fault=status:503', price: { audio_hour: '0.1' } }, \
             { provider: b, model: y, price: { audio_hour: '3.6' } }] }",
        )
        .model("other", &["a/o", "b/o"])
        .start()
        .await;
    let file: Vec<u8> = (0..25_u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
    let body = form(&[("file", &file), ("model", b"m")]);
    let reply = upload(&gateway, PATH, body).chunked(100_000).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-tollgate-backend"), "b/y");
    let wanted = form(&[("file", &file), ("model", b"y")]).len();
    assert_eq!(sim.requests(1)[0].body_length, wanted);
    eventually("both calls are booked", async || {
        crate::ledger::rows(&ledger).len() >= 2
    })
    .await;
    let last = crate::ledger::rows(&ledger).pop().unwrap();
    // 25 MiB are 1639 seconds at 0.1 cents, by the simulator's rule
    assert_eq!(
        (last.cost, last.basis.as_str()),
        (Some(1_639_000_000_000), "exact")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_can_not_be_read_is_refused_before_anybody_is_asked() {
    let sim = simulator().await;
    let gateway = model(Setup::new(&sim), "m", "a/whisper", PRICE, "transcription")
        .start()
        .await;
    let refusal = async |body: Vec<u8>| upload(&gateway, PATH, body).send().await.refusal();
    let invalid = "400 invalid_request_error invalid_form null";
    let good = form(&[("model", b"m"), ("file", b"x")]);
    assert_eq!(refusal(good[..good.len() - 9].to_vec()).await, invalid);
    assert_eq!(refusal(b"{}".to_vec()).await, invalid);
    let twice = form(&[("model", b"m"), ("file", b"x"), ("model", b"n")]);
    assert_eq!(refusal(twice).await, invalid);
    let missing = "400 invalid_request_error missing_required_parameter";
    assert_eq!(
        refusal(form(&[("model", b"m")])).await,
        format!("{missing} file")
    );
    assert_eq!(
        refusal(form(&[("file", b"x")])).await,
        format!("{missing} model")
    );
    let json = gateway.call(Method::POST, PATH).json("{\"model\":\"m\"}");
    assert_eq!(json.send().await.refusal(), invalid);
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_streams_and_is_priced_by_its_tokens() {
    let sim = simulator().await;
    let price = "{ input: '1', input_audio: '3', output: '5' }";
    let backend = "a/gpt-4o-transcribe+prompt=100+out=12";
    let gateway = model(
        Setup::new(&sim),
        "m",
        backend,
        price,
        "transcription, streaming",
    )
    .start()
    .await;
    let fields: [(&str, &[u8]); 3] = [("model", b"m"), ("stream", b"true"), ("file", &[0; 40_000])];
    let reply = upload(&gateway, PATH, form(&fields)).send().await;
    assert!(
        reply.text().contains("transcript.text.done"),
        "{}",
        reply.text()
    );
    let metrics = gateway.metrics().await;
    let cost = metrics.sum("cost_usd_total", &[("backend", backend)]);
    assert!(
        (cost - (100.0 * 3.0 + 12.0 * 5.0) / 1e6).abs() < 1e-12,
        "{cost}"
    );
    assert_eq!(metrics.count("tokens_total", &[("type", "audio_in")]), 100);
}
