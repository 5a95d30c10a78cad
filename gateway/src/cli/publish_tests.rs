use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    publish: Publish,
}

fn parsed(words: &[&str]) -> Publish {
    Line::parse_from(["publish"].iter().chain(words)).publish
}

#[test]
fn body_follows_the_command_line() {
    let all = json!({ "namespace": "/", "target": "all", "event": "e", "args": [], "volatile": false });
    let rooms = json!({
        "namespace": "/n",
        "target": { "rooms": ["a", "b"], "users": ["u"], "sockets": ["s"] },
        "event": "e",
        "args": [1, -2, { "a": [] }, "word", "1", null, true],
        "volatile": true,
    });
    let acked = json!({
        "namespace": "/", "target": "all", "event": "e", "args": [], "volatile": false, "ack": { "timeout_ms": 1500 },
    });
    let many = [
        "--namespace",
        "/n",
        "--room",
        "a",
        "--room",
        "b",
        "--user",
        "u",
        "--socket",
        "s",
        "--event",
        "e",
        "--volatile",
        "1",
        "-2",
        "{\"a\":[]}",
        "word",
        "\"1\"",
        "null",
        "true",
    ];
    for (words, body) in [
        (["--all", "--event", "e"].as_slice(), all),
        (many.as_slice(), rooms),
        (["--all", "--event", "e", "--ack-timeout", "1500ms"].as_slice(), acked),
    ] {
        assert_eq!(parsed(words).body(), body);
    }
}

/// Answers one request, and returns what was asked.
fn answer_once(response: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            reader.read_line(&mut request).unwrap();
        }
        let lower = request.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(response.as_bytes()).unwrap();
        request + std::str::from_utf8(&body).unwrap()
    });
    (url, served)
}

#[test]
fn answer_is_returned_and_headers_are_sent() {
    let (url, served) = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"logged\":false}");
    let words = ["--url", &url, "--key", "k1", "--idempotency-key", "i1", "--all", "--event", "e"];
    assert_eq!(parsed(&words).send().unwrap(), "{\"logged\":false}");
    let request = served.join().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("post /v1/publish http/1.1\r\n"), "{request}");
    for header in ["authorization: bearer k1\r\n", "idempotency-key: i1\r\n", "content-type: application/json\r\n"] {
        assert!(request.contains(header), "{request}");
    }
}

#[test]
fn refusal_says_what_the_gateway_said() {
    let body = "{\"error\":{\"code\":\"forbidden\",\"message\":\"no scope\"}}";
    let response = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (url, served) = answer_once(response.leak());
    let error = parsed(&["--url", &url, "--key", "secret-key", "--all", "--event", "e"]).send().unwrap_err();
    assert_eq!(format!("{error:#}"), "the gateway refused: 403 forbidden: no scope");
    served.join().unwrap();
    assert_eq!(refusal(502, "<html>"), "502 <html>");
    assert_eq!(refusal(500, ""), "500");
}

#[test]
fn no_connection_names_the_address() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let error = parsed(&["--url", &url, "--key", "secret-key", "--all", "--event", "e"]).send().unwrap_err();
    let text = format!("{error:#}");
    assert!(text.starts_with(&format!("no answer from {url}/v1/publish: ")), "{text}");
    assert!(!text.contains("secret-key"));
}
