use proptest::prelude::*;

use super::*;

/// What a stream means: its bytes put together again, and the data of its events.
fn read(frames: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut splitter = Splitter::new(1 << 20);
    let (mut bytes, mut datas) = (Vec::new(), Vec::new());
    for frame in frames {
        let block = splitter.push(&Bytes::copy_from_slice(frame)).unwrap();
        let covered: usize = block.events.iter().map(|e| e.raw.len()).sum();
        assert_eq!(covered, block.bytes.len(), "events cover their block");
        bytes.extend_from_slice(&block.bytes);
        datas.extend(
            block
                .events
                .iter()
                .filter_map(|e| Some(e.data(&block.bytes)?.to_vec())),
        );
    }
    bytes.extend_from_slice(&splitter.held);
    (bytes, datas)
}

const STREAM: &str = ": hello\n\nevent: x\ndata: {\"a\":1}\n\ndata:{\"b\":2}\nid: 7\n\ndata: one\ndata: two\ndata\n\n: c\ndata: [DONE]\n\n";

#[test]
fn data_is_found_with_and_without_space_in_one_line_and_in_many() {
    let (_, datas) = read(&[STREAM.as_bytes()]);
    let want: [&[u8]; 4] = [b"{\"a\":1}", b"{\"b\":2}", b"one\ntwo\n", b"[DONE]"];
    assert_eq!(datas, want);
}

#[test]
fn every_split_of_every_line_end_reads_the_same() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = STREAM.replace('\n', end);
        let whole = read(&[stream.as_bytes()]);
        assert_eq!(whole.0, stream.as_bytes());
        assert_eq!(whole.1.len(), 4, "{end:?}");
        for a in 0..=stream.len() {
            for b in [a, (a + 1).min(stream.len()), (a + 7).min(stream.len())] {
                let bytes = stream.as_bytes();
                let split = read(&[&bytes[..a], &bytes[a..b], &bytes[b..]]);
                assert_eq!(split, whole, "{end:?} cut at {a} and {b}");
            }
        }
    }
}

#[test]
fn an_event_leaves_with_the_byte_that_completes_it() {
    let mut splitter = Splitter::new(100);
    assert!(
        splitter
            .push(&Bytes::from_static(b"data: x\r\n"))
            .unwrap()
            .events
            .is_empty()
    );
    assert_eq!(
        splitter
            .push(&Bytes::from_static(b"\r"))
            .unwrap()
            .events
            .len(),
        1
    );
    assert!(
        splitter
            .push(&Bytes::from_static(b"\n"))
            .unwrap()
            .events
            .is_empty()
    );
    assert_eq!(splitter.unfinished(), b"");
}

#[test]
fn a_byte_order_mark_hides_no_data() {
    assert_eq!(read(&[b"\xef\xbb\xbfdata: x\n\n"]).1, [b"x"]);
}

#[test]
fn an_event_over_the_limit_is_refused_whole_or_in_pieces() {
    let long = [b"data: ".as_slice(), &[b'x'; 100], b"\n\n"].concat();
    assert_eq!(
        Splitter::new(50)
            .push(&Bytes::from(long.clone()))
            .unwrap_err(),
        TooLong { limit: 50 }
    );
    let mut splitter = Splitter::new(50);
    let refused = long
        .chunks(10)
        .any(|part| splitter.push(&Bytes::copy_from_slice(part)).is_err());
    assert!(refused);
    assert!(Splitter::new(1000).push(&Bytes::from(long)).is_ok());
}

#[test]
fn a_frame_of_whole_events_is_not_copied() {
    let frame = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let block = Splitter::new(100).push(&frame).unwrap();
    assert_eq!(block.bytes.as_ptr(), frame.as_ptr());
    assert_eq!(block.events.len(), 2);
}

#[test]
fn a_text_of_several_lines_is_written_so_that_it_reads_the_same() {
    for json in ["{}", "{\"a\":1,\n\"b\":2}", "{\n\n}\n"] {
        assert_eq!(read(&[&event(json.as_bytes())]).1, [json.as_bytes()]);
    }
}

proptest! {
    #[test]
    fn any_chunking_of_any_bytes_reads_the_same(
        parts in prop::collection::vec(prop_oneof![
            Just("\n".to_owned()), Just("\r".to_owned()), Just("\r\n".to_owned()),
            Just("data: ".to_owned()), Just("data".to_owned()), Just(":".to_owned()), "[a-z ]{0,3}",
        ], 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = parts.concat().into_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let frames: Vec<&[u8]> = at.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
        let whole = read(&[&stream]);
        prop_assert_eq!(&whole.0, &stream);
        prop_assert_eq!(read(&frames), whole);
    }
}
