//! A Lambda runtime in Rust's standard library: load the function, then ask for an event, answer it, again.
//! Build: rustc -O -C target-feature=+crt-static -o bootstrap bootstrap.rs

mod function;

use std::io::{BufRead, BufReader, Error, Result, Write};
use std::net::TcpStream;

const PREFIX: &str = "/2018-06-01/runtime";

/// Takes the event and the deadline in milliseconds since the epoch; returns JSON, or what went wrong.
pub type Handler = fn(&str, &str) -> std::result::Result<String, String>;

/// What `/next` tells.
#[derive(Default)]
struct Answer {
    status: u16,
    id: String,
    deadline: String,
    body: String,
}

/// One request on a connection of its own.
fn call(method: &str, path: &str, body: &str) -> Result<Answer> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("AWS_LAMBDA_RUNTIME_API");
    let mut stream = TcpStream::connect(&api)?;
    let length = body.len();
    write!(
        stream,
        "{method} {PREFIX}/{path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(body.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut size, mut answer) = (String::new(), Some(0), Answer::default());
    reader.read_line(&mut line)?;
    answer.status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "lambda-runtime-aws-request-id" => answer.id = value.trim().to_string(),
            "lambda-runtime-deadline-ms" => answer.deadline = value.trim().to_string(),
            "content-length" => size = value.trim().parse().ok(),
            "transfer-encoding" => size = None,
            _ => {}
        }
    }
    let content = match size {
        Some(size) => read(&mut reader, size)?,
        None => read_chunks(&mut reader)?,
    };
    answer.body = String::from_utf8_lossy(&content).into_owned();
    Ok(answer)
}

fn read(reader: &mut impl BufRead, size: usize) -> Result<Vec<u8>> {
    let mut content = vec![0; size];
    reader.read_exact(&mut content)?;
    Ok(content)
}

/// Each with its size in hexadecimal digits before it and an empty line after; one of size 0 is the end.
fn read_chunks(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let digits = line.trim_end().split(';').next().unwrap_or_default();
        match usize::from_str_radix(digits, 16).map_err(Error::other)? {
            0 => return Ok(content),
            size => content.append(&mut read(reader, size)?),
        }
        read(reader, 2)?;
    }
}

fn describe(error: &str) -> String {
    let text = error.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{{\"errorType\": \"Error\", \"errorMessage\": \"{text}\"}}")
}

fn main() -> Result<()> {
    let handler = match function::load() {
        Ok(handler) => handler,
        Err(error) => {
            call("POST", "init/error", &describe(&error))?;
            std::process::exit(1);
        }
    };
    loop {
        let next = call("GET", "invocation/next", "")?;
        if next.status != 200 {
            std::process::exit(1);
        }
        let (end, body) = match handler(&next.body, &next.deadline) {
            Ok(answer) => ("response", answer),
            Err(error) => ("error", describe(&error)),
        };
        call("POST", &format!("invocation/{}/{end}", next.id), &body)?;
    }
}
