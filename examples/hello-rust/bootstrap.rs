//! A whole Lambda runtime in Rust's standard library: ask for an event, answer it, again.
//! Build: rustc -O -C target-feature=+crt-static -o bootstrap bootstrap.rs

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;

const PREFIX: &str = "/2018-06-01/runtime/invocation";

/// Handler: the name between the quotes that follow `"name":`.
fn handler(event: &str) -> std::result::Result<String, &'static str> {
    let rest = event.split_once("\"name\"").ok_or("no name in the event")?.1;
    let name = rest.split('"').nth(1).ok_or("the name is not a text")?;
    Ok(format!("{{\"message\": \"Hello, {name}, from Rust!\"}}"))
}

/// One request on a connection of its own: status, request id and body of the answer.
fn call(method: &str, path: &str, body: &str) -> Result<(u16, String, String)> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("AWS_LAMBDA_RUNTIME_API");
    let mut stream = TcpStream::connect(&api)?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut id, mut size) = (String::new(), String::new(), 0);
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "lambda-runtime-aws-request-id" => id = value.trim().to_string(),
            "content-length" => size = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut content = vec![0; size];
    reader.read_exact(&mut content)?;
    Ok((status, id, String::from_utf8_lossy(&content).into_owned()))
}

fn main() -> Result<()> {
    loop {
        let (status, id, event) = call("GET", &format!("{PREFIX}/next"), "")?;
        if status != 200 {
            std::process::exit(1);
        }
        let (end, body) = match handler(&event) {
            Ok(answer) => ("response", answer),
            Err(text) => ("error", format!("{{\"errorType\": \"Error\", \"errorMessage\": \"{text}\"}}")),
        };
        call("POST", &format!("{PREFIX}/{id}/{end}"), &body)?;
    }
}
