//! What `lambdad runtime test` asks of a function; see docs/runtimes.md.

pub fn load() -> Result<crate::Handler, String> {
    match std::env::var_os("CONFORMANCE_INIT_ERROR") {
        Some(_) => Err("asked to fail".to_string()),
        None => Ok(handler),
    }
}

fn handler(event: &str, deadline: &str) -> Result<String, String> {
    match event.split_once("\"conformance\"").and_then(|(_, rest)| rest.split('"').nth(1)) {
        Some("echo") => Ok(event.to_string()),
        Some("deadline") => Ok(format!("{{\"deadline_ms\": {deadline}}}")),
        Some("large") => Ok(format!("\"{}\"", "x".repeat(number(event, "\"bytes\"") as usize))),
        Some("sleep") => {
            std::thread::sleep(std::time::Duration::from_millis(number(event, "\"ms\"")));
            Ok(event.to_string())
        }
        _ => Err("asked to fail, or unknown here".to_string()),
    }
}

fn number(event: &str, key: &str) -> u64 {
    let digits = event.split_once(key).map_or("", |(_, rest)| rest.trim_start_matches([':', ' ']));
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}
