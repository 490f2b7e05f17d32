use super::*;

const TYPE: &str = "multipart/form-data; boundary=xyz";
const FORM: &str = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
    Content-Type: audio/wav\r\n\r\nRI\r\n--xyzz\0FF\r\n--xyz\r\n\
    content-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--xyz\r\n\
    Content-Disposition: form-data; name=tollgate\r\n\r\n{}\r\n--xyz--\r\n";

fn form(body: &str) -> Result<Form, FormError> {
    Form::parse(TYPE, Bytes::copy_from_slice(body.as_bytes()))
}

fn sent(form: &Form) -> String {
    let slices = form.slices();
    let bytes: Vec<u8> = slices.iter().flatten().copied().collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn fields_and_files_are_found_in_any_order() {
    let form = form(FORM).unwrap();
    assert_eq!(form.get("model"), Some("whisper"));
    assert_eq!(form.get("tollgate"), Some("{}"));
    assert_eq!(form.get("file"), None);
    // a line that only begins like the delimiter is the file's own
    assert_eq!(form.file("file"), Some(&b"RI\r\n--xyzz\0FF"[..]));
    assert_eq!(form.file("model"), None);
}

#[test]
fn an_untouched_form_leaves_as_it_came_in_one_piece() {
    let form = form(FORM).unwrap();
    assert_eq!(sent(&form), FORM);
    // the closing delimiter is a slice of its own
    assert_eq!(form.slices().len(), 2);
}

#[test]
fn an_edit_changes_its_field_alone() {
    let mut form = form(FORM).unwrap();
    form.set("model", "large-v3");
    form.remove("tollgate");
    let field = "--xyz\r\nContent-Disposition: form-data; name=tollgate\r\n\r\n{}\r\n";
    let want = FORM.replace("whisper", "large-v3").replace(field, "");
    assert_eq!(sent(&form), want);
    assert_eq!(form.get("model"), Some("large-v3"));
    assert_eq!(form.get("tollgate"), None);
    form.remove("file");
    let again = Form::parse(TYPE, Bytes::from(sent(&form))).unwrap();
    assert_eq!(again.get("model"), Some("large-v3"));
    assert_eq!(again.file("file"), None);
}

#[test]
fn a_field_that_stands_twice_is_refused_unless_it_is_a_list() {
    let part = |name: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n")
    };
    let twice = |name: &str| form(&format!("{}{}--xyz--", part(name), part(name)));
    assert_eq!(twice("model").unwrap_err(), FormError::Duplicate);
    assert!(twice("include[]").is_ok());
}

#[test]
fn what_is_no_form_is_refused() {
    for content_type in [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=xyz",
    ] {
        let parsed = Form::parse(content_type, Bytes::from(FORM));
        assert_eq!(parsed.unwrap_err(), FormError::NoBoundary, "{content_type}");
    }
    let cut = FORM.trim_end().trim_end_matches("--");
    for body in ["", "{}", "--xyz\r\nx\r\n\r\ny\r\n--xyz--", cut] {
        assert_eq!(form(body).unwrap_err(), FormError::Malformed, "{body}");
    }
}

#[test]
fn a_quoted_boundary_and_escaped_names_are_read() {
    let body =
        "--a b\r\nContent-Disposition: form-data; x=1; name=\"mo\\\"del\"\r\n\r\nm\r\n--a b--";
    let form = Form::parse("Multipart/Form-Data; Boundary=\"a b\"", Bytes::from(body)).unwrap();
    assert_eq!(form.get("mo\"del"), Some("m"));
}

proptest::proptest! {
    #[test]
    fn any_body_is_read_without_panic(body in "(--xyz|\r\n|[a-z:;=\"\\\\-]|Content-Disposition: form-data; name=a){0,40}") {
        if let Ok(form) = form(&body) {
            proptest::prop_assert_eq!(sent(&form), body);
        }
    }
}
